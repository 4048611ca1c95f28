from .backbones import CeilPoolResNet, FrozenCLIP, ResNet38d, VGG16d
from .data_preprocessor import AnySizePreProcessor
from .decode_heads import (
    AffinityHead,
    AttentionAffinityHead,
    CAMHead,
    LargeFOVHead,
    OneStageHead,
    SegformerMLPHead,
    SumASPPHead,
    TwoDilatedConvHead,
    WeCLIPHead,
)
from .losses import AffinityLoss, BalancedCrossEntropy, DenseEnergyLoss, PairAffinityLoss
from .refiners import PAMR, PAR, CLIPAffinityRefiner
from .segmentors import (
    AFA,
    CLIPES,
    AffinityNet,
    CAMClassifier,
    CLIPSegmentor,
    DeepLab,
    DenseCRFModel,
    OneStage,
    SingleStageWSSS,
    WeCLIP,
)
from .text_encoders import TextBank
from .utils.strict_pretrained import StrictPretrained

__all__ = [
    'AFA',
    'AnySizePreProcessor',
    'CLIPES',
    'PAMR',
    'PAR',
    'AffinityHead',
    'AffinityLoss',
    'AffinityNet',
    'AttentionAffinityHead',
    'BalancedCrossEntropy',
    'CAMClassifier',
    'CAMHead',
    'CLIPAffinityRefiner',
    'CLIPSegmentor',
    'CeilPoolResNet',
    'DeepLab',
    'DenseCRFModel',
    'DenseEnergyLoss',
    'FrozenCLIP',
    'LargeFOVHead',
    'OneStage',
    'OneStageHead',
    'PairAffinityLoss',
    'ResNet38d',
    'SegformerMLPHead',
    'SingleStageWSSS',
    'StrictPretrained',
    'SumASPPHead',
    'TextBank',
    'TwoDilatedConvHead',
    'VGG16d',
    'WeCLIP',
    'WeCLIPHead',
]
