"""The command line of train.py and test.py, and the messages of bad input."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.apis import init_model
from PIL import Image

import mmwsss.apis.test
import mmwsss.apis.train
from mmwsss.apis import load_config, test_from_cfg, train_from_cfg
from mmwsss.engine.optimizers import SkippingAmpOptimWrapper
from mmwsss.utils import load_checkpoint_file

from ..processes import TOOLS
from .tiny_run import write_tiny_run

CONFIGS = Path(__file__).parents[2] / 'configs'
SHORT = {'train_cfg.max_iters': 1, 'train_cfg.val_interval': 5}


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A tiny config and a checkpoint of its model."""
    folder = tmp_path_factory.mktemp('trained')
    config = write_tiny_run(folder)
    train_from_cfg(load_config(config, SHORT))
    return config, folder / 'work' / 'iter_1.pth'


class Captured(Exception):  # noqa: N818
    """Carries the config that would have been run."""


@pytest.fixture
def capture(monkeypatch):
    """Stop before the runner is built and give its config."""

    def stop(cfg: Config) -> None:
        raise Captured(cfg)

    monkeypatch.setattr(mmwsss.apis.train, 'build_runner', stop)
    monkeypatch.setattr(mmwsss.apis.test, 'build_runner', stop)

    def run(function, *args, **kwargs) -> Config:
        with pytest.raises(Captured) as info:
            function(*args, **kwargs)
        return info.value.args[0]

    return run


@pytest.mark.parametrize('script', ['train.py', 'test.py'])
def test_help_needs_no_heavy_import(script, tmp_path):
    for heavy in ('torch', 'mmengine', 'mmwsss'):
        (tmp_path / f'{heavy}.py').write_text(f'raise ImportError("{heavy} imported for -h")')
    command, env = [sys.executable, TOOLS / script, '-h'], {**os.environ, 'PYTHONPATH': tmp_path}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in ('--work-dir', '--cfg-options', '--launcher'):
        assert option in done.stdout


