from .ceil_pool_resnet import CeilPoolResNet
from .clip_vit import CLIPFeatures, CLIPRequest, FrozenCLIP
from .conformer import Conformer, ConformerFeatures
from .dinov2 import FrozenDINOv2
from .mit_attn import MixVisionTransformerAttn
from .multi_class_token_vit import MultiClassTokenViT, TokenFeatures
from .res2net_v1b import Res2NetV1b
from .resnet38d import ResNet38d
from .scalenet import ScaleNet
from .surgery_clip import SurgeryCLIP, SurgeryFeatures
from .tunable_clip import TunableCLIP
from .vgg16d import VGG16d

__all__ = [
    'CLIPFeatures',
    'CLIPRequest',
    'CeilPoolResNet',
    'Conformer',
    'ConformerFeatures',
    'FrozenCLIP',
    'FrozenDINOv2',
    'MixVisionTransformerAttn',
    'MultiClassTokenViT',
    'Res2NetV1b',
    'ResNet38d',
    'ScaleNet',
    'SurgeryCLIP',
    'SurgeryFeatures',
    'TokenFeatures',
    'TunableCLIP',
    'VGG16d',
]
