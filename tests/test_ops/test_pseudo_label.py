import torch

from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.pseudo_label import add_background, decide, pack_pairs


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
