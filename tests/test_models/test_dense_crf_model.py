"""The dense CRF around other segmentors, and on masks in a pipeline."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mmwsss.datasets.mini_render import render_mini
from mmwsss.models.segmentors.dense_crf_model import DenseCRFModel
from mmwsss.ops.dense_crf import dense_crf
from mmwsss.registry import MODELS, TRANSFORMS


class Scores(nn.Module):
    """A segmentor that gives fixed scores."""

    def __init__(self, scores, path):
        super().__init__()
        self.scores, self.path = scores, path
        self.weight = nn.Parameter(torch.zeros(1))

    def test_step(self, data):
        sample = SegDataSample(metainfo=dict(img_path=str(self.path)))
        sample.seg_logits = PixelData(data=self.scores)
        sample.pred_sem_seg = PixelData(data=self.scores.argmax(0, keepdim=True))
        return [sample]


@pytest.fixture
def scene(tmp_path):
    image, mask, _ = render_mini('val', 3)
    path = tmp_path / 'image.png'
    Image.fromarray(image).save(path)
    logits = torch.randn(11, *mask.shape, generator=torch.Generator().manual_seed(0))
    logits += 2 * torch.nn.functional.one_hot(torch.from_numpy(mask).long(), 11).permute(2, 0, 1)
    return path, image, mask, logits


@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
def test_predictions_are_refined(scene, kind):
    path, image, mask, logits = scene
    scores = logits if kind == 'logits' else logits.softmax(0)
    model = DenseCRFModel(Scores(scores, path), dict(preset='deeplabv2'), scores=kind)
    sample = model.test_step({})[0]
    expected = dense_crf(torch.from_numpy(image), logits.softmax(0), preset='deeplabv2')
    assert torch.allclose(sample.seg_logits.data, expected, atol=1e-4)
    refined = sample.pred_sem_seg.data[0].numpy()
    assert (refined == mask).mean() > (logits.argmax(0).numpy() == mask).mean() + 0.1


def test_probabilities_need_not_sum_to_one(scene):
    """The maximum over views (MCTformer's retraining) does not, and is no logit for that."""
    path, image, _, logits = scene
    prob = torch.maximum(logits.softmax(0), logits.roll(1, 0).softmax(0))
    model = DenseCRFModel(Scores(prob, path), dict(preset='afa'), scores='probabilities')
    expected = dense_crf(torch.from_numpy(image), prob, preset='afa')
    assert torch.equal(model.test_step({})[0].seg_logits.data, expected)
    with pytest.raises(ValueError, match='scores must be one of logits, probabilities'):
        DenseCRFModel(Scores(prob, path), dict(preset='afa'), scores='prob')


def test_checkpoint_of_the_segmentor_loads(scene):
    from mmengine.runner.checkpoint import load_state_dict

    segmentor = Scores(scene[3], scene[0])
    model = DenseCRFModel(segmentor, dict(preset='afa'))
    load_state_dict(model, {'weight': torch.ones(1)}, strict=True)
    assert segmentor.weight.item() == 1


def test_scores_are_needed(scene):
    model = DenseCRFModel(Scores(scene[3][:1], scene[0]), dict(preset='afa'))
    with pytest.raises(ValueError, match='at least two classes'):
        model.test_step({})


def test_mask_transform(scene):
    _, image, mask, _ = scene
    noisy = mask.copy()
    noisy[np.random.default_rng(0).random(mask.shape) < 0.3] = 255
    transform = TRANSFORMS.build(dict(type='mmwsss.DenseCRFMask', preset='irn'))
    refined = transform(dict(img=image[..., ::-1], gt_seg_map=noisy))['gt_seg_map']
    assert (refined == mask).mean() > 0.95
    with pytest.raises(ValueError, match='LoadAnnotations'):
        transform(dict(img=image))
    with pytest.raises(ValueError, match='presets are'):
        TRANSFORMS.build(dict(type='mmwsss.DenseCRFMask', preset='unknown'))


def test_registered():
    init_default_scope('mmseg')
    assert MODELS.get('mmwsss.DenseCRFModel') is DenseCRFModel