def test_command_line_trains_and_tests(tmp_path, run_tool):
    config = write_tiny_run(tmp_path)
    options = ('train_cfg.max_iters=2', 'model.data_preprocessor.mean=[90,91,92]')
    done = run_tool('train.py', config, '--work-dir', 'w', '--cfg-options', *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    dumped = Config.fromfile(tmp_path / 'w' / 'tiny.py')
    assert dumped.train_cfg.max_iters == 2
    assert dumped.model.data_preprocessor.mean == [90, 91, 92]

    done = run_tool('test.py', config, 'w/iter_2.pth', '--out', 'masks', cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r'mIoU: \d+\.\d+', done.stdout)
    masks = sorted((tmp_path / 'masks').glob('*.png'))
    assert [path.stem for path in masks] == [str(i) for i in range(7)]
    assert np.array(Image.open(masks[0])).shape == (32, 32)


def test_a_folder_of_masks_is_that_of_one_run(trained, tmp_path):
    config, checkpoint = trained
    out, options = tmp_path / 'masks', dict(work_dir=tmp_path / 'work')

    def run(weights, **arguments):
        return test_from_cfg(load_config(config, **options), weights, out=out, **arguments)

    assert 'mIoU' in run(checkpoint)
    before = (out / '0.png').read_bytes()
    (out / '0.png').write_bytes(b'')  # the same again is written anew
    assert 'mIoU' in run(checkpoint)
    assert (out / '0.png').read_bytes() == before
    with pytest.raises(ValueError, match=r'masks holds results of other settings: weights: .*none'):
        run('none')
    (out / 'other.png').write_bytes(before)
    for restart in (False, True):
        with pytest.raises(ValueError, match=r'files that it was not known .*: other\.'):
            run('none', restart=restart)
    (out / 'other.png').unlink()
    assert 'mIoU' in run('none', restart=True)
    assert sorted(path.stem for path in out.glob('*.png')) == [str(i) for i in range(7)]


def test_files_of_unknown_origin_are_not_mixed_with_predictions(trained, tmp_path):
    config, checkpoint = trained
    photo = tmp_path / 'photo.png'
    photo.write_bytes(b'mine')
    for restart in (False, True):
        with pytest.raises(ValueError, match=r'holds 1 \.png files but no made_from\.json'):
            cfg = load_config(config, work_dir=tmp_path / 'w')
            test_from_cfg(cfg, checkpoint, out=tmp_path, restart=restart)
    assert photo.read_bytes() == b'mine' and len(list(tmp_path.glob('*.png'))) == 1


def test_predictions_are_not_written_over_what_is_read(trained, tmp_path):
    config, checkpoint = trained
    dataset = load_config(config).test_dataloader.dataset
    for kind in ('img_path', 'seg_map_path'):
        folder = Path(dataset.data_root, dataset.data_prefix[kind])
        held = sorted(folder.iterdir())
        with pytest.raises(ValueError, match='which is also the data'):
            test_from_cfg(load_config(config, work_dir=tmp_path), checkpoint, out=folder)
        assert sorted(folder.iterdir()) == held


def test_a_run_that_failed_before_its_first_file_binds_no_folder(trained, tmp_path):
    config, checkpoint = trained
    cfg = load_config(config, work_dir=tmp_path / 'w')
    with pytest.raises(FileNotFoundError):
        test_from_cfg(cfg, 'nothing.pth', out=tmp_path / 'masks')
    cfg = load_config(config, work_dir=tmp_path / 'w')
    assert 'mIoU' in test_from_cfg(cfg, checkpoint, out=tmp_path / 'masks')


def test_show_dir_and_tta_change_the_config(tmp_path, capture):
    config = write_tiny_run(tmp_path)
    cfg = load_config(config, {'tta_cfg': dict(scales=[1.0, 0.75], flip=True)})
    cfg = capture(test_from_cfg, cfg, 'x.pth', tta=True, show_dir=tmp_path / 'panels')
    assert cfg.model.test_cfg == dict(mode='whole', scales=[1.0, 0.75], flip=True, with_cam=True)
    panels = dict(type='mmwsss.PanelVisualizationHook', out_dir=str(tmp_path / 'panels'))
    assert cfg.custom_hooks == [panels]
    assert cfg.load_from == 'x.pth'


def test_no_checkpoint_tests_the_model_as_built(tmp_path, capture):
    config = write_tiny_run(tmp_path)
    assert capture(test_from_cfg, load_config(config), 'none').load_from is None


def test_an_untrained_model_is_not_tested_by_mistake(trained, tmp_path):
    config, checkpoint = trained
    with pytest.raises(ValueError, match=rf'no checkpoint was given: .*{checkpoint.name}') as info:
        test_from_cfg(load_config(config), None)
    assert "Say 'none'" in str(info.value)
    with pytest.raises(ValueError, match=r'there is none in .*train the config first'):
        test_from_cfg(load_config(config, work_dir=tmp_path / 'empty'), None)
    assert 'mIoU' in test_from_cfg(load_config(config, work_dir=tmp_path / 'empty'), 'none')


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (('background', 'stuff', 'thing'), "order differs, class 1 is 'thing' there and 'stuff'"),
        (('background', 'thing', 'other'), 'it has stuff, the config has other'),
    ],
)
def test_a_checkpoint_of_other_classes_is_refused(trained, classes, message):
    config, checkpoint = trained
    options = {
        f'{kind}_dataloader.dataset.metainfo.classes': classes for kind in ('train', 'val', 'test')
    }
    with pytest.raises(ValueError, match=rf'iter_1\.pth was trained for other classes.*{message}'):
        test_from_cfg(load_config(config, options), checkpoint)
    start = {**options, **SHORT, 'load_from': str(checkpoint)}
    with pytest.raises(ValueError, match='was trained for other classes'):
        train_from_cfg(load_config(config, start))
    anyway = load_config(config, {**options, 'strict_load': False})
    assert 'mIoU' in test_from_cfg(anyway, checkpoint)


def test_maps_are_not_written_over_those_that_are_read(tmp_path, capture):
    config = CONFIGS / 'wsss/psa_mini_affinity.py'
    store = load_config(config).test_dataloader.dataset.cam_dir
    options = {'test_evaluator.0.output_dir': store}
    with pytest.raises(ValueError, match='which is also cam_dir'):
        test_from_cfg(load_config(config, options, tmp_path), 'x.pth')


