"""Networks in ONNX Runtime give what PyTorch gives, from pixels on."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.structures import SegDataSample
from scipy.special import softmax
from torch import nn

from mmwsss.datasets.mini import MiniDataset
from mmwsss.exporters import onnx_model
from mmwsss.exporters.onnx_model import export_onnx
from mmwsss.registry import MODELS
from mmwsss.utils import register_all_modules

CONFIGS = Path(__file__).parents[2] / 'configs'
register_all_modules()


def load(name, **model):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict({f'model.{key}': value for key, value in model.items()})
    return cfg


@pytest.fixture
def trained(tmp_path):
    """A config and a checkpoint of it with random weights."""

    def make(name, **options):
        cfg = load(name, **options)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
        meta = dict(dataset_meta=dict(classes=MiniDataset.METAINFO['classes']))
        torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'x.pth')
        return cfg, model.eval(), tmp_path / 'x.pth'

    return make


def run(path, image):
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return session.run(None, {'image': image})[0]


@pytest.mark.parametrize(
    'name, dynamic',
    [
        ('segmentation/deeplabv1_resnet38_mini', True),
        ('segmentation/deeplabv3plus_r18_pseudo_mini', True),
        ('wsss/afa_mini', True),
        ('wsss/one_stage_mini', True),
        ('wsss/weclip_mini', False),
        ('wsss/weclip_plus_mini', False),
        ('wsss/excel_mini', False),
        ('segmentation/weakclip_mini-clip_mini', False),
    ],
)
def test_the_same_as_a_test_step_of_the_model(trained, tmp_path, name, dynamic):
    square = 'excel' in name  # its views are squares
    cfg, model, checkpoint = trained(name, **({'test_cfg.sizes': (80,)} if square else {}))
    size = (80, 80) if square else (64, 80)
    done = export_onnx(cfg, checkpoint, tmp_path / 'x.onnx', size)
    assert done.dynamic is dynamic
    batch, *size = (2, 72, 96) if dynamic else (1, *size)
    image = np.random.default_rng(1).integers(0, 256, (batch, 3, *size), dtype=np.uint8)
    found = run(tmp_path / 'x.onnx', image)
    data = []
    for one in image:  # mmseg reads BGR
        sample = SegDataSample(metainfo=dict(ori_shape=tuple(size), img_shape=tuple(size)))
        data.append(dict(inputs=torch.from_numpy(one[::-1].copy()), data_samples=sample))
    with torch.no_grad():
        expected = model.test_step(pseudo_collate(data))
    if 'weakclip' in name:  # views are merged as probabilities
        found = softmax(found, axis=1)
    for logits, sample in zip(found, expected, strict=True):
        truth = sample.seg_logits.data.numpy()
        assert logits.shape == truth.shape == (11, *size)
        assert np.abs(logits - truth).max() < 1e-3 * np.abs(truth).max()
    props = {p.key: p.value for p in onnx.load(tmp_path / 'x.onnx').metadata_props}
    assert json.loads(props['classes']) == list(MiniDataset.METAINFO['classes'])
    assert len(json.loads(props['palette'])) == 11
    assert 'RGB' in props['input'] and props['output'] == 'logits'


def test_labels(trained, tmp_path):
    cfg, _, checkpoint = trained('segmentation/deeplabv1_resnet38_mini')
    for output in ('logits', 'labels'):
        export_onnx(cfg, checkpoint, tmp_path / f'{output}.onnx', (40, 48), output=output)
    image = np.random.default_rng(1).integers(0, 256, (1, 3, 40, 48), dtype=np.uint8)
    logits, labels = (run(tmp_path / f'{name}.onnx', image) for name in ('logits', 'labels'))
    assert labels.dtype == np.uint8 and labels.shape == (1, 40, 48)
    assert (labels == logits.argmax(1)).mean() > 0.999


def test_a_network_for_one_size(trained, tmp_path):
    """Pyramid pooling has no ONNX form for free sizes."""
    cfg, _, checkpoint = trained(
        'segmentation/pspnet_resnet38_mini', **{'decode_head.pool_scales': (1, 2, 4)}
    )
    done = export_onnx(cfg, checkpoint, tmp_path / 'x.onnx', (64, 64))
    assert not done.dynamic
    assert run(tmp_path / 'x.onnx', np.zeros((1, 3, 64, 64), np.uint8)).shape == (1, 11, 64, 64)


class Strange(nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x.flatten(2))[..., None, None] + x


def test_an_operator_that_onnx_does_not_have(tmp_path, monkeypatch):
    cfg = load('segmentation/deeplabv1_resnet38_mini')
    build = MODELS.build

    def with_strange(config):
        model = build(config)
        model.backbone.conv1a = nn.Sequential(model.backbone.conv1a, Strange())
        return model

    monkeypatch.setattr(onnx_model.MODELS, 'build', with_strange)
    with pytest.raises(
        ValueError, match=r'cannot express the operator aten::\w*svd\w* in .*Strange'
    ):
        export_onnx(cfg, None, tmp_path / 'x.onnx', (32, 32))
    assert list(tmp_path.glob('*.onnx')) == []


def test_a_difference_is_an_error(trained, tmp_path, monkeypatch):
    cfg, _, checkpoint = trained('segmentation/deeplabv1_resnet38_mini')
    monkeypatch.setattr(onnx_model, '_TOLERANCE', -1.0)
    with pytest.raises(ValueError, match='differs from PyTorch by'):
        export_onnx(cfg, checkpoint, tmp_path / 'x.onnx', (32, 32))
    assert list(tmp_path.glob('*.onnx')) == []


def test_bad_input(trained, tmp_path):
    cfg, _, checkpoint = trained('segmentation/deeplabv1_resnet38_mini')
    out = tmp_path / 'x.onnx'
    with pytest.raises(ValueError, match='output must be one of'):
        export_onnx(cfg, checkpoint, out, output='mask')
    with pytest.raises(ValueError, match='opset must be a whole number'):
        export_onnx(cfg, checkpoint, out, opset=9)
    with pytest.raises(ValueError, match='size must be a whole number'):
        export_onnx(cfg, checkpoint, out, (8, 64))
    with pytest.raises(FileNotFoundError, match=r'none\.pth does not exist'):
        export_onnx(cfg, tmp_path / 'none.pth', out)
    with pytest.raises(OSError, match='it is a folder'):
        export_onnx(cfg, checkpoint, tmp_path)
    with pytest.raises(ValueError, match='does not fit the model of the config'):
        export_onnx(load('segmentation/deeplabv3plus_r18_pseudo_mini'), checkpoint, out)
    with pytest.raises(ValueError, match='CLIPES makes maps for given image labels'):
        export_onnx(load('wsss/clip_es_mini'), None, out)
    content = torch.load(checkpoint, weights_only=True)
    content['meta']['dataset_meta']['classes'] = ('background', 'emu')
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match='was trained for other classes'):
        export_onnx(cfg, checkpoint, out)
