"""Frozen CLIP with a second path for dense features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmwsss.ops.clip.surgery import calibrate, project_patches, reference_tokens, run_surgery_block
from mmwsss.ops.clip.vit import embed_patches, run_block
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked
from mmwsss.utils.checks import check_range

from .clip_vit import CLIPFeatures, FrozenCLIP


@dataclass
class SurgeryFeatures(CLIPFeatures):
    """What both paths give.

    Attributes:
        tokens: The sets for the decoder (:func:`mmwsss.ops.clip.surgery.reference_tokens`).
        attn: CLIP's own attention: the mean over the heads of the blocks with one path, the sum
            of those with two, as the official refinement takes them.
        new: Final second stream ``(B, 1 + N, C)``, with the class token of CLIP's own path.
        values: See :func:`mmwsss.ops.clip.surgery.calibrate`.
    """

    new: Tensor | None = None
    values: Tensor | None = None


@MODELS.register_module()
@checked(num_surgery=COUNT)
class SurgeryCLIP(FrozenCLIP):
    """Frozen CLIP whose last blocks have a second path (SVC of ExCEL, arXiv 2503.20826).

    Args:
        num_surgery: Blocks with a second path, 5 in ExCEL.
        kwargs: Arguments of :class:`FrozenCLIP`.

    Raises:
        ValueError: ``num_surgery`` is not below the number of blocks.
    """

    def __init__(self, num_surgery: int = 5, **kwargs) -> None:
        super().__init__(**kwargs)
        check_range('backbone.num_surgery', num_surgery, 1, self.num_layers - 1, integer=True)
        self.num_surgery = num_surgery

    @torch.no_grad()
    def encode_surgery(
        self, image: Tensor, attn: int = 0, pre_grid: int | None = None
    ) -> SurgeryFeatures:
        """Run all blocks.

        Args:
            image: Normalised ``(B, 3, H, W)``.
            attn: Number of attention maps, of the deepest blocks.
            pre_grid: See :func:`mmwsss.ops.clip.vit.embed_patches`.
        """
        patch, blocks = self.patch_size, self.visual.transformer.resblocks
        grid = (image.shape[-2] // patch, image.shape[-1] // patch)
        x = embed_patches(self.visual, image, self.half_rounding, pre_grid)
        tokens, middle, maps, values, new = [], [], [], 0, None
        for i, block in enumerate(blocks):
            wanted = i >= len(blocks) - attn
            if i < len(blocks) - self.num_surgery:
                x, behind_attn, weights = run_block(block, x, 'mean' if wanted else None)
            else:
                out = run_surgery_block(block, x, x if new is None else new)
                x, behind_attn, new, weights, add = out
                values = values + add.float()
            tokens.append(x)
            middle.append(behind_attn)
            if wanted:
                maps.append(weights[:, 1:, 1:].float())
        new = torch.cat([x[:, :1], new[:, 1:]], dim=1).float()
        sets = reference_tokens(tokens, middle, new, self.num_surgery)
        attn_maps = torch.stack(maps) if maps else x.new_zeros(0)
        return SurgeryFeatures(grid, sets, attn_maps, new=new, values=values)

    @torch.no_grad()
    def patch_features(self, features: SurgeryFeatures, attention: Tensor | None = None) -> Tensor:
        """Features ``(B, 1 + N, D)`` to be compared with texts.

        Args:
            features: From :meth:`encode_surgery`.
            attention: Learned calibration ``(B, N, N)``
                (:func:`mmwsss.ops.clip.surgery.dynamic_attention`); None: static.
        """
        new = features.new
        if attention is not None:
            heads = self.visual.transformer.resblocks[-1].attn.num_heads
            new = calibrate(new, features.values, attention, heads)
        return project_patches(self.visual, new)
