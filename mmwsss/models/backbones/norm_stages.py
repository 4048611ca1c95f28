"""Frozen stages and batch norms of backbones that are plain ResNets in their outline."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mmwsss.utils.arguments import FLAG, checked, number, several


@checked(
    out_indices=several(number(0, 3, integer=True)),
    frozen_stages=number(-1, 4, integer=True),
    norm_eval=FLAG,
    norm_frozen=FLAG,
)
class NormStages(BaseModule):
    """A stem and the stages ``layer1`` to ``layer4``, of which some are frozen.

    Args:
        stem: Names of the modules of the stem.
        out_indices: Stages that are returned, 0 to 3.
        frozen_stages: -1 freezes nothing, 0 the stem, 1 also ``layer1``, and so on up to 4.
        norm_eval: Batch norms always use their running statistics.
        norm_frozen: Affine parameters of the batch norms are not trained.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: A value is out of range.
    """

    def __init__(
        self,
        stem: Sequence[str],
        out_indices: Sequence[int],
        frozen_stages: int,
        norm_eval: bool,
        norm_frozen: bool,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.norm_eval, self.norm_frozen = norm_eval, norm_frozen
        self._stem = tuple(stem)

    def freeze(self) -> None:
        """Freeze what the arguments say, once the modules are there."""
        layers = [f'layer{i}' for i in range(1, self.frozen_stages + 1)]
        for name in (*self._stem, *layers) if self.frozen_stages >= 0 else ():
            getattr(self, name).requires_grad_(False)
        if self.norm_frozen:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.requires_grad_(False)

    def train(self, mode: bool = True) -> 'NormStages':
        """Training mode; batch norms stay in evaluation mode if ``norm_eval``."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Output of the stem ``(B, C, h, w)`` -> outputs of the stages in ``out_indices``."""
        outs = []
        for i in range(4):
            x = getattr(self, f'layer{i + 1}')(x)
            outs.append(x)
        return tuple(outs[i] for i in self.out_indices)