def test_crf_of_our_segmentors_is_the_one_in_test_cfg(capture):
    config = CONFIGS / 'segmentation/resnet38_fov2_voc.py'
    cfg = load_config(config, {'model.test_cfg.crf.image': 'wrapped'})
    assert cfg.model.test_cfg['merge'] == 'prob_max'
    cfg = capture(test_from_cfg, cfg, 'x.pth', crf='mctformer')
    assert cfg.model.type == 'mmwsss.DeepLab'
    assert cfg.model.test_cfg.crf == dict(preset='mctformer', image='wrapped')


def test_crf_of_stock_segmentors_is_a_wrapper_that_knows_its_scores(tmp_path, capture):
    config = write_tiny_run(tmp_path)
    cfg = capture(test_from_cfg, load_config(config), 'x.pth', crf='afa')
    assert (cfg.model.type, cfg.model.scores) == ('mmwsss.DenseCRFModel', 'logits')
    options = {'tta_model': dict(type='SegTTAModel'), 'tta_pipeline': [dict(type='TestTimeAug')]}
    cfg = capture(test_from_cfg, load_config(config, options), 'x.pth', tta=True, crf='afa')
    assert (cfg.model.scores, cfg.model.module.type) == ('probabilities', 'SegTTAModel')


def test_tta_reaches_a_config_without_test_cfg(tmp_path, capture):
    config = Path(__file__).parents[2] / 'configs/segmentation/clip-decoder_mini-full.py'
    cfg = load_config(config, work_dir=tmp_path)
    assert 'test_cfg' not in cfg.model
    cfg = capture(test_from_cfg, cfg, 'x.pth', tta=True, show_dir=tmp_path / 'panels')
    assert cfg.model.test_cfg.scales == [1.0, 0.75] and cfg.model.test_cfg.flip
    assert cfg.model.test_cfg.with_cam


def test_show_dir_writes_panels(trained, tmp_path):
    config, checkpoint = trained
    test_from_cfg(load_config(config), checkpoint, show_dir=tmp_path / 'panels')
    assert len(list((tmp_path / 'panels').rglob('*.png'))) == 7


def test_tta_takes_the_stock_way(tmp_path, capture):
    config = write_tiny_run(tmp_path)
    options = {'tta_model': dict(type='SegTTAModel'), 'tta_pipeline': [dict(type='TestTimeAug')]}
    cfg = capture(test_from_cfg, load_config(config, options), 'x.pth', tta=True)
    assert cfg.model.type == 'SegTTAModel'
    assert cfg.model.module.type == 'EncoderDecoder'
    assert cfg.test_dataloader.dataset.pipeline[0].type == 'TestTimeAug'


def test_tta_without_recipe_says_what_to_add(tmp_path):
    config = write_tiny_run(tmp_path)
    with pytest.raises(ValueError, match=r'tiny\.py has neither tta_cfg'):
        test_from_cfg(load_config(config), 'x.pth', tta=True)


def test_amp(tmp_path, capture, monkeypatch):
    config = write_tiny_run(tmp_path)
    monkeypatch.setattr('mmwsss.apis.train.get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match='--amp needs a GPU'):
        train_from_cfg(load_config(config), amp=True)
    monkeypatch.setattr('mmwsss.apis.train.get_device', lambda: 'cuda')
    cfg = capture(train_from_cfg, load_config(config), amp=True)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    cfg = load_config(config, {'optim_wrapper.type': 'ApexOptimWrapper'})
    with pytest.raises(ValueError, match='ApexOptimWrapper'):
        train_from_cfg(cfg, amp=True)


@pytest.mark.parametrize(('name', 'patience'), [('acr_mini_cam', 20), ('pmm_mini_seam', 10)])
def test_amp_keeps_skipping_what_is_not_finite(name, patience, capture, monkeypatch):
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr('mmwsss.apis.train.get_device', lambda: 'cuda')
    config = CONFIGS / f'wsss/{name}.py'
    settings = capture(train_from_cfg, load_config(config), amp=True).optim_wrapper
    for key in ('constructor', 'paramwise_cfg'):  # of the model's own groups
        settings.pop(key, None)
    init_default_scope('mmseg')
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), settings)
    assert isinstance(wrapper, SkippingAmpOptimWrapper)
    assert wrapper.patience == patience


def test_work_dir_priority(tmp_path):
    config = write_tiny_run(tmp_path)
    assert load_config(config, work_dir='given').work_dir == 'given'
    assert load_config(config).work_dir == str(tmp_path / 'work')
    plain = tmp_path / 'plain.py'
    plain.write_text('a = 1')
    assert load_config(plain).work_dir == os.path.join('work_dirs', 'plain')


