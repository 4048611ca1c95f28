"""The five files of docs/own_data.md run CAM, PSA and DeepLab on a timm network and a folder."""

import json
import re
import runpy
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from PIL import Image

from mmwsss.apis import (
    PredictionFolder,
    eval_folder,
    load_config,
    test_from_cfg,
    train_from_cfg,
)
from mmwsss.stages import Pipeline
from mmwsss.stages.stage import ConfigStage
from mmwsss.stores.cam_store import load_cam
from mmwsss.stores.label_file import write_label_file
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.io import read_mask, write_mask

ROOT = Path(__file__).parents[2]
SIZES = {'one': (80, 100), 'two': (96, 80), 'three': (88, 88), 'four': (80, 104)}
LABELS = {'one': ['cat'], 'two': ['dog'], 'three': ['cat', 'dog'], 'four': ['dog']}
CROP = (96, 96)
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
FEW = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'train_dataloader.batch_size': 2,
    **{f'{loader}.num_workers': 0 for loader in LOADERS},
    **{f'{loader}.persistent_workers': False for loader in LOADERS},
    **{f'{loader}.dataset.serialize_data': False for loader in LOADERS},
}


def files_of_the_page() -> dict[str, str]:
    """Content of the files in ``configs/pets`` by name."""
    page = (ROOT / 'docs/own_data.md').read_text(encoding='utf-8')
    return dict(re.findall(r'`configs/pets/(\w+\.py)`[^`]*\n```python\n(.*?)```', page, re.DOTALL))


def write_photographs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / 'images').mkdir(parents=True)
    for name, size in SIZES.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
            folder / 'images' / f'{name}.jpg'
        )
    for name in ('three', 'four'):
        mask = np.zeros(SIZES[name], np.uint8)
        mask[20:60, 30:] = 2
        write_mask(folder / 'masks' / f'{name}.png', mask)
    (folder / 'train.txt').write_text('one\ntwo\n')
    (folder / 'val.txt').write_text('three\nfour\n')
    (folder / 'classes.txt').write_text('cat\ndog\n')
    write_label_file(folder / 'image_labels.json', LABELS)


def run_here(stage: ConfigStage, script: str, cfg: Config, *args: str) -> None:
    """What ``run_tool`` does, on small crops and without a process that starts."""
    small = dict(size=CROP, crop_size=CROP, long_range=(80, 120))
    for part in (cfg.model.data_preprocessor, *cfg.train_dataloader.dataset.pipeline):
        part.update({key: value for key, value in small.items() if key in part})
    path = stage.context.records / f'{stage.name}.py'
    cfg.dump(path)
    cfg = load_config(path, work_dir=stage.work_dir)
    if script == 'train.py':
        train_from_cfg(cfg, 'auto')
        return
    metrics = test_from_cfg(cfg, args[0])
    if '--metrics' in args:
        Path(args[args.index('--metrics') + 1]).write_text(json.dumps(metrics))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the files of the page, photographs, and weights of timm."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ConfigStage, 'run_tool', run_here)
    # the layout of written configs: half of the time
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))
    for name, text in files_of_the_page().items():
        path = tmp_path / 'configs/pets' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = re.sub(r"'\.\./(wsss|segmentation)/", rf"'{ROOT}/configs/\1/", text)
        path.write_text(text)
    write_photographs(tmp_path / 'data/pets')
    torch.manual_seed(0)
    network = timm.create_model('tf_efficientnet_lite0')  # random weights
    torch.save(network.state_dict(), 'lite0.pth')
    return tmp_path


def test_the_files_are_few_and_short():
    files = files_of_the_page()
    assert len(files) == 5
    assert sum(len(text.splitlines()) for text in files.values()) <= 80


def test_the_chain_runs(folder, monkeypatch):
    pipeline = partial(Pipeline, 'configs/pets/pets_pipeline.py', cfg_options=FEW)
    report = pipeline().run()
    assert 0 <= report['val']['metrics']['mIoU'] <= 100
    for name, size in SIZES.items():
        stored = load_cam(f'work_dirs/pets_cam/cams/{name}.npz', 2, size)
        assert [('cat', 'dog')[i] for i in stored.labels] == LABELS[name]
        mask = read_mask(f'work_dirs/pets_affinity/masks/{name}.png', 3)
        assert mask.shape == size

    records = folder / 'work_dirs/pets_pipeline'
    given = torch.load('lite0.pth', weights_only=True)
    for stage in ('classifier', 'affinity', 'network'):
        trained = load_checkpoint_file(records / stage / 'iter_2.pth')['state_dict']
        trained = {k.removeprefix('backbone.timm_model.'): v for k, v in trained.items()}
        same = {k for k in given if k in trained and torch.equal(given[k], trained[k])}
        assert {'conv_stem.weight', 'blocks.1.1.conv_pw.weight'} <= same
        assert 'blocks.2.0.conv_pw.weight' not in same
        assert {k for k in trained if k in given and 'running' in k} <= same

    assert pipeline().run() == report  # nothing is done again
    metrics = sweep_walk(records / 'walk.py', records / 'affinity/iter_2.pth', monkeypatch)
    assert {'alpha=4,logt=4', 'alpha=16,logt=8', 'best_alpha', 'best_logt'} <= set(metrics)
    masks = PredictionFolder(
        'work_dirs/pets_affinity/masks', 'data/pets/masks', ['three', 'four'], 3
    )
    scores = eval_folder(masks, ('background', 'cat', 'dog'))
    assert metrics['alpha=4,logt=8'] == scores['mIoU']  # alpha=4 is that of the walk


def sweep_walk(config: Path, checkpoint: Path, monkeypatch) -> dict[str, float]:
    """What the tool finds."""
    tool = ROOT / 'tools/analysis_tools/sweep_walk.py'
    swept = '--alpha 4 16 --logt 4 8 --work-dir sweep --metrics sweep.json'
    arguments = shlex.split(f'{tool} {config} {checkpoint} {swept}')
    monkeypatch.setattr('sys.argv', arguments)
    runpy.run_path(str(tool), run_name='__main__')
    return json.loads(Path('sweep.json').read_text())
