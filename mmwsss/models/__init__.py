from .backbones import FrozenCLIP
from .decode_heads import WeCLIPHead
from .losses import AffinityLoss, BalancedCrossEntropy
from .refiners import PAR, CLIPAffinityRefiner
from .segmentors import CLIPSegmentor, WeCLIP
from .text_encoders import TextBank

__all__ = [
    'PAR',
    'AffinityLoss',
    'BalancedCrossEntropy',
    'CLIPAffinityRefiner',
    'CLIPSegmentor',
    'FrozenCLIP',
    'TextBank',
    'WeCLIP',
    'WeCLIPHead',
]
