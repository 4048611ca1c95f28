"""What the page does when its buttons are pressed, without a browser."""

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmwsss.apis.results_zip import FORMATS
from mmwsss.apis.wsss_inferencer import WSSSInferencer
from mmwsss.registry import MODELS
from mmwsss.utils.io import read_mask

from .scenes import cow_image

gradio = pytest.importorskip('gradio')
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def webui():
    spec = importlib.util.spec_from_file_location('webui', ROOT / 'demo/webui.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('kind', FORMATS)
def test_several_images_in_every_format(webui, tmp_path, kind):
    config = ROOT / 'configs/wsss/clip_es_mini.py'
    page = webui.Page(WSSSInferencer(config, device='cpu'))
    image, truth = cow_image()
    Image.fromarray(image).save(tmp_path / 'field.png')
    words = 'cow, tree', ', '.join(page.background), 'cow'
    chosen = [None, [str(tmp_path / 'field.png')], *words, 0.1, kind]
    _, archive, text = page._segment_chosen(*chosen)
    assert text == '1 images are in the zip file. '
    with zipfile.ZipFile(archive) as file:
        others = set(file.namelist()) - {'classes.txt', 'masks/field.png', 'overlays/field.jpg'}
        assert bool(others) == (kind != 'png'), 'the format lies beside the masks'
        assert all(file.read(name) for name in others)
        mask = read_mask(file.read('masks/field.png'))
    assert mask.shape == truth.shape and set(np.unique(mask)) == {0, 1}


def test_a_trained_network_has_no_class_field(webui, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(ROOT / 'configs/wsss/cam_mit_mini.py')
    init_default_scope('mmseg')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), 'untrained.pth')
    there = webui.Page(WSSSInferencer(cfg, weights='untrained.pth', device='cpu'))
    shown = {
        block.elem_id: block.visible for block in there.build().blocks.values() if block.elem_id
    }
    assert not shown['classes']
    assert shown['labels']
    image, truth = cow_image()
    Image.fromarray(image).save('field.png')
    _, shares, mask = there.segment('field.png', '', '', 'cow', 0.1)
    assert shares == {name: float(name == 'cow') for name in there.inferencer.classes[1:]}
    assert set(np.unique(read_mask(mask))) <= {0, 7}
    gallery, archive, text = there.segment_all(['field.png'], '', '', '', 0.1, 'png')
    assert text == '1 images are in the zip file. '
    assert len(gallery) == 1
    assert read_mask(zipfile.ZipFile(archive).read('masks/field.png')).shape == truth.shape
    Path('bad.png').write_bytes(b'no picture')
    for paths, message in (
        ([], 'Choose images first'),
        (['bad.png'], 'Not one of 1 images can be read: bad.png'),
        (['field.png', 'x/field.png'], 'image name given more than once: field'),
    ):
        with pytest.raises(gradio.Error, match=message):
            there.segment_all(paths, '', '', '', 0.1, 'png')
