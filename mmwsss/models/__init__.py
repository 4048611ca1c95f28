from .backbones import CeilPoolResNet, FrozenCLIP, ResNet38d, VGG16d
from .data_preprocessor import AnySizePreProcessor
from .decode_heads import (
    AffinityHead,
    CAMHead,
    LargeFOVHead,
    SumASPPHead,
    TwoDilatedConvHead,
    WeCLIPHead,
)
from .losses import AffinityLoss, BalancedCrossEntropy, PairAffinityLoss
from .refiners import PAR, CLIPAffinityRefiner
from .segmentors import (
    CLIPES,
    AffinityNet,
    CAMClassifier,
    CLIPSegmentor,
    DeepLab,
    DenseCRFModel,
    WeCLIP,
)
from .text_encoders import TextBank
from .utils.strict_pretrained import StrictPretrained

__all__ = [
    'AnySizePreProcessor',
    'CLIPES',
    'PAR',
    'AffinityHead',
    'AffinityLoss',
    'AffinityNet',
    'BalancedCrossEntropy',
    'CAMClassifier',
    'CAMHead',
    'CLIPAffinityRefiner',
    'CLIPSegmentor',
    'CeilPoolResNet',
    'DeepLab',
    'DenseCRFModel',
    'FrozenCLIP',
    'LargeFOVHead',
    'PairAffinityLoss',
    'ResNet38d',
    'StrictPretrained',
    'SumASPPHead',
    'TextBank',
    'TwoDilatedConvHead',
    'VGG16d',
    'WeCLIP',
    'WeCLIPHead',
]
