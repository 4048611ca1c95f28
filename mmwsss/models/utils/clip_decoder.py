"""A decoder on the tokens of frozen CLIP."""

from mmwsss.models.backbones.clip_vit import FrozenCLIP
from mmwsss.models.decode_heads.weclip_head import WeCLIPHead


def check_clip_decoder(backbone: FrozenCLIP, decode_head: WeCLIPHead) -> None:
    """Raise ValueError unless the decoder takes the tokens of all blocks but CLIP's last."""
    if len(decode_head.layers) != backbone.num_layers - 1:
        raise ValueError(
            f'decode_head.num_layers is {len(decode_head.layers)}, but the CLIP has '
            f'{backbone.num_layers} blocks: it must be one less'
        )
