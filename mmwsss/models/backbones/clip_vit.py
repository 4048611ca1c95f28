"""Frozen CLIP vision transformer as a backbone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.models.utils.clip_weights import load_clip
from mmwsss.ops.clip.gradcam import SoftmaxGradCAM, clip_softmax_gradcam
from mmwsss.ops.clip.vit import embed_patches, encode_text, run_block
from mmwsss.registry import MODELS


@dataclass
class CLIPFeatures:
    """What the frozen blocks give.

    Attributes:
        grid: Patches (h, w).
        tokens: Residual stream behind each block but the last, ``(B, 1 + h*w, C)`` each.
        attn: Head-averaged attention of the last of those blocks, class token removed,
            ``(n, B, N, N)`` float32, deepest last.
    """

    grid: tuple[int, int]
    tokens: list[Tensor]
    attn: Tensor

    def patch_maps(self) -> list[Tensor]:
        """Patch tokens of every block as maps ``(B, C, h, w)``."""
        return [t[:, 1:].transpose(1, 2).unflatten(2, self.grid) for t in self.tokens]


@MODELS.register_module()
class FrozenCLIP(BaseModule):
    """CLIP ViT that is never trained: tokens and attention of every block, and Grad-CAM.

    All blocks but the last run in :meth:`encode`; :meth:`gradcam` runs the last one. Position
    embeddings are resized bilinearly to any image size.

    Checkpoints do not hold the frozen weights but a digest of them, and loading a checkpoint that
    was made with another CLIP is an error.

    Args:
        checkpoint: See :func:`mmwsss.models.utils.clip_weights.load_clip`.
        quick_gelu: Activation; None takes it from the file.
        half_rounding: Round position embeddings and attention's output projections to half
            precision as the official code of CLIP-ES and WeCLIP does.
        save_frozen: Keep the vision tower's weights in checkpoints.
    """

    def __init__(
        self,
        checkpoint: str | Path | Mapping[str, Tensor] = 'openai',
        quick_gelu: bool | None = None,
        half_rounding: bool = False,
        save_frozen: bool = False,
    ) -> None:
        super().__init__()
        clip = load_clip(checkpoint, quick_gelu).requires_grad_(False)
        self.visual = clip.visual
        self.register_buffer('logit_scale', clip.logit_scale.detach().exp(), persistent=False)
        self.register_buffer('digest', _digest(self.visual.state_dict()))
        self.half_rounding = half_rounding
        self._source = str(checkpoint) if not isinstance(checkpoint, Mapping) else 'state dict'
        self._text_tower = [clip]  # in a list: not a submodule, so neither saved nor moved
        self._is_init = True
        self._register_load_state_dict_pre_hook(self._complete_state_dict)
        if not save_frozen:
            self.register_state_dict_post_hook(_drop_frozen)

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self.visual.conv1.kernel_size[0]

    @property
    def num_layers(self) -> int:
        """Number of blocks, the last one included."""
        return len(self.visual.transformer.resblocks)

    @torch.no_grad()
    def encode_text(self, tokens: Tensor) -> Tensor:
        """Embeddings ``(T, D)`` of token ids ``(T, L)``, not normalised."""
        if not self._text_tower:
            raise RuntimeError('the text tower was dropped; encode texts before drop_text()')
        return encode_text(self._text_tower[0], tokens, self.half_rounding)

    def drop_text(self) -> None:
        """Free the text tower once all texts are encoded."""
        self._text_tower.clear()

    @torch.no_grad()
    def encode(self, image: Tensor, num_attn: int = 0) -> CLIPFeatures:
        """Run all blocks but the last.

        Args:
            image: Normalised ``(B, 3, H, W)``.
            num_attn: Number of attention maps to return, of the deepest of these blocks.
        """
        patch = self.patch_size
        grid = (image.shape[-2] // patch, image.shape[-1] // patch)
        x = embed_patches(self.visual, image, self.half_rounding)
        blocks = self.visual.transformer.resblocks[:-1]
        tokens, attn = [], []
        for i, block in enumerate(blocks):
            need = i >= len(blocks) - num_attn
            x, weights = run_block(block, x, need, self.half_rounding)
            tokens.append(x)
            if need:
                attn.append(weights[:, 1:, 1:].float())
        return CLIPFeatures(grid, tokens, torch.stack(attn) if attn else x.new_zeros(0))

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

    def train(self, mode: bool = True) -> 'FrozenCLIP':
        """Stay in evaluation mode."""
        return super().train(False)

    def _complete_state_dict(self, state_dict: dict, prefix: str, *_) -> None:
        """Fill in what checkpoints leave out; refuse those of another CLIP."""
        digest = state_dict.setdefault(f'{prefix}digest', self.digest)
        if digest.item() != self.digest.item():
            raise ValueError(
                'This checkpoint was trained with another CLIP than the configured one '
                f'({self._source}): the digests of the weights differ. Point '
                'model.backbone.checkpoint to the CLIP file used in training.'
            )
        for key, value in self.visual.state_dict(prefix=f'{prefix}visual.').items():
            state_dict.setdefault(key, value)


def _drop_frozen(module: FrozenCLIP, state_dict: dict, prefix: str, *_) -> None:
    for key in [k for k in state_dict if k.startswith(f'{prefix}visual.')]:
        del state_dict[key]


def _digest(state: Mapping[str, Tensor]) -> Tensor:
    """First 63 bits of the SHA-256 of all weights, ``()`` int64."""
    sha = hashlib.sha256()
    for key in sorted(state):
        sha.update(key.encode())
        sha.update(state[key].contiguous().numpy().tobytes())
    return torch.tensor(int.from_bytes(sha.digest()[:8], 'big') >> 1)
