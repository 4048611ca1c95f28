"""A decoder on the tokens of frozen CLIP."""

from mmwsss.models.backbones.clip_vit import FrozenCLIP
from mmwsss.models.decode_heads.weclip_head import WeCLIPHead
from mmwsss.models.utils.widths import check_width

ALL_BUT_LAST = 'one for each CLIP block but the last'


def check_clip_decoder(
    decode_head: WeCLIPHead, backbone: FrozenCLIP, num_sets: int, why: str
) -> None:
    """Raise ValueError unless the decoder takes ``num_sets`` token sets as wide as CLIP's.

    Args:
        decode_head: The decoder.
        backbone: CLIP.
        num_sets: Sets of tokens; ``why`` says which.
    """
    if len(decode_head.layers) != num_sets:
        raise ValueError(
            f'decode_head.num_layers is {len(decode_head.layers)}, but it must be {num_sets}: {why}'
        )
    width = decode_head.layers[0][0].in_features
    given = 'the width of the tokens of backbone.checkpoint'
    check_width('decode_head.in_channels', width, given, backbone.embed_dims)


def check_text_classes(decode_head: WeCLIPHead, num_foreground: int) -> None:
    """Raise ValueError unless the decoder's classes are those of the texts and the background."""
    if decode_head.num_classes != num_foreground + 1:
        raise ValueError(
            f'decode_head.num_classes is {decode_head.num_classes}, but text.class_names has '
            f'{num_foreground} classes: it must be one more, for the background'
        )
