from .acr import ACR
from .afa import AFA
from .affinity_net import AffinityNet
from .apc import APC
from .base import TestSettings, WSSSSegmentor
from .cam_classifier import CAMClassifier
from .clip_es import CLIPES
from .clip_segmentor import CLIPSegmentor
from .deeplab import DeepLab
from .dense_crf_model import DenseCRFModel
from .excel import ExCEL
from .excel_free import ExCELFree
from .excel_supervised import ExCELSupervised
from .map_classifier import MapClassifier
from .mctformer import MCTformer
from .one_stage import OneStage
from .one_stage_supervised import OneStageSupervised
from .seam import SEAM
from .single_stage import SingleStageWSSS
from .transcam import TransCAM
from .weakclip import WeakCLIP
from .weclip import WeCLIP
from .weclip_plus import WeCLIPPlus
from .weclip_plus_supervised import WeCLIPPlusSupervised

__all__ = [
    'ACR',
    'AFA',
    'APC',
    'CLIPES',
    'SEAM',
    'AffinityNet',
    'CAMClassifier',
    'CLIPSegmentor',
    'DeepLab',
    'DenseCRFModel',
    'ExCEL',
    'ExCELFree',
    'ExCELSupervised',
    'MCTformer',
    'MapClassifier',
    'OneStage',
    'OneStageSupervised',
    'SingleStageWSSS',
    'TestSettings',
    'TransCAM',
    'WSSSSegmentor',
    'WeCLIP',
    'WeCLIPPlus',
    'WeCLIPPlusSupervised',
    'WeakCLIP',
]
