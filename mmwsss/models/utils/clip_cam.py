"""Grad-CAM of frozen CLIP for the classes in the image labels."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmwsss.models.backbones.clip_vit import CLIPFeatures, CLIPRequest, FrozenCLIP
from mmwsss.models.text_encoders import TextBank
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.pairs import pack_pairs
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.ops.resize import upsample
from mmwsss.structures import Maps


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
    backbone: FrozenCLIP,
    text: TextBank,
    features: CLIPFeatures,
    image_labels: Tensor,
    source: int = -1,
) -> CLIPCAMs:
    """Softmax Grad-CAM of every class in the image labels (CLIP-ES, section 3.2).

    Args:
        backbone: Frozen CLIP.
        text: Encoded texts.
        features: Of the frozen blocks.
        image_labels: Multi-hot ``(B, C_fg)``.
        source: Which tokens enter the last block: -1 those behind the block before it; -2 leaves
            that block out, as WeCLIP+ does on VOC.
    """
    image_index, labels = image_labels.nonzero(as_tuple=True)
    seed = backbone.gradcam(
        features.tokens[source], text.embeddings, text.mask(image_labels), image_index, labels
    )
    maps = seed.cam.relu().unflatten(1, features.grid)
    maps = minmax_normalize(minmax_normalize(maps))  # twice, as the official code does
    last = seed.attn[None, :, 1:, 1:]
    attn = torch.cat([features.attn, last]) if features.attn.numel() else last
    return CLIPCAMs(maps, labels, image_index, attn)


@torch.no_grad()
def label_of_pairs(
    par: nn.Module,
    image: Tensor,
    maps: Tensor,
    labels: Tensor,
    image_index: Tensor,
    size: tuple[int, int],
) -> Maps:
    """The pseudo label that maps and the colours of the image give (WeCLIP, ExCEL).

    Args:
        par: :class:`mmwsss.models.refiners.PAR`.
        image: What it sees ``(B, 3, H', W')``.
        maps: ``(P, h, w)``, not negative, image-major; scaled to [0, 1] here.
        labels, image_index: Class and image of each, ``(P,)``.
        size: (H, W) of the result.

    Returns:
        Maps ``(B, K, H, W)``, their classes and the label ``(B, H, W)``.
    """
    with torch.autocast(image.device.type, enabled=False):
        cams = upsample(minmax_normalize(maps), size)
        cams, classes = pack_pairs(cams, labels, image_index, len(image))
        return Maps(cams, classes, decide(par(image, add_background(cams)), classes))


@torch.no_grad()
def class_scores(clip: FrozenCLIP, text: TextBank, inputs: Tensor) -> Tensor:
    """CLIP's probability of every class: softmax over all class and background texts.

    Args:
        clip: Frozen CLIP.
        text: Encoded texts.
        inputs: Normalised images ``(B, 3, H, W)``.

    Returns:
        ``(B, C)``.
    """
    features = clip.encode(inputs, CLIPRequest(last=True, projected=True))
    feature = F.normalize(features.projected[:, 0], dim=-1)
    logits = clip.logit_scale * feature @ text.embeddings.T
    return logits.softmax(dim=1)[:, : text.num_classes]
