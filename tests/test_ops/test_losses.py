import math

import torch
import torch.nn.functional as F

from mmwsss.ops.losses import balanced_cross_entropy


def test_each_part_counts_half_whatever_its_size():
    torch.manual_seed(0)
    logits, label = torch.randn(1, 3, 2, 3), torch.tensor([[[0, 0, 0], [0, 2, 255]]])
    per_pixel = F.cross_entropy(logits, label, ignore_index=255, reduction='none')[0]
    expected = 0.5 * per_pixel.flatten()[:4].mean() + 0.5 * per_pixel[1, 1]
    torch.testing.assert_close(balanced_cross_entropy(logits, label), expected)


def test_one_sided_batches():
    logits, label = torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long)
    expected = 0.5 * F.cross_entropy(logits, label)
    torch.testing.assert_close(balanced_cross_entropy(logits, label), expected)
    assert math.isnan(balanced_cross_entropy(logits, label, official_nan=True))
    ignored = torch.full_like(label, 255)
    assert balanced_cross_entropy(logits, ignored) == 0
