from .fixed_norm_aspp import FixedNormASPP
from .global_cue_injection import GlobalCueInjection

__all__ = ['FixedNormASPP', 'GlobalCueInjection']
