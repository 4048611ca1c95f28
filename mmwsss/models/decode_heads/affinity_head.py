"""Embedding of AffinityNet (arXiv 1803.10464, section 3.1)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.ops.pixel_affinity import pair_labels, pixel_affinity
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, FLAG, checked, number, several


@MODELS.register_module()
@checked(
    in_channels=several(COUNT),
    channels=several(COUNT),
    num_groups=several(COUNT),
    radius=number(2, integer=True),
    shrink_radius=FLAG,
)
class AffinityHead(BaseModule):
    """A 1x1 convolution per backbone level, concatenated and mixed by another one.

    Layers have the official names: ``f8_3``, ``f8_4``, ... per level, ``gn8_*`` their group
    norms, ``f9`` the last one.

    Args:
        in_channels: Channels of the backbone's levels, all of the same size.
        channels: Channels that each level is reduced to; the embedding has their sum.
        num_groups: Groups of a group norm behind each reduction (VGG-16); None for no norms.
        radius: Pixels less than this far apart on the grid of the features are pairs.
        shrink_radius: Use ``(min(h, w) - 1) // 2`` on grids where that is smaller, as SEAM does;
            otherwise images too small for the radius are an error, as in the official code.
        loss: Loss on the pairs.
        init_cfg: See :class:`mmengine.model.BaseModule`. None: Kaiming-normal reductions, ``f9``
            Xavier-uniform with gain 4.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (512, 1024, 4096),
        channels: Sequence[int] = (64, 128, 256),
        num_groups: Sequence[int] | None = None,
        radius: int = 5,
        shrink_radius: bool = False,
        loss: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        lengths = {len(in_channels), len(channels), len(num_groups or channels)}
        if len(lengths) > 1:
            raise ValueError(
                'in_channels, channels and num_groups need one entry per level, got '
                f'{in_channels}, {channels} and {num_groups}'
            )
        self.in_channels = tuple(in_channels)
        self.radius = radius
        self.shrink_radius = shrink_radius
        self.levels = range(3, 3 + len(channels))
        for i, level in enumerate(self.levels):
            conv = nn.Conv2d(in_channels[i], channels[i], 1, bias=False)
            nn.init.kaiming_normal_(conv.weight)
            norm = nn.GroupNorm(num_groups[i], channels[i]) if num_groups else nn.Identity()
            self.add_module(f'f8_{level}', conv)
            self.add_module(f'gn8_{level}', norm)
        self.f9 = nn.Conv2d(sum(channels), sum(channels), 1, bias=False)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)
        self.loss = MODELS.build(loss or dict(type='mmwsss.PairAffinityLoss'))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Levels ``(B, C_i, h, w)`` -> embedding ``(B, sum(channels), h, w)``."""
        reduced = [
            F.elu(getattr(self, f'gn8_{level}')(getattr(self, f'f8_{level}')(feature)))
            for level, feature in zip(self.levels, features, strict=True)
        ]
        return F.elu(self.f9(torch.cat(reduced, dim=1)))

    def radius_on(self, grid: tuple[int, int]) -> int:
        """Radius of the pairs on a grid ``(h, w)``."""
        return min(self.radius, (min(grid) - 1) // 2) if self.shrink_radius else self.radius

    def affinity(self, features: Sequence[Tensor]) -> Tensor:
        """Affinities ``(B, D, n)`` of the pairs."""
        embedding = self(features)
        return pixel_affinity(embedding, self.radius_on(embedding.shape[-2:]))

    def loss_by_label(self, features: Sequence[Tensor], label: Tensor) -> dict[str, Tensor]:
        """Losses against label maps ``(B, h, w)`` on the grid of the features.

        Raises:
            ValueError: The labels are on another grid.
        """
        grid = features[0].shape[-2:]
        if label.shape[-2:] != grid:
            raise ValueError(
                f'the label map is {tuple(label.shape[-2:])}, the features are {tuple(grid)}: '
                "crop_size must be a multiple of FuseLowHighAlpha's pool, and that the stride of "
                'the backbone'
            )
        return self.loss(self.affinity(features), pair_labels(label, self.radius_on(grid)))
