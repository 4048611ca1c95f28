"""Official WeCLIP+ checkpoints in our names."""

from collections.abc import Mapping

from torch import Tensor

from .rename import not_of, rename_keys
from .weclip import DROPPED, RULES

_DINO = r'dino_decoder_fts_fuse\.'
_RULES = (
    (rf'{_DINO}linears_modulelist\.0\.proj\.', 'decode_head.dino_layer.0.'),
    (rf'{_DINO}linears_modulelist\.0\.proj_2\.', 'decode_head.dino_layer.2.'),
    (rf'{_DINO}linear_fuse\.', 'decode_head.dino_fusion.'),
    (r'dino_encoder\.', 'dino.vit.'),
    *RULES,
)
_MASK = r'dino_encoder\.mask_token'  # stands for hidden patches in pretraining


def convert_weclip_plus(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official WeCLIP+ state dict.

    Args:
        official: ``model.state_dict()`` of the official code, with or without its frozen towers.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.WeCLIPPlus`.

    Raises:
        ValueError: A key is unknown.
    """
    return rename_keys(official, _RULES, [_MASK, *DROPPED], 'WeCLIP+')


def official_dino(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The DINOv2 state dict inside an official WeCLIP+ checkpoint, its own key names.

    Raises:
        ValueError: There is none.
    """
    dino = rename_keys(
        official, [(r'dino_encoder\.', '')], [_MASK, r'(?!dino_encoder\.).*'], 'WeCLIP+'
    )
    if not dino:
        raise not_of('WeCLIP+', 'there is no DINOv2 (keys "dino_encoder.*") in it')
    return dino
