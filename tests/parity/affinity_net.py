"""AffinityNet whose affinities are known: the random walk and the mask that it decides."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.segmentors.affinity_net import AffinityNet, with_background
from mmwsss.ops.pixel_affinity import dense_affinity, pair_indices


class _GivenAffinity(torch.nn.Module):
    """Backbone and head of such a network."""

    def __init__(self, affinity: Tensor, radius: int) -> None:
        super().__init__()
        self.given, self.radius = affinity, radius

    def radius_on(self, grid):
        return self.radius

    def forward(self, inputs):
        return inputs

    def affinity(self, features):
        return self.given


def bare_net(pairs: Tensor, radius: int, test_cfg: Mapping, **kwargs) -> AffinityNet:
    """A network with the affinities ``pairs`` ``(1, D, n)``."""
    init_default_scope('mmseg')
    model = AffinityNet(
        backbone=dict(type='mmwsss.ResNet38d', base_channels=1),
        decode_head=dict(type='mmwsss.AffinityHead', in_channels=(64,), channels=(1,)),
        test_cfg=test_cfg,
        **kwargs,
    )
    model.backbone = model.decode_head = _GivenAffinity(pairs, radius)
    return model


def pairs_of(matrix: Tensor, grid: tuple[int, int], radius: int) -> Tensor:
    """Affinities ``(1, D, n)`` of the pairs in an official matrix ``(N, N)`` that has no others."""
    source, target = pair_indices(grid, radius)
    pairs = matrix[source.expand_as(target), target][None]
    assert torch.equal(dense_affinity(pairs, grid, radius)[0], matrix)
    return pairs


@torch.no_grad()
def walked_scores(model: AffinityNet, cam: Tensor) -> Tensor:
    """Background and maps ``(K, H, W)`` after the walk, at the size padded to multiples of 8."""
    scores = with_background(cam[None], **model.settings.one_background)
    scores = F.pad(scores, (0, -cam.shape[-1] % 8, 0, -cam.shape[-2] % 8))
    return model.walk(scores.new_zeros(1, 3, *scores.shape[-2:]), scores)[0]


@torch.no_grad()
def predicted_mask(model: AffinityNet, inputs: Tensor, cam: Tensor, keys: Tensor) -> Tensor:
    """``(H, W)`` from a normalised image ``(3, H, W)`` and maps of the classes ``keys``."""
    sample = SegDataSample(metainfo=dict(ori_shape=tuple(inputs.shape[-2:])))
    sample.seed_cam = BaseDataElement(cam=cam, labels=keys)
    return model.predict(inputs[None], [sample])[0].pred_sem_seg.data[0]
