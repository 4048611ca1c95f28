from .clip_pyramid import CLIPPyramid
from .co_attention import CoAttentionDecoder
from .fixed_norm_aspp import FixedNormASPP
from .global_cue_injection import GlobalCueInjection

__all__ = ['CLIPPyramid', 'CoAttentionDecoder', 'FixedNormASPP', 'GlobalCueInjection']
