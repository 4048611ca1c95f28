"""Frozen CLIP vision transformer as a backbone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mmwsss.models.layers.clip_text import CLIPText
from mmwsss.models.utils.clip_weights import load_clip
from mmwsss.ops.clip.gradcam import SoftmaxGradCAM, clip_softmax_gradcam
from mmwsss.ops.clip.vit import embed_patches, encode_text, run_block
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import FLAG, checked
from mmwsss.utils.checks import check_choice

from .frozen import FrozenBackbone, digest


@dataclass(frozen=True)
class CLIPRequest:
    """What :meth:`FrozenCLIP.encode` shall give beside the tokens.

    Attributes:
        last: Run the last block, too; Grad-CAM runs it by itself.
        attn: Attention maps of this many of the deepest blocks, the last block counted.
        heads: What an attention map is, the ``'mean'`` or the ``'sum'`` over the heads.
        middle: The residual stream between attention and MLP of every block.
        projected: Tokens of the last block in the space of the texts.
        pre_grid, double_class: See :func:`mmwsss.ops.clip.vit.embed_patches`.
        drop_path: Stochastic depth, from 0 in the first to this in the last block.
    """

    last: bool = False
    attn: int = 0
    heads: str = 'mean'
    middle: bool = False
    projected: bool = False
    pre_grid: int | None = None
    double_class: bool = False
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        check_choice('heads', self.heads, ('mean', 'sum'))
        if self.projected and not self.last:
            raise ValueError('projected tokens are those of the last block: ask for last=True')


@dataclass
class CLIPFeatures:
    """What the frozen blocks give; see :class:`CLIPRequest`.

    Attributes:
        grid: Patches (h, w).
        tokens: Residual stream behind each block that ran, ``(B, 1 + h*w, C)`` each.
        attn: Attention without the class token ``(n, B, N, N)`` float32, deepest last.
        middle: As ``tokens``, behind the attention of each block.
        projected: ``(B, 1 + h*w, D)``.
    """

    grid: tuple[int, int]
    tokens: list[Tensor]
    attn: Tensor
    middle: list[Tensor] = field(default_factory=list)
    projected: Tensor | None = None

    def patch_maps(self) -> list[Tensor]:
        """Patch tokens of every block as maps ``(B, C, h, w)``."""
        return [t[:, 1:].transpose(1, 2).unflatten(2, self.grid) for t in self.tokens]


@MODELS.register_module()
@checked(quick_gelu=FLAG, half_rounding=FLAG, save_frozen=FLAG)
class FrozenCLIP(FrozenBackbone):
    """CLIP ViT that is never trained: tokens and attention of every block, and Grad-CAM.

    :meth:`encode` runs all blocks but the last, or all if asked to; :meth:`gradcam` runs the last.
    Position embeddings are resized bilinearly to any image size.

    Checkpoints do not hold the frozen weights but a digest of them, and loading a checkpoint that
    was made with another CLIP is an error.

    Args:
        checkpoint: See :func:`mmwsss.models.utils.clip_weights.load_clip`.
        quick_gelu: Activation; None takes it from the file.
        half_rounding: Round position embeddings and attention's output projections to half
            precision as the official code of CLIP-ES and WeCLIP does.
        save_frozen: Keep the vision tower's weights in checkpoints.
    """

    kind = 'CLIP'
    towers = ('visual', 'text_tower')

    def __init__(
        self,
        checkpoint: str | Path | Mapping[str, Tensor] = 'openai',
        quick_gelu: bool | None = None,
        half_rounding: bool = False,
        save_frozen: bool = False,
    ) -> None:
        source = 'state dict' if isinstance(checkpoint, Mapping) else str(checkpoint)
        super().__init__(source, ('visual',) if save_frozen else ())
        clip = load_clip(checkpoint, quick_gelu)
        self.visual, self.text_tower = clip.visual, CLIPText(clip)
        self.register_buffer('logit_scale', clip.logit_scale.detach().exp(), persistent=False)
        self.half_rounding = half_rounding
        self._checkpoint, self._quick_gelu = checkpoint, quick_gelu
        self._text_digest: int | None = None
        self.freeze()

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.visual.conv1.kernel_size[0]

    @property
    def embed_dims(self) -> int:
        """Width of the tokens of an image."""
        return self.visual.positional_embedding.shape[1]

    @property
    def num_layers(self) -> int:
        """Number of blocks, the last one included."""
        return len(self.visual.transformer.resblocks)

    @torch.no_grad()
    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embeddings ``(T, D)`` of token ids ``(T, L)``, not normalised."""
        return encode_text(self.text(), tokens, self.half_rounding)

    def text(self) -> CLIPText:
        """The text tower, read again if it was dropped.

        Raises:
            ValueError: The file holds another CLIP now.
        """
        if self.text_tower is None:
            clip = load_clip(self._checkpoint, self._quick_gelu).requires_grad_(False)
            if digest(clip.visual.state_dict()).item() != self.digest.item():
                raise ValueError(f'{self._source} does not hold the CLIP any more that was loaded')
            self.text_tower = CLIPText(clip).to(self.digest.device)
        return self.text_tower

    def text_digest(self) -> int:
        """Digest of the weights of the text tower, which is not read again for it."""
        if self._text_digest is None:
            self._text_digest = digest(self.text().state_dict()).item()
        return self._text_digest

    def drop_text(self) -> None:
        """Free the text tower once all texts are encoded."""
        self.text_tower = None

    @torch.no_grad()
    def encode(self, image: Tensor, request: CLIPRequest = CLIPRequest()) -> CLIPFeatures:
        """Run the blocks.

        Args:
            image: Normalised ``(B, 3, H, W)``.
            request: What is wanted.
        """
        return self.run_blocks(image, request)

    def run_blocks(self, image: Tensor, request: CLIPRequest) -> CLIPFeatures:
        """:meth:`encode` through which gradients pass."""
        patch, half, count = self.patch_size, self.half_rounding, self.num_layers
        grid = (image.shape[-2] // patch, image.shape[-1] // patch)
        x = embed_patches(self.visual, image, half, request.pre_grid, request.double_class)
        features = CLIPFeatures(grid, [], x.new_zeros(0))
        attn = []
        for i, block in enumerate(self.visual.transformer.resblocks[: count - (not request.last)]):
            heads = request.heads if i >= count - request.attn else None
            drop_path = request.drop_path * i / max(count - 1, 1)
            x, middle, weights = run_block(block, x, heads, half, drop_path=drop_path)
            features.tokens.append(x)
            if request.middle:
                features.middle.append(middle)
            if weights is not None:
                attn.append(weights[:, 1:, 1:].float())
        if attn:
            features.attn = torch.stack(attn)
        if request.projected:
            features.projected = self.visual.ln_post(x) @ self.visual.proj
        return features

    def gradcam(
        self,
        tokens: Tensor,
        text: Tensor,
        text_mask: Tensor,
        image_index: Tensor,
        text_index: Tensor,
    ) -> SoftmaxGradCAM:
        """Run the last block and take Grad-CAM; see :func:`clip_softmax_gradcam`."""
        return clip_softmax_gradcam(
            self.visual.transformer.resblocks[-1],
            self.visual.ln_post,
            self.visual.proj,
            tokens,
            text,
            text_mask,
            self.logit_scale,
            image_index,
            text_index,
            self.half_rounding,
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Patch maps ``(B, C, h, w)`` behind every block but the last, for mmseg's heads."""
        return tuple(self.encode(image).patch_maps())
