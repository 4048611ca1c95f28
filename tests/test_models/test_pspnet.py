"""PSPNet of PMM: both heads, windows and scales up to the probabilities, known classes."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.registry import MODELS
from mmwsss.testing import labelled_samples, smooth_pixels

ROOT = Path(__file__).parents[2] / 'configs'


def network(name='pspnet_resnet38_puf_mini', **test_cfg):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / f'segmentation/{name}.py')
    cfg.model.backbone.init_cfg = None
    cfg.model.test_cfg = dict(merge='prob_mean', **test_cfg)
    model = MODELS.build(cfg.model).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.5)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=0.3)
    return model


def image(height, width, seed=0):
    return smooth_pixels(height, width, seed)


def test_both_heads_learn_with_their_own_loss():
    model = network().train()
    label = torch.randint(0, 11, (1, 64, 72))
    label[..., :8] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in range(2)]
    data = model.data_preprocessor(
        dict(inputs=[image(64, 72, i) for i in range(2)], data_samples=samples), True
    )
    losses = model.loss(**data)
    assert {'decode.loss_puf', 'aux.loss_puf_aux', 'decode.acc_seg'} <= losses.keys()
    features = model.extract_feat(data['inputs'])
    logits = model.auxiliary_head(features).float()
    labels = torch.stack([s.gt_sem_seg.data[0] for s in data['data_samples']])
    logits = F.interpolate(logits, labels.shape[-2:], mode='bilinear', align_corners=False)
    ce = F.cross_entropy(logits, labels, ignore_index=255, reduction='none')
    assert labels.shape[-2:] == (112, 112) and (labels == 255).float().mean() > 0.5
    expected = ce.clamp(max=0.5) if ce.mean() < 0.5 else ce
    assert losses['aux.loss_puf_aux'].item() == pytest.approx(
        0.4 * expected.mean().item(), rel=0.05
    )
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    assert all(p.grad is not None for p in model.auxiliary_head.parameters())


def test_windows_and_scales_are_those_of_mmsegmentation():
    """``mode='slide'`` and the mean of softmax over resized and mirrored images."""
    scales, fit, crop, stride = (0.75, 1.25), (2048, 64), 48, 40
    model = network(fit=fit, crop=crop, stride=stride, scales=scales, flip=True, batch=3)
    pixels = image(50, 70)
    inputs = model.data_preprocessor(dict(inputs=[pixels]), False)['inputs']
    with torch.no_grad():
        found = model.predict(inputs)[0].seg_logits.data
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    total = 0
    for scale in scales:
        factor = int(64 * scale) / 50  # the short side goes to 64 * scale
        size = tuple(int(side * factor + 0.5) for side in (50, 70))
        view = F.interpolate(inputs * std + mean, size, mode='bilinear', align_corners=False)
        view = (view.round() - mean) / std
        for mirrored in (False, True):
            logits = _slide(model, view.flip(-1) if mirrored else view, crop, stride)
            prob = F.interpolate(logits, (50, 70), mode='bilinear').softmax(1)
            total = total + (prob.flip(-1) if mirrored else prob)
    assert torch.allclose(found, (total / 4)[0], atol=1e-5)
    assert torch.allclose(found.sum(0), torch.ones(50, 70), atol=1e-5)


def _slide(model, view, crop, stride):
    """mmseg's ``slide_inference`` in its own words."""
    height, width = view.shape[-2:]
    total, count = torch.zeros(1, 11, height, width), torch.zeros(height, width)
    for row in range(max(height - crop + stride - 1, 0) // stride + 1):
        for column in range(max(width - crop + stride - 1, 0) // stride + 1):
            y1, x1 = min(row * stride + crop, height), min(column * stride + crop, width)
            y0, x0 = max(y1 - crop, 0), max(x1 - crop, 0)
            part = view[..., y0:y1, x0:x1]
            with torch.no_grad():
                logits = model.decode_head(model.extract_feat(part))
            total[..., y0:y1, x0:x1] += F.interpolate(logits, part.shape[-2:], mode='bilinear')
            count[y0:y1, x0:x1] += 1
    return total / count


def test_masks_of_known_classes_alone():
    model = network()
    inputs = model.data_preprocessor(dict(inputs=[image(40, 56)] * 2), False)['inputs']
    samples = labelled_samples((3,), (0, 9), num_classes=10)
    with torch.no_grad():
        free = model.predict(inputs, [s.clone() for s in samples])
        prob = free[0].seg_logits.data
        model.test_cfg = {**model.test_cfg, 'predict': 'cam'}
        known = model.predict(inputs, samples)
    for sample, classes in zip(known, ([0, 4], [0, 1, 10]), strict=True):
        best = prob[classes].argmax(0)
        assert torch.equal(sample.pred_sem_seg.data[0], torch.tensor(classes)[best])
        cam = sample.pred_cam
        assert (cam.labels + 1).tolist() == classes[1:]
        assert torch.allclose(cam.cam, prob[classes[1:]], atol=1e-5)
    assert len(free[0].pred_sem_seg.data.unique()) > 2


def test_settings_that_cannot_work_are_refused():
    for wrong in (dict(crop=48), dict(crop=48, stride=50), dict(fit=(3,)), dict(fit=512)):
        with pytest.raises(ValueError, match=r'test_cfg\.(crop|stride|fit)'):
            network(**wrong)
