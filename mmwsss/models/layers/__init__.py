from .class_map_network import ClassMapNetwork
from .clip_pyramid import CLIPPyramid
from .co_attention import CoAttentionDecoder
from .fixed_norm_aspp import FixedNormASPP
from .global_cue_injection import GlobalCueInjection
from .reconstructor import Reconstructor
from .unet_generator import UNetGenerator

__all__ = [
    'CLIPPyramid',
    'ClassMapNetwork',
    'CoAttentionDecoder',
    'FixedNormASPP',
    'GlobalCueInjection',
    'Reconstructor',
    'UNetGenerator',
]
