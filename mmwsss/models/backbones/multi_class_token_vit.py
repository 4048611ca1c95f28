"""A vision transformer with one class token per class."""

from functools import partial
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mmwsss.ops.class_attention import AttentionSums, attend_and_sum
from mmwsss.ops.clip.vit import split_heads
from mmwsss.ops.vit_positions import resize_positions
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, number, one_of

POSITIONS = ('joint', 'split')


class TokenFeatures(NamedTuple):
    """Tokens of :class:`MultiClassTokenViT`, without a final norm.

    Attributes:
        class_tokens: Behind every block ``(L, B, C, D)``, the last block last.
        patches: Behind the last block ``(B, D, h, w)``.
    """

    class_tokens: Tensor
    patches: Tensor


@MODELS.register_module()
@checked(
    num_classes=COUNT,
    img_size=COUNT,
    patch_size=COUNT,
    embed_dims=COUNT,
    num_layers=COUNT,
    num_heads=COUNT,
    drop_path_rate=number(0, 1, open_high=True),
    positions=one_of(*POSITIONS),
)
class MultiClassTokenViT(BaseModule):
    """MCTformer's encoder (arXiv 2203.02891, section 3.1): DeiT with C class tokens.

    The final norm of DeiT is not there, since no version of MCTformer applies it. Pixels beyond
    the last whole patch are not seen.

    Args:
        num_classes: C.
        img_size: Side of the images in training, a multiple of the patch.
        patch_size, embed_dims, num_layers, num_heads: Of the transformer.
        drop_path_rate: Stochastic depth of the last block; it rises linearly from 0.
        positions: ``'joint'``: one table, resized in training too (V1, V2); ``'split'``: one of
            class tokens and one of patches, and training images have to be of ``img_size``
            (MCTformer+).
        init_cfg: :class:`mmwsss.models.DeiTPretrained`, or as mmengine has it.

    Raises:
        ValueError: Unknown ``positions``, or an ``img_size`` that is no multiple of the patch.
    """

    def __init__(
        self,
        num_classes: int,
        img_size: int = 224,
        patch_size: int = 16,
        embed_dims: int = 384,
        num_layers: int = 12,
        num_heads: int = 6,
        drop_path_rate: float = 0.1,
        positions: str = 'joint',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if img_size % patch_size:
            raise ValueError(
                f'img_size={img_size} must be a positive multiple of patch_size={patch_size}'
            )
        self.num_classes, self.img_size, self.patch_size = num_classes, img_size, patch_size
        self.positions, self.embed_dims = positions, embed_dims
        self.patch_embed = PatchEmbed(
            None, patch_size, embed_dim=embed_dims, flatten=False, strict_img_size=False
        )
        cells = (img_size // patch_size) ** 2
        self.cls_token = _table(num_classes, embed_dims)
        if positions == 'joint':
            self.pos_embed = _table(num_classes + cells, embed_dims)
        else:
            self.pos_embed_cls = _table(num_classes, embed_dims)
            self.pos_embed_pat = _table(cells, embed_dims)
        rates = torch.linspace(0, drop_path_rate, num_layers, device='cpu').tolist()
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.ModuleList(
            Block(embed_dims, num_heads, qkv_bias=True, drop_path=rate, norm_layer=norm)
            for rate in rates
        )
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> TokenFeatures:
        """Normalised images ``(B, 3, H, W)`` -> tokens."""
        x, grid = self._embed(x)
        layers = []
        for block in self.blocks:
            x = block(x)
            layers.append(x[:, : self.num_classes])
        return self._features(layers, x, grid)

    def forward_with_attn(
        self, x: Tensor, class_layers: int
    ) -> tuple[TokenFeatures, AttentionSums]:
        """As :meth:`forward`, and sums of the attention; for inference.

        Args:
            x: Normalised images ``(B, 3, H, W)``.
            class_layers: The class attention is summed over this many last layers, that between
                patches over all.

        Raises:
            ValueError: ``class_layers`` is not in 1..number of layers.
        """
        if not 1 <= class_layers <= len(self.blocks):
            raise ValueError(
                f'class_layers must be in 1..{len(self.blocks)}, the layers of the backbone, got '
                f'{class_layers}'
            )
        x, grid = self._embed(x)
        sums, layers = AttentionSums(self.num_classes), []
        for i, block in enumerate(self.blocks):
            counts = i >= len(self.blocks) - class_layers
            x = x + block.drop_path1(_attend(block.attn, block.norm1(x), sums, counts))
            x = x + block.drop_path2(block.mlp(block.norm2(x)))
            layers.append(x[:, : self.num_classes])
        return self._features(layers, x, grid), sums

    def forward_with_layers(
        self, x: Tensor, heads: bool = False
    ) -> tuple[TokenFeatures, list[Tensor]]:
        """As :meth:`forward`, and the attention of each block, which passes gradients on.

        Args:
            x: Normalised images ``(B, 3, H, W)``.
            heads: Keep the heads apart.

        Returns:
            The attentions: ``(B, T, T)``, the mean over heads, or ``(B, heads, T, T)``; T = C + N,
            class tokens first, rows are queries.
        """
        x, grid = self._embed(x)
        tokens, attentions = [], []
        for block in self.blocks:
            out, attention = _attend_openly(block.attn, block.norm1(x))
            attentions.append(attention if heads else attention.mean(dim=1))
            x = x + block.drop_path1(out)
            x = x + block.drop_path2(block.mlp(block.norm2(x)))
            tokens.append(x[:, : self.num_classes])
        return self._features(tokens, x, grid), attentions

    def _embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Tokens with their positions ``(B, C + N, D)``, and the grid (h, w)."""
        size = tuple(images.shape[-2:])
        if min(size) < self.patch_size:
            raise ValueError(
                f'an image of {size[0]} x {size[1]} pixels is smaller than a patch of '
                f'{self.patch_size}: give larger images or scales'
            )
        patches = self.patch_embed(images)
        tokens = self.cls_token.expand(len(images), -1, -1)
        tokens = torch.cat([tokens, patches.flatten(2).mT], dim=1)
        grid = tuple(patches.shape[-2:])
        return tokens + self.position_table(size, grid), grid

    def position_table(self, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
        """Positions of class tokens and patches ``(1, C + h * w, D)``.

        Args:
            size: (H, W) of the images in pixels.
            grid: (h, w).

        Raises:
            ValueError: Split positions in training on images that are not of ``img_size``.
        """
        if self.positions == 'joint':
            classes, patches = self.pos_embed.tensor_split([self.num_classes], dim=1)
        else:
            classes, patches = self.pos_embed_cls, self.pos_embed_pat
        if patches.shape[1] == grid[0] * grid[1] and size[0] == size[1]:
            return torch.cat([classes, patches], dim=1)
        if self.positions == 'split' and self.training:
            raise ValueError(
                f"positions='split' are trained on images of img_size={self.img_size}, got "
                f'{size[0]} x {size[1]} pixels: crop the training images to img_size'
            )
        offset = 0.1 if self.positions == 'joint' else 0.0
        return torch.cat([classes, resize_positions(patches, grid, offset)], dim=1)

    def _features(self, layers: list[Tensor], x: Tensor, grid: tuple[int, int]) -> TokenFeatures:
        patches = x[:, self.num_classes :].mT.unflatten(2, grid)
        return TokenFeatures(torch.stack(layers), patches)


def _table(rows: int, channels: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, rows, channels), std=0.02))


def _attend(attn: nn.Module, x: Tensor, sums: AttentionSums, with_classes: bool) -> Tensor:
    heads = (split_heads(part, attn.num_heads) for part in attn.qkv(x).chunk(3, dim=-1))
    out = attend_and_sum(*heads, sums, with_classes)
    return attn.proj(out.transpose(1, 2).flatten(2))


def _attend_openly(attn: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Self-attention, and the weights ``(B, heads, T, T)`` that its values are taken with."""
    query, key, value = (split_heads(part, attn.num_heads) for part in attn.qkv(x).chunk(3, dim=-1))
    attention = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(dim=-1)
    return attn.proj((attention @ value).transpose(1, 2).flatten(2)), attention
