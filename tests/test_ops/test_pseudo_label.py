import pytest
import torch

from mmwsss.ops import pseudo_label
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.pairs import pack_pairs
from mmwsss.ops.pseudo_label import (
    add_background,
    confident_label,
    decide,
    inside_box,
    region_label,
    region_level,
    threshold_label,
)


def test_pack_and_decide():
    maps = torch.tensor([0.9, 0.2, 0.4])[:, None, None].expand(3, 2, 2)
    packed, classes = pack_pairs(maps, torch.tensor([3, 7, 0]), torch.tensor([0, 0, 2]), 3)
    assert classes.tolist() == [[3, 7], [-1, -1], [0, -1]]
    label = decide(add_background(packed), classes)
    assert label[:, 0, 0].tolist() == [4, 0, 0]  # 0.9 wins; no class; 0.4 < 1 - 0.4


def test_background_wins_ties_and_absent_channels_never_win():
    scores = torch.zeros(1, 3, 1, 1)
    assert decide(scores, torch.tensor([[5, -1]])).item() == 0
    scores[0, 2] = 9.0
    assert decide(scores, torch.tensor([[5, -1]])).item() == 0


def test_no_pairs_at_all():
    none = torch.empty(0, dtype=torch.long)
    packed, classes = pack_pairs(torch.zeros(0, 4, 5), none, none, 2)
    assert torch.equal(decide(add_background(packed), classes), torch.zeros(2, 4, 5).long())


def test_minmax():
    maps = minmax_normalize(
        torch.stack([torch.full((2, 2), 3.0), torch.tensor([[1.0, 2], [3, 5]])])
    )
    assert (maps[0] == 0).all() and maps[1].min() == 0 and maps[1].max() > 0.999


def test_constant_background_is_the_argmax_with_a_constant_channel():
    torch.manual_seed(0)
    cams = (torch.rand(2, 3, 9, 7) * 10).round() / 10  # ties occur
    classes = torch.tensor([[4, 7, 9], [2, -1, -1]])
    scores = torch.cat([torch.full((2, 1, 9, 7), 0.6), cams], dim=1)
    assert torch.equal(threshold_label(cams, classes, 0.6), decide(scores, classes))


def test_between_the_thresholds_and_outside_the_box_is_ignored():
    cams = torch.tensor([[[0.3, 0.35, 0.5, 0.55, 0.6, 0.9]]])[None]
    label = threshold_label(cams, torch.tensor([[4]]), 0.35, 0.55)
    assert label.tolist() == [[[0, 0, 255, 255, 5, 5]]]
    box = torch.tensor([[0, 1, 1, 5]])
    label = threshold_label(cams, torch.tensor([[4]]), 0.35, 0.55, box)
    assert label.tolist() == [[[255, 0, 255, 255, 5, 255]]]


def test_thresholds_without_classes_give_background():
    none = torch.empty(2, 0, dtype=torch.long)
    assert (threshold_label(torch.zeros(2, 0, 3, 4), none, 0.2) == 0).all()


def test_confident_label():
    foreground, background = torch.tensor([3, 0, 0, 3]), torch.tensor([3, 3, 0, 0])
    assert confident_label(foreground, background).tolist() == [3, 255, 0, 3]


def test_boxes_may_exceed_the_map():
    box = torch.tensor([[1, 9, -3, 2], [0, 2, 3, 3], [0, 1, 0, 3]])
    inside = inside_box(box, (2, 3))
    assert inside.long().tolist() == [[[0, 0, 0], [1, 1, 0]], [[0] * 3] * 2, [[1] * 3, [0] * 3]]


def test_region_level_includes_the_high_threshold_but_not_the_low():
    cams = torch.tensor([[[0.2, 0.25, 0.3, 0.7, 0.9]], [[0.0, 0.0, 0.0, 0.0, 1.0]]])[None]
    level = region_level(cams, torch.tensor([[4, -1]]), 0.25, 0.7)
    assert level.tolist() == [[[0, 0, 1, 2, 2]]]


def test_region_label_tells_unsure_pixels_from_those_outside():
    cams = torch.tensor([[[0.2, 0.25, 0.7, 0.71, 0.9]]])[None]
    classes = torch.tensor([[4]])
    assert region_label(cams, classes, 0.25, 0.7).tolist() == [[[0, 0, -1, 5, 5]]]
    box = torch.tensor([[0, 1, 1, 4]])
    assert region_label(cams, classes, 0.25, 0.7, box).tolist() == [[[255, 0, -1, 5, 255]]]


def test_regions_without_classes_are_background():
    none, cams = torch.empty(2, 0, dtype=torch.long), torch.zeros(2, 0, 3, 4)
    for label in (region_label(cams, none, 0.25, 0.7), region_level(cams, none, 0.25, 0.7)):
        assert label.shape == (2, 3, 4) and (label == 0).all()


@pytest.fixture
def both_paths(monkeypatch):
    """Results of a function by the compiled kernel and by tensor operations."""

    def run(function, *args, **kwargs):
        compiled = function(*args, **kwargs)
        monkeypatch.setattr(pseudo_label, '_compiled', lambda _: False)
        tensor = function(*args, **kwargs)
        monkeypatch.undo()
        return compiled, tensor

    return run


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_the_kernel_decides_like_tensors(both_paths, dtype):
    """With ties, NaN, classes that are absent, and maps that are not contiguous."""
    scores = torch.rand(2, 9, 11, 4, dtype=dtype).mul(4).round().permute(0, 3, 1, 2)
    scores[0, 2, 3, 4] = scores[1, 0, 5, 6] = torch.nan
    classes = torch.tensor([[4, 0, 7], [2, -1, -1]])
    label, expected = both_paths(decide, scores, classes)
    assert label.dtype == torch.int64 and torch.equal(label, expected)


@pytest.mark.parametrize('high', [None, 0.6])
@pytest.mark.parametrize('box', [None, torch.tensor([[0, 9, 0, 11], [-3, 5, 4, 20]])])
def test_the_kernel_applies_thresholds_like_tensors(both_paths, high, box):
    cams = torch.rand(2, 3, 9, 11).mul(10).round() / 10
    cams[0, 1, 2, 3] = torch.nan
    for classes in (torch.tensor([[4, 0, 7], [-1, -1, -1]]), torch.tensor([[1, -1, 3]] * 2)):
        label, expected = both_paths(threshold_label, cams, classes, 0.3, high, box)
        assert torch.equal(label, expected)


def test_classes_of_another_batch_are_refused():
    with pytest.raises(RuntimeError, match='expand'):
        decide(torch.rand(3, 3, 4, 4), torch.zeros(2, 2, dtype=torch.long))
