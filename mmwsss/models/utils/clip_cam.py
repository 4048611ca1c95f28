"""Grad-CAM of frozen CLIP for the classes in the image labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmwsss.models.backbones.clip_vit import CLIPFeatures, FrozenCLIP
from mmwsss.models.text_encoders import TextBank
from mmwsss.ops.cam import minmax_normalize


@dataclass
class CLIPCAMs:
    """Maps of the (image, class) pairs of a batch, image-major, classes ascending.

    Attributes:
        maps: ``(P, h, w)`` in [0, 1].
        labels: ``(P,)`` foreground class index (from 0).
        image_index: ``(P,)``.
        attn: Head-averaged attention of the encoded blocks and the last one, class token removed,
            ``(n, B, N, N)``, deepest last.
    """

    maps: Tensor
    labels: Tensor
    image_index: Tensor
    attn: Tensor


def clip_cams(
    backbone: FrozenCLIP, text: TextBank, features: CLIPFeatures, image_labels: Tensor
) -> CLIPCAMs:
    """Softmax Grad-CAM of every class in the image labels (CLIP-ES, section 3.2).

    Args:
        backbone: Frozen CLIP.
        text: Encoded texts.
        features: Of the frozen blocks.
        image_labels: Multi-hot ``(B, C_fg)``.
    """
    image_index, labels = image_labels.nonzero(as_tuple=True)
    seed = backbone.gradcam(
        features.tokens[-1], text.embeddings, text.mask(image_labels), image_index, labels
    )
    maps = seed.cam.relu().unflatten(1, features.grid)
    maps = minmax_normalize(minmax_normalize(maps))  # twice, as the official code does
    last = seed.attn[None, :, 1:, 1:]
    attn = torch.cat([features.attn, last]) if features.attn.numel() else last
    return CLIPCAMs(maps, labels, image_index, attn)
