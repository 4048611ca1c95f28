"""Measures of doubt, by hand."""

import numpy as np
import pytest
import torch

from mmwsss.ops.doubt import disagreement, label_doubt, mean_rank, narrowness, unsure_share
from mmwsss.ops.pseudo_label import add_background


def test_share_of_unsure_pixels():
    masks = torch.tensor([[[0, 1], [255, 255]], [[0, 0], [0, 7]]])
    assert unsure_share(masks).tolist() == pytest.approx([2 / 3, 0])
    assert unsure_share(masks.byte()).tolist() == pytest.approx([2 / 3, 0])
    assert unsure_share(masks, ignore_index=7).tolist() == [0, 1]
    assert unsure_share(torch.zeros(3, 4)).item() == 0


def test_margin_of_the_two_best():
    # background, two classes: pixels of background, of class 1 by 0.2, of class 2 by 0.1
    scores = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.4, 0.4]]).view(3, 1, 3)
    assert narrowness(scores).item() == pytest.approx(1 - 0.15)
    assert narrowness(scores[None].expand(4, -1, -1, -1)).tolist() == pytest.approx([0.85] * 4)
    sure = torch.stack([torch.zeros(2, 2), torch.ones(2, 2)])
    assert narrowness(sure).item() == 0
    assert narrowness(sure.flip(0)).item() == 1  # the class is nowhere


def test_an_image_without_labels_has_no_margin_to_doubt():
    assert narrowness(add_background(torch.zeros(1, 0, 3, 4))).tolist() == [0]


def test_labels_are_as_sure_as_the_least_probable():
    assert label_doubt(torch.tensor([[0.9, 0.2], [0.8, 0.7]])).tolist() == pytest.approx([0.8, 0.3])
    assert label_doubt(torch.zeros(0)).item() == 0


def test_disagreement_is_a_share_of_the_foreground():
    one = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 2]])
    two = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 1]])
    assert disagreement(one, two).item() == pytest.approx(2 / 3)
    unsure = torch.tensor([[0, 0, 0, 0], [0, 255, 1, 1]])
    assert disagreement(one, unsure).item() == pytest.approx(1 / 2)
    assert disagreement(torch.stack([one, two]), torch.stack([one, one])).tolist() == (
        pytest.approx([0, 2 / 3])
    )
    nothing = torch.zeros(2, 4, dtype=torch.long)
    assert disagreement(nothing, nothing).item() == 0
    assert disagreement(nothing, torch.full_like(nothing, 255)).item() == 0


def test_ranks_do_not_see_the_scale():
    small, large = [0.01, 0.03, 0.02, 0.0], [10.0, 5.0, 7.0, 1.0]
    got = mean_rank([small, large])
    assert got.tolist() == pytest.approx([(1 / 3 + 1) / 2, (1 + 1 / 3) / 2, 2 / 3, 0])
    assert mean_rank([[v * 100 for v in small], large]).tolist() == got.tolist()


def test_ranks_of_equal_and_of_missing_values():
    assert mean_rank([[2, 2, 1]]).tolist() == pytest.approx([0.75, 0.75, 0])
    nan = float('nan')
    assert mean_rank([[1, 2, 3], [nan, 2, 1]]).tolist() == pytest.approx([0, (0.5 + 1) / 2, 0.5])
    assert mean_rank([[nan, nan]]).tolist() == [0, 0]
    assert mean_rank([[1, 2], [nan, 5]]).tolist() == [0, 1]
    assert mean_rank([[4.0]]).tolist() == [0]
    assert mean_rank(np.zeros((0, 3))).tolist() == [0, 0, 0]
    assert mean_rank([[], []]).tolist() == []
