from .affinity_net import AffinityNet
from .cam_classifier import CAMClassifier
from .clip_es import CLIPES
from .clip_segmentor import CLIPSegmentor
from .deeplab import DeepLab
from .dense_crf_model import DenseCRFModel
from .weclip import WeCLIP

__all__ = [
    'CLIPES',
    'AffinityNet',
    'CAMClassifier',
    'CLIPSegmentor',
    'DeepLab',
    'DenseCRFModel',
    'WeCLIP',
]
