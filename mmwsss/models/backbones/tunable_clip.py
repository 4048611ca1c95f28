"""CLIP with prepared position tables, frozen or trained."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmwsss.ops.clip.vit import interpolate_positions
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, FLAG, checked
from mmwsss.utils.checks import check_range

from .clip_vit import CLIPFeatures, CLIPRequest, FrozenCLIP

_PLAIN = CLIPRequest()


@MODELS.register_module()
@checked(quick_gelu=FLAG, frozen=FLAG, grid=COUNT, context_length=COUNT)
class TunableCLIP(FrozenCLIP):
    """CLIP whose position tables have the size of a training, and that may be trained.

    Checkpoints of a trained one hold its weights; those of a frozen one their digest, see
    :class:`FrozenCLIP`.

    Args:
        checkpoint, quick_gelu: See :class:`FrozenCLIP`.
        frozen: Never trained.
        grid: Side of the grid to which the position embedding of the images is resized once, when
            the model is built (WeakCLIP: 32, the grid of its crop); None leaves it.
        context_length: Positions of texts that are kept, the first ones (WeakCLIP: 13); None: all.

    Raises:
        ValueError: CLIP has fewer positions of texts than are to be kept.
    """

    def __init__(
        self,
        checkpoint: str | Path | Mapping[str, Tensor] = 'openai',
        quick_gelu: bool | None = None,
        frozen: bool = True,
        grid: int | None = None,
        context_length: int | None = None,
    ) -> None:
        super().__init__(checkpoint, quick_gelu, save_frozen=not frozen)
        self.frozen = frozen
        visual, text = self.visual, self.text_tower
        check_range(
            'backbone.context_length',
            context_length,
            1,
            len(text.positional_embedding),
            integer=True,
        )
        if grid is not None and len(visual.positional_embedding) != 1 + grid * grid:
            table = interpolate_positions(visual.positional_embedding.detach(), (grid, grid))
            visual.positional_embedding = nn.Parameter(table, requires_grad=False)
        if context_length is not None:
            table = text.positional_embedding.detach()[:context_length].clone()
            text.positional_embedding = nn.Parameter(table, requires_grad=False)
        if not frozen:
            self._stored = self.towers
            self.visual.requires_grad_(True)
            self.text_tower.requires_grad_(True)

    def encode(self, image: Tensor, request: CLIPRequest = _PLAIN) -> CLIPFeatures:
        """See :meth:`FrozenCLIP.encode`; gradients pass if it is not frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.run_blocks(image, request)

    def drop_text(self) -> None:
        """The text tower stays: gradients of learned contexts pass through it."""

    def _complete_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """A checkpoint that holds the towers may come from any CLIP."""
        if all(any(k.startswith(f'{prefix}{name}.') for k in state_dict) for name in self.towers):
            state_dict[f'{prefix}digest'] = self.digest
        super()._complete_state_dict(state_dict, prefix, *args)
