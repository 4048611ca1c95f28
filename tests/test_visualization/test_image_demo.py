"""The demo: an image in, a picture out, and clear errors."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import BaseSegmentor
from PIL import Image

from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
CLASSES = ('background', 'boat', 'car')

CONFIG = """
default_scope = 'mmseg'
model = dict(type='mmwsss.DemoStub', data_preprocessor=dict(type='SegDataPreProcessor'))
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels', optional=True),
    dict(type='mmwsss.PackWSSSInputs'),
]
test_dataloader = dict(dataset=dict(
    type='mmwsss.ImageLabelDataset',
    metainfo=dict(
        classes=('background', 'boat', 'car'), palette=[[0, 0, 0], [250, 0, 0], [0, 250, 0]])))
"""


@MODELS.register_module(force=True)
class DemoStub(BaseSegmentor):
    """Predicts the class of its one weight everywhere."""

    def __init__(self, data_preprocessor=None, test_cfg=None):
        super().__init__(data_preprocessor=data_preprocessor)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.test_cfg = test_cfg or {}

    def predict(self, inputs, data_samples):
        for sample in data_samples:
            mask = self.weight.long().expand(1, *inputs.shape[-2:])
            sample.pred_sem_seg = PixelData(data=mask)
            if self.test_cfg.get('with_cam') and 'gt_image_labels' in sample:
                labels = sample.gt_image_labels.label.nonzero().flatten()
                cam = torch.rand(len(labels), *inputs.shape[-2:])
                sample.pred_cam = BaseDataElement(cam=cam, labels=labels)
                sample.pred_pseudo_mask = PixelData(data=mask)
        return data_samples

    def encode_decode(self, inputs, batch_data_samples):
        raise NotImplementedError

    def extract_feat(self, inputs):
        raise NotImplementedError

    def loss(self, inputs, data_samples):
        raise NotImplementedError

    def _forward(self, inputs, data_samples=None):
        raise NotImplementedError


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Run the demo's ``main`` with arguments, in a folder with image, config and checkpoint."""
    spec = importlib.util.spec_from_file_location('image_demo', ROOT / 'demo' / 'image_demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((30, 40, 3), 80, np.uint8)).save('photo.jpg')
    Path('config.py').write_text(CONFIG)
    torch.save(dict(state_dict=dict(weight=torch.full((1,), 2.0)), meta={}), 'model.pth')

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['image_demo.py', '--device', 'cpu', *arguments])
        module.main()

    return run


MODEL = ('--config', 'config.py', '--checkpoint', 'model.pth')


def num_columns(path) -> int:
    return (Image.open(path).width - 6) // 262


def test_a_checkpoint_of_other_classes_is_refused(demo, caplog):
    state = dict(weight=torch.full((1,), 2.0))
    named = dict(classes=('background', 'car', 'boat'), palette=[[0] * 3] * 3)
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=named)), 'model.pth')
    with pytest.raises(SystemExit, match=r"model\.pth was trained for other .* class 1 is 'car'"):
        demo('photo.jpg', *MODEL)
    assert not Path('result.png').exists()


def test_without_classes_the_prediction_is_drawn(demo, capsys):
    demo('photo.jpg', *MODEL)
    assert num_columns('result.png') == 2
    assert capsys.readouterr().out.splitlines()[-1] == 'result.png: car'


def test_with_classes_cams_and_pseudo_mask_are_drawn_too(demo):
    demo('photo.jpg', *MODEL, '--classes', 'boat', 'car', '--out', 'pictures/panel.png')
    assert num_columns('pictures/panel.png') == 5


def test_newest_checkpoint_of_the_work_dir_is_the_default(demo, capsys):
    Path('work_dirs/config').mkdir(parents=True)
    Path('model.pth').rename('work_dirs/config/iter_5.pth')
    Path('work_dirs/config/last_checkpoint').write_text('/elsewhere/iter_5.pth')
    demo('photo.jpg', '--config', 'config.py')
    assert 'car' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('photo.jpg', *MODEL, '--classes', 'bot'), "unknown class 'bot'; did you mean 'boat'"),
        (('photo.jpg', *MODEL, '--classes', 'xyz'), 'Valid classes: boat, car'),
        (('nothing.jpg', *MODEL), 'image nothing.jpg does not exist'),
        (('config.py', *MODEL), 'image config.py cannot be read'),
        (('photo.jpg', '--config', 'config.py'), 'no checkpoint in work_dirs/config'),
        (('photo.jpg', '--config', 'no.py', '--checkpoint', 'model.pth'), 'no.py does not exist'),
        (('photo.jpg', '--config', 'config.py', '--checkpoint', 'no.pth'), 'no.pth does not'),
        (('photo.jpg', *MODEL, '--out', './photo.jpg'), 'which is also the image'),
        (('photo.jpg', *MODEL, '--out', 'panel.tga'), 'suffix of --out must be one of .png, .jpg'),
        (('photo.jpg', *MODEL, '--device', 'cuda:99'), "device 'cuda:99' cannot be used"),
        (('photo.jpg', *MODEL, '--device', 'gpu'), "device 'gpu' cannot be used"),
    ],
)
def test_errors_name_the_culprit(demo, arguments, message):
    with pytest.raises(SystemExit, match=message):
        demo(*arguments)
    assert not Path('result.png').exists()


def test_a_checkpoint_of_another_model_is_refused(demo):
    torch.save(dict(state_dict=dict(bias=torch.zeros(1)), meta={}), 'model.pth')
    with pytest.raises(SystemExit, match=r'model.pth does not fit the model(.|\n)*weight'):
        demo('photo.jpg', *MODEL)


def test_a_model_without_cams_cannot_show_classes(demo):
    text = CONFIG.replace("    dict(type='mmwsss.LoadImageLabels', optional=True),\n", '')
    Path('config.py').write_text(text)
    with pytest.raises(SystemExit, match='DemoStub made no cams'):
        demo('photo.jpg', *MODEL, '--classes', 'boat')


def test_weclip_draws_its_cams(demo, capsys):
    config = ROOT / 'configs' / 'wsss' / 'weclip_mini.py'
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), 'weclip.pth')
    arguments = ('--config', str(config), '--checkpoint', 'weclip.pth', '--classes', 'boat')
    demo('photo.jpg', *arguments)
    assert num_columns('result.png') == 4
    assert 'result.png: ' in capsys.readouterr().out


def test_a_photo_taken_upright_is_drawn_upright(demo):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.full((30, 40, 3), 40, np.uint8)
    picture[:, 20:] = 250  # the lower half, once turned
    Image.fromarray(picture).save('photo.jpg', exif=exif)
    demo('photo.jpg', *MODEL, '--out', 'panel.png')
    panel = np.array(Image.open('panel.png'))
    image = panel[30:-40, 10:180].mean(axis=(1, 2))
    assert image[-20:].min() > 200 > image[:20].max()
