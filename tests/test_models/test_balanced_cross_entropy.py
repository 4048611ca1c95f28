import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.models.losses import BalancedCrossEntropy
from mmwsss.registry import MODELS


def inputs():
    torch.manual_seed(0)
    label = torch.tensor([[[0, 0, 1], [2, 255, 0]], [[0, 0, 0], [0, 255, 255]]])
    return torch.randn(2, 3, 2, 3, requires_grad=True), label


def test_smoothing_is_the_cross_entropy_of_soft_targets():
    logits, label = inputs()
    share = 0.3
    target = torch.full((2, 3, 2, 3), share / 2)
    target.scatter_(1, label.where(label < 3, 0)[:, None], 1 - share)
    per_pixel = -(target * logits.log_softmax(1)).sum(1)
    expected = (
        0.5 * per_pixel[label == 0].mean() + 0.5 * per_pixel[(label > 0) & (label < 3)].mean()
    )
    torch.testing.assert_close(BalancedCrossEntropy(smoothing=share)(logits, label), expected)


def test_image_mode_balances_every_image():
    logits, label = inputs()
    prob = logits.softmax(1) + 1e-4
    prob = prob / prob.sum(1, keepdim=True)
    nll = -prob.gather(1, label.where(label < 3, 0)[:, None])[:, 0].log()
    first = nll[0][label[0] == 0].mean() + nll[0][(label[0] == 1) | (label[0] == 2)].mean()
    second = nll[1][label[1] == 0].mean()  # no foreground there
    loss = BalancedCrossEntropy(mode='image', loss_weight=3.0)(logits, label)
    torch.testing.assert_close(loss, 3 * (first + second) / 2)


def test_all_ignored_gives_zero_with_a_gradient():
    logits, label = inputs()
    for mode in ('batch', 'image'):
        loss = BalancedCrossEntropy(mode=mode)(logits, torch.full_like(label, 255))
        loss.backward()
        assert loss == 0
        assert torch.isfinite(logits.grad).all()


def test_in_a_head_of_mmseg():
    init_default_scope('mmseg')
    head = MODELS.build(
        dict(
            type='FCNHead',
            in_channels=4,
            channels=4,
            num_convs=0,
            concat_input=False,
            dropout_ratio=0,
            num_classes=3,
            loss_decode=dict(type='mmwsss.BalancedCrossEntropy', loss_weight=2.0),
        )
    )
    logits, label = inputs()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=value[None])) for value in label]
    losses = head.loss_by_feat(logits, samples)
    torch.testing.assert_close(losses['loss_bce'], 2 * BalancedCrossEntropy()(logits, label))


def test_mistakes():
    logits, label = inputs()
    with pytest.raises(ValueError, match=r'BalancedCrossEntropy\.mode must be one of batch, image'):
        BalancedCrossEntropy(mode='pixel')
    with pytest.raises(ValueError, match="mode='batch'"):
        BalancedCrossEntropy(mode='image', smoothing=0.1)
    with pytest.raises(ValueError, match='pixel sampler'):
        BalancedCrossEntropy()(logits, label, weight=torch.ones(2, 2, 3))
