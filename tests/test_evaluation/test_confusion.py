"""Confusion functions: what counts, the conventions of empty classes, the exact sweep."""

import numpy as np
import pytest
import torch

from mmwsss.ops.confusion import (
    confusion_matrix,
    power_to_threshold,
    segmentation_scores,
    strange_values,
    sweep_matrices,
    threshold_histogram,
)


def test_truth_outside_the_classes_is_dropped_and_predictions_go_to_the_spare_column():
    truth = torch.tensor([0, 0, 1, 1, 2, 255, 3, -1, 2])
    pred = torch.tensor([0, 255, 1, -7, 3, 0, 1, 1, 2])
    expected = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
    assert confusion_matrix(pred, truth, 3).tolist() == expected


def test_ignore_index_may_be_a_class_value():
    truth, pred = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2])
    matrix = confusion_matrix(pred, truth, 3, ignore_index=1)
    assert matrix[:, :3].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_integer_types_give_the_same_counts(dtype):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 81, (2, 30, 40), generator=generator)
    pred = torch.randint(0, 81, (2, 30, 40), generator=generator)
    matrix = confusion_matrix(pred.to(dtype), truth.to(dtype), 81)
    expected = np.zeros((81, 82), np.int64)
    np.add.at(expected, (truth.numpy().ravel(), pred.numpy().ravel()), 1)
    assert np.array_equal(matrix.numpy(), expected)


@pytest.mark.parametrize('num_classes', [180, 200, 254, 300])  # keys of 16 bits, then of 32
def test_many_classes_and_values_beyond_the_keys(num_classes):
    small = torch.arange(256).byte()
    counted = min(num_classes, 255)
    matrix = confusion_matrix(small, small, num_classes)
    assert matrix.sum() == counted and matrix.diagonal()[:counted].eq(1).all()
    huge = torch.tensor([2**16 + 1, 2**31, -(2**15), 2**40])
    matrix = confusion_matrix(huge, torch.full_like(huge, 7), num_classes)
    assert matrix[7, num_classes] == 4
    assert confusion_matrix(torch.zeros_like(huge), huge, num_classes).sum() == 0


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(3, 2\)'):
        confusion_matrix(torch.zeros(2, 3), torch.zeros(3, 2), 2)


@pytest.mark.parametrize('empty, miou', [('nanmean', 0.5), ('gt_present', 0.75), ('zero', 0.375)])
def test_conventions_of_empty_classes(empty, miou):
    # Class 2 is predicted but never true, class 3 does not occur at all.
    matrix = torch.tensor([[8, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert segmentation_scores(matrix, empty)['miou'] == pytest.approx(miou)


def test_iou_fp_and_fn_add_up_to_one():
    matrix = torch.randint(1, 9, (5, 6), generator=torch.Generator().manual_seed(1))
    scores = segmentation_scores(matrix)
    torch.testing.assert_close(
        scores['iou'] + scores['fp'] + scores['fn'], torch.ones(5, dtype=torch.float64)
    )


def test_scores_of_a_stack_equal_scores_of_each():
    stack = torch.randint(0, 9, (3, 4, 5), generator=torch.Generator().manual_seed(2))
    together = segmentation_scores(stack, 'zero', 'background')
    for i, matrix in enumerate(stack):
        alone = segmentation_scores(matrix, 'zero', 'background')
        for key, value in alone.items():
            torch.testing.assert_close(together[key][i], value, equal_nan=True)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_a_map_equal_to_the_threshold_is_background(dtype):
    cam = torch.tensor([[[0.1, 0.3, 0.5]]]).to(dtype)
    truth = torch.ones(1, 3, dtype=torch.int64)
    thresholds = cam.flatten().double()
    histogram = threshold_histogram(cam, torch.tensor([0]), truth, thresholds, 2)
    assert sweep_matrices(histogram)[:, 1].tolist() == [[1, 2, 0], [2, 1, 0], [3, 0, 0]]


@pytest.mark.parametrize('power', [0.5, 1, 2, 3, 4, 6, 8, 16])
def test_power_backgrounds_equal_their_thresholds(power):
    values = torch.linspace(0, 1, 1001, dtype=torch.float64)
    threshold = power_to_threshold([power])
    assert threshold == pytest.approx((1 - threshold) ** power, abs=1e-12)
    clear = (values - threshold).abs() > 1e-9
    assert torch.equal((values > threshold)[clear], (values > (1 - values) ** power)[clear])


def test_an_image_without_labels_is_all_background():
    truth = torch.tensor([[0, 1, 255]])
    cam, labels = torch.zeros(0, 1, 3), torch.zeros(0, dtype=torch.int64)
    histogram = threshold_histogram(cam, labels, truth, torch.tensor([0.1, 0.2]), 2)
    assert sweep_matrices(histogram).tolist() == [[[1, 0, 0], [1, 0, 0]]] * 2


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(labels=torch.tensor([0])), 'does not fit 1 labels'),
        (dict(truth=torch.zeros(3, 2, dtype=torch.int64)), 'does not fit'),
        (dict(labels=torch.tensor([0, 2])), '0-based foreground'),
        (dict(labels=torch.tensor([-1, 1])), '0-based foreground'),
        (dict(thresholds=torch.tensor([0.5, 0.5])), 'increasing'),
        (dict(thresholds=torch.tensor([])), 'increasing'),
        (dict(cam=torch.full((2, 2, 3), torch.nan)), 'finite'),
    ],
)
def test_bad_sweep_input(change, message):
    good = dict(
        cam=torch.rand(2, 2, 3),
        labels=torch.tensor([0, 1]),
        truth=torch.zeros(2, 3, dtype=torch.int64),
        thresholds=torch.tensor([0.1, 0.5]),
        num_classes=3,
    )
    threshold_histogram(**good)
    with pytest.raises(ValueError, match=message):
        threshold_histogram(**{**good, **change})


@pytest.mark.parametrize(
    'matrix, arguments, message',
    [
        (torch.zeros(3, 3), {}, 'n, n \\+ 1'),
        (torch.zeros(3, 4), dict(empty='some'), "empty='some' is not one of"),
        (torch.zeros(3, 4), dict(pred_ignore='keep'), "pred_ignore='keep' is not one of"),
    ],
)
def test_bad_score_input(matrix, arguments, message):
    with pytest.raises(ValueError, match=message):
        segmentation_scores(matrix, **arguments)


@pytest.mark.parametrize('power', [0, -1, float('nan'), float('inf')])
def test_powers_must_be_positive_and_finite(power):
    with pytest.raises(ValueError, match='positive and finite'):
        power_to_threshold([1, power])


@pytest.mark.parametrize(
    'labels, expected',
    [
        (torch.tensor([0, 2, 255], dtype=torch.uint8), []),
        (torch.tensor([3, 0, 254, 3], dtype=torch.uint8), [3, 254]),
        (torch.tensor([[-1, 300], [0, 255]]), [-1, 300]),
        (torch.arange(300), list(range(3, 13))),
        (torch.tensor([True, False]), []),
    ],
)
def test_values_that_are_no_classes_are_found(labels, expected):
    assert strange_values(labels, 3) == expected


def test_more_than_255_classes_are_not_wrapped():
    assert strange_values(torch.tensor([200, 255], dtype=torch.uint8), 300) == []
    assert strange_values(torch.tensor([255, 299, 300]), 300) == [300]
