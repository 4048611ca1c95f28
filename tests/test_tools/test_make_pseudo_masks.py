"""The tool that writes pseudo masks: its command line, and a real model on a few images."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmwsss.apis
from mmwsss.apis import Launch, make_pseudo_masks, test_from_cfg
from mmwsss.datasets import mini_render
from mmwsss.datasets.mini_render import CLASSES
from mmwsss.stores.cam_store import load_cam
from mmwsss.stores.label_file import encode_image_labels, read_label_file

ROOT = Path(__file__).parents[2]


class Here(Launch):
    """Tests in this process."""

    def run(self, what, script, cfg, path, *args):
        assert script == 'test.py'
        cfg.work_dir = args[-1]
        test_from_cfg(cfg, args[0])


def test_masks_and_maps_of_the_classes_in_the_image_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mini_render, 'SPLITS', {'train': 5, 'val': 2})
    mini_render.write_mini('data/mini')
    names = Path('data/mini/ImageSets/Segmentation/train.txt').read_text().split()
    Path('few.txt').write_text('\n'.join(names[:3]) + '\n')
    options = {
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'test_dataloader.dataset.ids': 'few.txt',
    }
    config = ROOT / 'configs/wsss/weclip_mini.py'
    folders = make_pseudo_masks(
        config, 'none', 'train', write=('cams', 'masks'), cfg_options=options, launch=Here()
    )
    assert folders == {k: f'work_dirs/weclip_mini/{k}' for k in ('cams', 'masks')}
    labels = read_label_file('data/mini/image_labels.json')
    for name in names[:3]:
        present = encode_image_labels(labels[name], CLASSES)
        mask = np.array(Image.open(f'work_dirs/weclip_mini/masks/{name}.png'))
        with Image.open(f'data/mini/JPEGImages/{name}.png') as image:
            assert mask.shape == image.size[::-1]
        assert set(np.unique(mask)) <= {0, 255, *(present + 1)}
        stored = load_cam(f'work_dirs/weclip_mini/cams/{name}.npz', len(CLASSES), mask.shape)
        assert stored.labels.tolist() == present.tolist()
    assert len(list(Path('work_dirs/weclip_mini/masks').glob('*.png'))) == 3


@pytest.mark.parametrize('line', ['', '--predict seg --tta --crf afa --write cams masks --gpus 2'])
def test_command_line(line, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    path = ROOT / 'tools/make_pseudo_masks.py'
    spec = importlib.util.spec_from_file_location('make_pseudo_masks_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    seen = {}

    def capture(config, checkpoint, **arguments):
        seen.update(config=config, checkpoint=checkpoint, **arguments)
        return {'masks': 'there'}

    monkeypatch.setattr(mmwsss.apis, 'make_pseudo_masks', capture)
    command = ['tool', 'a.py', 'b.pth', '--split', 'train_aug', *line.split()]
    monkeypatch.setattr(sys, 'argv', command)
    tool.main()
    assert capsys.readouterr().out == 'masks: there\n'
    launch = seen.pop('launch')
    assert launch.processes == (2 if line else 1) and launch.tools == ROOT / 'tools'
    assert seen == dict(
        config='a.py',
        checkpoint='b.pth',
        split='train_aug',
        out=None,
        write=['cams', 'masks'] if line else ['masks'],
        predict='seg' if line else None,
        tta=bool(line),
        crf='afa' if line else None,
        cfg_options=None,
        restart=False,
    )
