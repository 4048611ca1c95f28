import torch

from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.pseudo_label import (
    add_background,
    confident_label,
    decide,
    pack_pairs,
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
