"""Scores, gate, labels and loss of 1-Stage: what the golden cases do not show."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.losses.class_balanced import class_balanced_cross_entropy, label_counts
from mmwsss.ops.losses.ngwp import focal_mask_penalty, labelled_mask_size, ngwp_scores
from mmwsss.ops.pseudo_label.relative import relative_label
from mmwsss.ops.stochastic_gate import draw_gate, mean_gate, stochastic_gate


def test_pooling_of_a_hard_mask_is_nearly_the_mean_under_it():
    logits = torch.arange(200.0).view(1, 1, 10, 20)
    masks = (logits < 99).float()
    torch.testing.assert_close(ngwp_scores(logits, masks)[0, 0], torch.tensor(49.0 * 99 / 100))
    assert ngwp_scores(logits, torch.zeros_like(masks)).item() == 0


def test_penalty_grows_as_a_mask_shrinks():
    shares = torch.tensor([0.0, 0.01, 0.1, 0.5, 1.0])
    masks = shares.view(1, 5, 1, 1).expand(1, 5, 4, 4)
    penalty = focal_mask_penalty(masks)[0]
    assert penalty[0].item() == pytest.approx(math.log(0.01))
    assert penalty[-1] == 0
    assert (penalty.diff() > 0).all()


def test_mask_size_of_an_image_without_classes_is_zero():
    masks = torch.full((2, 3, 4, 4), 0.25)
    image_labels = torch.tensor([[1.0, 1, 0], [0, 0, 0]])
    torch.testing.assert_close(labelled_mask_size(masks, image_labels), torch.tensor([0.25, 0]))


def test_gate_keeps_the_expectation():
    torch.manual_seed(0)
    deep, shallow = torch.randn(2, 1, 1, 1, 1)
    like = torch.empty(1, 1, 400, 400)
    keep = draw_gate(like, 0.3)
    assert keep.float().mean().item() == pytest.approx(0.7, abs=0.01)
    mixed = stochastic_gate(deep.expand_as(like), shallow.expand_as(like), 0.3, keep)
    torch.testing.assert_close(mixed.mean(), deep.squeeze(), atol=0.02, rtol=0)
    assert mixed.unique().numel() == 2
    torch.testing.assert_close(mean_gate(deep, shallow, 0.3), 0.7 * deep + 0.3 * shallow)


def test_gate_passes_gradients_to_both():
    deep, shallow = torch.randn(2, 1, 2, 1, 2, requires_grad=True)
    deep.retain_grad(), shallow.retain_grad()
    keep = torch.tensor([True, False]).view(1, 2, 1, 1).expand(1, 2, 1, 1)
    keep = keep.expand(1, 2, 1, 2)
    stochastic_gate(deep[None], shallow[None], 0.5, keep.squeeze(0)).sum().backward()
    assert deep.grad.flatten().tolist() == [2, 2, 0, 0]
    assert shallow.grad.flatten().tolist() == [-1, -1, 1, 1]


def one_pixel_each(*columns) -> torch.Tensor:
    """Scores ``(1, C, 1, W)`` from the channels' values at each pixel."""
    return torch.tensor(columns).T[None, :, None, :]


def test_a_pixel_needs_exactly_one_mask_that_is_sure():
    scores = one_pixel_each((1.0, 0.0), (0.71, 0.3), (0.69, 0.3), (0.9, 0.6), (0.1, 0.5))
    label = relative_label(scores, torch.tensor([[4]]))
    # thresholds 0.7 and 0.36: background, background, nobody, both, class 4
    assert label.flatten().tolist() == [0, 0, 255, 255, 5]


def test_low_masks_have_an_absolute_threshold_and_equality_is_not_enough():
    scores = one_pixel_each((0.2, 0.1), (0.05, 0.2), (0.1, 0.21))
    assert relative_label(scores, torch.tensor([[0]])).flatten().tolist() == [255, 255, 1]


def test_padding_channels_claim_nothing():
    scores = torch.rand(2, 3, 5, 7) + 0.3
    both = relative_label(scores, torch.tensor([[1, -1], [-1, -1]]))
    alone = relative_label(scores[:1, :2], torch.tensor([[1]]))
    assert torch.equal(both[:1], alone)
    assert set(both[1].unique().tolist()) <= {0, 255}
    background = relative_label(scores[:, :1], torch.zeros(2, 0, dtype=torch.long))
    assert torch.equal(background[1], both[1])


def test_counts():
    label = torch.tensor([[[0, 2, 2], [255, 1, 0]], [[255] * 3, [255] * 3]])
    assert label_counts(label, 3).tolist() == [[2, 1, 2], [0, 0, 0]]


def test_loss_is_the_sum_over_pixels_written_out():
    torch.manual_seed(0)
    logits = torch.randn(1, 4, 3, 3)
    label = torch.tensor([[[0, 0, 2, 255], [255, 2, 0, 0], [255, 255, 255, 3]]])
    image_labels = torch.tensor([[0.0, 1, 1]])
    up = F.interpolate(logits, size=(3, 4), mode='bilinear', align_corners=True)
    log_prob, expected = up.log_softmax(1), 0.0
    for y in range(3):
        for x in range(4):
            value = int(label[0, y, x])
            if value != 255:
                count = {0: 4, 2: 2, 3: 1}[value]
                expected -= (7 - count) / 8 * log_prob[0, value, y, x].item() / 12
    loss = class_balanced_cross_entropy(logits, label, image_labels)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_images_without_every_class_or_background_do_not_count():
    logits = torch.randn(4, 3, 2, 2, requires_grad=True)
    label = torch.tensor(
        [[[0, 1], [2, 255]], [[0, 1], [1, 255]], [[1, 2], [2, 1]], [[255, 255], [255, 255]]]
    )
    loss = class_balanced_cross_entropy(logits, label, torch.ones(4, 2))
    assert loss[0] > 0 and loss[1:].tolist() == [0, 0, 0]
    loss.mean().backward()
    assert logits.grad[0].abs().sum() > 0 and logits.grad[1:].abs().sum() == 0


def test_no_image_counts():
    logits = torch.randn(2, 3, 2, 2, requires_grad=True)
    label = torch.full((2, 4, 4), 255)
    loss = class_balanced_cross_entropy(logits, label, torch.zeros(2, 2))
    loss.mean().backward()
    assert loss.tolist() == [0, 0] and logits.grad.abs().sum() == 0


def test_an_image_without_classes_has_no_loss_on_its_background():
    """Its only class has weight (n - n) / (1 + n)."""
    label = torch.zeros(1, 4, 4, dtype=torch.long)
    loss = class_balanced_cross_entropy(torch.randn(1, 3, 2, 2), label, torch.zeros(1, 2))
    assert loss.item() == 0
