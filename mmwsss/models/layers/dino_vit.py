"""The vision transformer of DINOv2, with the official key names."""

from functools import partial

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mmwsss.ops.vit_positions import interpolate_dino_positions


class DinoViT(nn.Module):
    """DINOv2 (arXiv 2304.07193) for inference: any grid, tokens behind the final norm.

    timm's own model resamples positions by another rule than DINOv2 without registers does.

    Args:
        embed_dims, num_layers, num_heads, patch_size: Of the transformer.
        table_size: Side of the grid that the position table was trained for.
        num_registers: Register tokens (arXiv 2309.16588).
    """

    def __init__(
        self,
        embed_dims: int = 384,
        num_layers: int = 12,
        num_heads: int = 6,
        patch_size: int = 14,
        table_size: int = 37,
        num_registers: int = 0,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(
            None, patch_size, embed_dim=embed_dims, flatten=False, strict_img_size=False
        )
        self.cls_token = nn.Parameter(torch.randn(1, 1, embed_dims) * 1e-6)
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + table_size**2, embed_dims) * 0.02)
        if num_registers:
            self.register_tokens = nn.Parameter(torch.randn(1, num_registers, embed_dims) * 1e-6)
        self.num_registers = num_registers
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.ModuleList(
            Block(embed_dims, num_heads, qkv_bias=True, init_values=1.0, norm_layer=norm)
            for _ in range(num_layers)
        )
        self.norm = norm(embed_dims)

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.patch_embed.proj.kernel_size[0]

    def forward(self, image: Tensor) -> Tensor:
        """Class and patch tokens behind the final norm.

        Args:
            image: Normalised ``(B, 3, H, W)``, sides multiples of the patch.

        Returns:
            ``(B, 1 + h * w, C)``.
        """
        x = self.patch_embed(image)
        registers = self.num_registers > 0
        positions = interpolate_dino_positions(self.pos_embed, tuple(x.shape[-2:]), registers)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        x = x + positions
        if registers:
            tokens = self.register_tokens.expand(len(x), -1, -1)
            x = torch.cat([x[:, :1], tokens, x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return torch.cat([x[:, :1], x[:, 1 + self.num_registers :]], dim=1)
