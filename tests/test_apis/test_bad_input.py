"""What people get wrong between a folder of pictures and a network ends with what to do."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmwsss.apis import WSSSInferencer, load_config, review_masks
from mmwsss.apis.results_zip import open_zip
from mmwsss.datasets.converters.label_studio import read_label_studio
from mmwsss.exporters import export_masks
from mmwsss.exporters.onnx_model import export_onnx
from mmwsss.models.utils.dino_weights import load_dino
from mmwsss.utils.io import write_mask

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, a file, and a mask of value 3 with its picture."""
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    Path('page.html').mkdir()
    Path('file').write_text('')
    write_mask(Path('masks/a.png'), np.full((8, 9), 3, np.uint8))
    Path('images').mkdir()
    Image.new('RGB', (9, 8)).save('images/a.png')


def corrected(name: str) -> str:
    """A project of Label Studio with a box of a class."""
    value = dict(x=0, y=0, width=50, height=50, rectanglelabels=[name])
    region = dict(type='rectanglelabels', value=value, original_width=9, original_height=8)
    task = dict(data=dict(image='a.png'), annotations=[dict(result=[region])])
    Path('project.json').write_text(json.dumps([task]))
    return 'project.json'


def hub_folder(**files: bytes) -> str:
    Path('hub').mkdir()
    for name, content in files.items():
        (Path('hub') / name.replace('__', '.')).write_bytes(content)
    return 'hub'


def pickled(name: str) -> str:
    """A file of ``torch.save``, but of no weights."""
    torch.save([1, 2], name)
    return name


def to_onnx(name: str, out: str = 'net.onnx'):
    return export_onnx(load_config(CONFIGS / f'wsss/{name}.py'), None, out, (32, 32))


def zip_into(path: str):
    with open_zip(path, ['background', 'cat'], [[0, 0, 0], [9, 9, 9]], 'cvat'):
        pass


CAT, ABC = ['cat'], ['a', 'b', 'c']


@pytest.mark.parametrize(
    ('act', 'message'),
    [
        (lambda: export_masks('masks', 'cavt', ABC, 'out'), "coco, yolo, .*did you mean 'cvat'"),
        (lambda: export_masks('masks', 'cvat', CAT, 'out'), r'\[3\], .*check the class list'),
        (lambda: export_masks('empty', 'cvat', CAT, 'out'), 'empty holds no .*name the folder'),
        (lambda: export_masks('masks', 'cvat', ABC, 'file'), 'Choose another output folder'),
        (lambda: read_label_studio(corrected('dog'), CAT), "'dog'.*cat"),
        (lambda: review_masks('empty', 'images', 'page'), 'suffix of the review sheet'),
        (lambda: review_masks('empty', 'images', 'a.html'), 'empty holds no .*name the folder'),
        (lambda: review_masks('masks', 'images', 'page.html'), 'Give the name of a file'),
        (lambda: review_masks('masks', 'images', 'file/a.html'), 'Choose another output folder'),
        (
            lambda: review_masks('masks', 'images', 'a.html', classes=['b', 'cat'], processes=1),
            r'\[3\], .*check the class list',
        ),
        (lambda: zip_into('page.html'), 'Give the name of a file'),
        (lambda: to_onnx('clip_es_mini'), 'CLIPES makes maps .*train a network on its masks'),
        (lambda: to_onnx('psa_mini_cam'), ' scores 10 classes.*train a network on its masks'),
        (lambda: to_onnx('psa_mini_cam', 'empty'), 'Give the name of a file'),
        (lambda: to_onnx('psa_mini_cam', out=CONFIGS / 'wsss/psa_mini_cam.py'), 'also the config'),
        (lambda: WSSSInferencer.from_pretrained('empty'), 'give a folder that save_pretrained'),
        (lambda: WSSSInferencer.from_pretrained('file'), 'neither a folder nor owner/name'),
        (
            lambda: WSSSInferencer.from_pretrained(hub_folder(model__pth=b'')),
            r'model\.pth in place of model\.safetensors.*Ask its owner for safetensors',
        ),
        (
            lambda: WSSSInferencer.from_pretrained(
                hub_folder(
                    model__safetensors=pickle.dumps({}),
                    config__json=(b'{"trained": true, "test_pipeline": [], "model": {}}'),
                )
            ),
            'is no config of an inferencer',
        ),
        (
            lambda: WSSSInferencer('clip_es_mini', clip=pickled('clip.safetensors')),
            r'clip\.safetensors is truncated or not a safetensors file',
        ),
        (
            lambda: WSSSInferencer('clip_es_mini', clip=pickled('clip.pt')),
            r'clip\.pt holds no weights',
        ),
        (lambda: load_dino(pickled('dino.safetensors')), r'dino\.safetensors is truncated or not'),
    ],
)
def test_the_message_says_what_to_do(act, message):
    with pytest.raises((OSError, RuntimeError, ValueError), match=message):
        act()