def test_missing_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.py does not exist'):
        load_config(tmp_path / 'none.py')


def test_unwritable_folders_are_named(tmp_path):
    config = write_tiny_run(tmp_path)
    (tmp_path / 'file').touch()
    folder = tmp_path / 'file' / 'work'
    with pytest.raises(OSError, match=r'Cannot write into .*file/work .*--work-dir'):
        train_from_cfg(load_config(config, work_dir=folder))
    with pytest.raises(OSError, match=r'Cannot write into .*file/work .*--show-dir'):
        test_from_cfg(load_config(config), 'x.pth', show_dir=folder)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda w: w.pop('decode_head.conv_seg.weight'), r'missing keys.*decode_head\.conv_seg'),
        (lambda w: w.update(extra=torch.zeros(1)), r'unexpected key.*extra'),
        (
            lambda w: w.update({'decode_head.conv_seg.bias': torch.zeros(21)}),
            r'size mismatch.*conv_seg\.bias.*21',
        ),
        (
            lambda w: [w.pop(key) for key in list(w) if key.startswith('backbone')],
            r'missing keys.*backbone.*\.\.\. \(\d+ in all\)',
        ),
    ],
)
def test_checkpoint_must_fit(trained, tmp_path, change, message):
    config, checkpoint = trained
    content = load_checkpoint_file(checkpoint)
    change(content['state_dict'])
    torch.save(content, tmp_path / 'unfit.pth')
    with pytest.raises(RuntimeError, match=r'unfit\.pth does not fit .*tiny\.py') as info:
        test_from_cfg(load_config(config), tmp_path / 'unfit.pth')
    assert re.search(message, str(info.value), re.S)
    assert 'strict_load=False' in str(info.value)
    cfg = load_config(config, {**SHORT, 'load_from': str(tmp_path / 'unfit.pth')})
    with pytest.raises(RuntimeError, match=r'unfit\.pth does not fit'):
        train_from_cfg(cfg)


def test_strict_load_can_be_switched_off(trained, tmp_path):
    config, checkpoint = trained
    content = load_checkpoint_file(checkpoint)
    del content['state_dict']['decode_head.conv_seg.bias']
    torch.save(content, tmp_path / 'partial.pth')
    cfg = load_config(config, {'strict_load': False})
    assert 'mIoU' in test_from_cfg(cfg, tmp_path / 'partial.pth')


def test_init_model_of_mmseg_is_safe(tmp_path):
    config = write_tiny_run(tmp_path)

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'was_here'),)

    torch.save({'state_dict': {}, 'meta': Evil()}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match=r'Refused to load .*evil\.pth.*mkdir'):
        init_model(str(config), str(tmp_path / 'evil.pth'), device='cpu')
    assert not (tmp_path / 'was_here').exists()


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(out='o', show_dir='o'), r'show_dir is .*o, which is also output_dir of'),
        (dict(out='w'), r'output_dir of .*Writer is .*w, which is also output_dir of'),
        (dict(show_dir='other/../w'), r'show_dir is .*w, which is also output_dir of'),
        (dict(out='masks'), r'output_dir of .*masks, which is also mask_dir'),
    ],
)
def test_what_is_written_has_folders_of_its_own(trained, tmp_path, given, message):
    """Panels and masks of one name would overwrite each other in silence."""
    cfg = load_config(trained[0])
    writer = dict(type='mmwsss.PseudoMaskWriter', output_dir=str(tmp_path / 'w'))
    cfg.test_evaluator = [cfg.test_evaluator, writer]
    cfg.test_dataloader.dataset.mask_dir = str(tmp_path / 'masks')
    folders = {name: str(tmp_path / folder) for name, folder in given.items()}
    with pytest.raises(ValueError, match=message):
        test_from_cfg(cfg, trained[1], **folders)
    assert not list(tmp_path.iterdir())


def test_metrics_that_cannot_be_written_are_found_before_testing(trained, tmp_path, run_tool):
    done = run_tool('test.py', 'nowhere.py', '--metrics', tmp_path, cwd=tmp_path)
    assert done.returncode and 'it is a folder. Give the name of a file' in done.stderr
