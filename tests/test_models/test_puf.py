"""PMM's loss: the gate at its bound, what it caps, what is logged."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub

from mmwsss.models import PUFCrossEntropyLoss
from mmwsss.ops.losses.pretend_underfitting import pretend_underfitting

LOSS = torch.tensor([[[0.25, 0.5, 0.75, 0.0]]])  # mean 0.375; a pixel without a label has 0


@pytest.mark.parametrize(('beta', 'opens'), [(0.374, False), (0.375, False), (0.376, True)])
def test_the_gate_opens_strictly_below_beta(beta, opens):
    loss, gate, share = pretend_underfitting(LOSS, 'clamp', beta, 0.5)
    assert gate.item() is opens
    assert share.item() == (0.25 if opens else 0)
    assert loss[0, 0, 2].item() == (0.5 if opens else 0.75)


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('clamp', [0.25, 0.5, 0.5, 0.0]),
        ('ignore', [0.25, 0.5, 0.0, 0.0]),
        ('pow', [0.5, 0.5**0.5, 0.75**0.5, 0.0]),
    ],
)
def test_kinds(kind, expected):
    loss = pretend_underfitting(LOSS, kind, 0.5, 0.5)[0]
    assert torch.allclose(loss[0, 0], torch.tensor(expected), atol=1e-4)
    with pytest.raises(ValueError, match="kind='drop'"):
        pretend_underfitting(LOSS, 'drop')


def logits_of(losses: torch.Tensor) -> torch.Tensor:
    """Logits of two classes whose cross-entropy against class 0 is ``losses`` (B, H, W)."""
    return torch.stack([torch.zeros_like(losses), losses.expm1().log()], dim=1)


def test_capped_pixels_have_no_gradient_and_unlabelled_ones_count_in_the_gate():
    logits = logits_of(torch.tensor([[[0.3, 0.9, 0.9, 0.9]]])).requires_grad_()
    label = torch.zeros(1, 1, 4, dtype=torch.int64)
    assert PUFCrossEntropyLoss()(logits, label).item() == pytest.approx(0.75)  # gate shut
    label[..., 2:] = 255  # the mean over all pixels falls to 0.3, that over the labelled is 0.6
    loss = PUFCrossEntropyLoss()(logits, label)
    assert loss.item() == pytest.approx((0.3 + 0.5) / 4)
    loss.backward()
    touched = logits.grad.abs().sum(1)[0, 0] > 0
    assert touched.tolist() == [True, False, False, False]


def test_each_head_logs_its_own_gate():
    log = MessageHub.get_instance('puf')
    label = torch.zeros(1, 1, 4, dtype=torch.int64)
    shut = logits_of(torch.full((1, 1, 4), 0.6)).requires_grad_()
    noisy = logits_of(torch.tensor([[[0.1, 0.1, 0.1, 0.7]]])).requires_grad_()
    PUFCrossEntropyLoss()(shut, label)
    PUFCrossEntropyLoss(loss_weight=0.4, loss_name='loss_puf_aux')(noisy, label)
    values = {key: log.get_scalar(f'train/{key}').current() for key in log_keys()}
    assert values == dict(puf_gate=0, puf_capped=0, puf_aux_gate=1, puf_aux_capped=0.25)
    with torch.no_grad():
        PUFCrossEntropyLoss()(noisy, label)  # not a step
    assert log.get_scalar('train/puf_gate').current() == 0


def log_keys():
    return ('puf_gate', 'puf_capped', 'puf_aux_gate', 'puf_aux_capped')


def test_plain_and_weighted():
    torch.manual_seed(0)
    logits, label = torch.randn(2, 5, 4, 4), torch.randint(0, 5, (2, 4, 4))
    plain = PUFCrossEntropyLoss(kind=None)(logits, label)
    assert plain == pytest.approx(F.cross_entropy(logits, label).item(), rel=1e-6)
    weight = torch.rand(2, 4, 4)
    maps = F.cross_entropy(logits, label, reduction='none') * weight
    given = PUFCrossEntropyLoss(beta=0, loss_weight=0.4)(logits, label, weight)
    assert given == pytest.approx(0.4 * maps.mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(kind='clmap'), "did you mean 'clamp'"),
        (dict(beta=-0.1), 'beta'),
        (dict(k=0), 'k must'),
        (dict(reduction='sum'), 'reduction'),
        (dict(loss_name='puf'), "must begin with 'loss_'"),
    ],
)
def test_what_is_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PUFCrossEntropyLoss(**arguments)
