"""Conformer: convolutions and a transformer side by side, with its attention exposed."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mmwsss.ops.class_attention import AttentionSums, attend_and_sum
from mmwsss.ops.clip.vit import split_heads
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, number, one_of

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
_norm = partial(nn.BatchNorm2d, eps=1e-6)


class ConformerFeatures(NamedTuple):
    """What :class:`Conformer` ends in.

    Attributes:
        conv: Of the convolutions ``(B, C, h, w)``, one cell for each patch.
        tokens: Of the transformer, behind its last norm, class token first ``(B, 1 + h * w, D)``.
    """

    conv: Tensor
    tokens: Tensor


class ConvBlock(nn.Module):
    """Bottleneck whose 3x3 convolution can take a second map.

    Args:
        inputs, outputs: Channels; the bottleneck has a quarter of ``outputs``.
        stride: Of the 3x3 convolution.
        residual: A convolution in the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        inner = outputs // 4
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = _norm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = _norm(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = _norm(outputs)
        self.residual_conv = None
        if residual:
            self.residual_conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.residual_bn = _norm(outputs)

    def forward(self, x: Tensor, fused: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``(B, C, h, w)`` -> output, and what the 3x3 convolution gives."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner if fused is None else inner + fused)))
        out = self.bn3(self.conv3(inner))
        if self.residual_conv is not None:
            x = self.residual_bn(self.residual_conv(x))
        return F.relu(out + x), inner


class ToTokens(nn.Module):
    """Feature coupling unit downwards: a map becomes patches, the class token is passed on."""

    def __init__(self, channels: int, embed_dims: int, stride: int) -> None:
        super().__init__()
        self.conv_project = nn.Conv2d(channels, embed_dims, 1)
        self.ln = nn.LayerNorm(embed_dims, eps=1e-6)
        self.stride = stride

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` and tokens ``(B, 1 + N, D)`` -> tokens."""
        patches = F.avg_pool2d(self.conv_project(x), self.stride).flatten(2).mT
        return torch.cat([tokens[:, :1], F.gelu(self.ln(patches))], dim=1)


class ToMap(nn.Module):
    """Feature coupling unit upwards: patches become a map, the class token is left out."""

    def __init__(self, embed_dims: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv_project = nn.Conv2d(embed_dims, channels, 1)
        self.bn = _norm(channels)
        self.stride = stride

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens ``(B, 1 + h * w, D)`` -> ``(B, C, stride * h, stride * w)``."""
        x = tokens[:, 1:].mT.unflatten(2, grid)
        x = F.relu(self.bn(self.conv_project(x)))
        return F.interpolate(x, scale_factor=self.stride, mode='nearest')


class ConvTransBlock(nn.Module):
    """A block of each branch, coupled in both directions.

    Args:
        inputs, outputs: Channels of the convolutions.
        embed_dims, num_heads, drop_path: Of the transformer block.
        stride: Of the convolutions.
        patch_stride: From the map to the patches.
        last: The second bottleneck has a convolution in its shortcut.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embed_dims: int,
        num_heads: int,
        drop_path: float,
        stride: int,
        patch_stride: int,
        last: bool,
    ) -> None:
        super().__init__()
        self.cnn_block = ConvBlock(inputs, outputs, stride, residual=inputs != outputs)
        self.fusion_block = ConvBlock(outputs, outputs, residual=last)
        self.squeeze_block = ToTokens(outputs // 4, embed_dims, patch_stride)
        self.expand_block = ToMap(embed_dims, outputs // 4, patch_stride)
        self.trans_block = _transformer_block(embed_dims, num_heads, drop_path)
        self.patch_stride = patch_stride

    def forward(self, x: Tensor, tokens: Tensor, attend: Attend) -> tuple[Tensor, Tensor]:
        """Map and tokens -> map and tokens. The class token enters the block doubled."""
        x, inner = self.cnn_block(x)
        grid = tuple(side // self.patch_stride for side in inner.shape[-2:])
        tokens = _run_block(self.trans_block, self.squeeze_block(inner, tokens) + tokens, attend)
        return self.fusion_block(x, self.expand_block(tokens, grid))[0], tokens


@MODELS.register_module()
@checked(
    base_channels=COUNT,
    channel_ratio=COUNT,
    embed_dims=COUNT,
    depth=number(3, integer=True),
    num_heads=COUNT,
    patch_size=one_of(8, 16),
    drop_path_rate=number(0, 1, open_high=True),
)
class Conformer(BaseModule):
    """Conformer (Peng et al., arXiv 2105.03889; official code: pengzhiliang/Conformer) as TransCAM
    changed it: the last map of the convolutions has the grid of the patches.

    Attribute names are the official ones; the classifiers are left to the head. There are no
    positions, so images may have any size and aspect. An image whose sides are no multiples of the
    patch is first resized (bilinear) to the next ones, so that the grid covers all of it.

    Args:
        base_channels: Channels of the stem.
        channel_ratio: The stages have ``base_channels`` times this, twice and four times as many
            channels (1: Conformer-Ti, 4: -S, 6: -B).
        embed_dims, num_heads: Of the transformer (384 and 6, -B: 576 and 9).
        depth: Transformer blocks, a third in each stage.
        patch_size: 16, or 8 for small images: the stem then has half the stride.
        drop_path_rate: Stochastic depth of the last transformer block; it rises linearly from 0.
        init_cfg: :class:`mmwsss.models.StrictPretrained` reads the official ImageNet file.

    Raises:
        ValueError: A value out of its range, or a ``depth`` that three does not divide.
    """

    def __init__(
        self,
        base_channels: int = 64,
        channel_ratio: int = 4,
        embed_dims: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        patch_size: int = 16,
        drop_path_rate: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if patch_size not in (8, 16):
            raise ValueError(f'patch_size must be 8 or 16, got {patch_size!r}')
        if depth % 3 or embed_dims % num_heads:
            raise ValueError(
                f'depth={depth} must be a multiple of 3 and embed_dims={embed_dims} one of '
                f'num_heads={num_heads}'
            )
        self.patch_size, self.depth = patch_size, depth
        rates = torch.linspace(0, drop_path_rate, depth, device='cpu').tolist()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.trans_norm = nn.LayerNorm(embed_dims)
        self.conv1 = nn.Conv2d(3, base_channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        channels = base_channels * channel_ratio
        self.conv_1 = ConvBlock(base_channels, channels, residual=True)
        self.trans_patch_conv = nn.Conv2d(base_channels, embed_dims, 4, stride=4)
        self.trans_1 = _transformer_block(embed_dims, num_heads, rates[0])
        for i in range(1, depth):
            stage = i * 3 // depth
            first = stage > 0 and (i - 1) * 3 // depth < stage
            outputs = channels * 2**stage
            block = ConvTransBlock(
                outputs // 2 if first else outputs,
                outputs,
                embed_dims,
                num_heads,
                rates[i],
                stride=2 if first else 1,
                patch_stride=4 // 2**stage,
                last=i == depth - 1,
            )
            self.add_module(f'conv_trans_{i + 1}', block)
        self._draw()

    def _draw(self) -> None:
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x: Tensor) -> ConformerFeatures:
        """Normalised images ``(B, 3, H, W)`` -> map and tokens."""
        return self._run(x, F.scaled_dot_product_attention)

    def forward_with_attn(self, x: Tensor) -> tuple[ConformerFeatures, AttentionSums]:
        """As :meth:`forward`, and the attention, added up over all blocks while they run.

        For inference: nothing of the size of an attention is kept but the two sums.
        """
        sums = AttentionSums(num_classes=1)
        return self._run(x, partial(attend_and_sum, sums=sums, with_classes=True)), sums

    def forward_with_layers(self, x: Tensor) -> tuple[ConformerFeatures, list[Tensor]]:
        """As :meth:`forward`, and the mean over heads of each block's attention.

        For losses: the attentions ``(B, 1 + N, 1 + N)``, rows are queries, pass gradients on.
        """
        layers = []

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            attention = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(dim=-1)
            layers.append(attention.mean(dim=1))
            return attention @ value

        return self._run(x, attend), layers

    def _run(self, images: Tensor, attend: Attend) -> ConformerFeatures:
        size = tuple(-(-side // self.patch_size) * self.patch_size for side in images.shape[-2:])
        if size != tuple(images.shape[-2:]):
            images = F.interpolate(images, size=size, mode='bilinear', align_corners=False)
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.max_pool2d(x, 3, stride=self.patch_size // 8, padding=1)
        patches = self.trans_patch_conv(x).flatten(2).mT
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1)
        tokens = _run_block(self.trans_1, tokens, attend)
        x = self.conv_1(x)[0]
        for i in range(2, self.depth + 1):
            x, tokens = self.get_submodule(f'conv_trans_{i}')(x, tokens, attend)
        return ConformerFeatures(x, self.trans_norm(tokens))


def _transformer_block(embed_dims: int, num_heads: int, drop_path: float) -> Block:
    norm = partial(nn.LayerNorm, eps=1e-6)
    return Block(embed_dims, num_heads, qkv_bias=True, drop_path=drop_path, norm_layer=norm)


def _run_block(block: Block, tokens: Tensor, attend: Attend) -> Tensor:
    """A transformer block whose attention is computed by ``attend``."""
    x, attn = block.norm1(tokens), block.attn
    out = attend(*(split_heads(part, attn.num_heads) for part in attn.qkv(x).chunk(3, dim=-1)))
    tokens = tokens + block.drop_path1(attn.proj(out.transpose(1, 2).flatten(2)))
    return tokens + block.drop_path2(block.mlp(block.norm2(tokens)))
