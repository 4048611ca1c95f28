from .affinity import (
    FuseLowHighAlpha,
    LoadCAM,
    LoadCRFScores,
    PackAffinityInputs,
    RandomFlipScores,
    RandomPadCropScores,
)
from .classification import ColorJitter, RandomResizeLong
from .deeplab import IntHSVJitter, RandomScaleCV2
from .dense_crf import DenseCRFMask
from .formatting import PackWSSSInputs
from .geometric import RandomPadCrop, RandomScalePIL
from .loading import LoadAnnotations, LoadImageFromFile, LoadImageLabels
from .multi_crop import LoadRoughScores, RandomMultiCrop
from .rand_augment import RandAugment, RandomErasingNoise
from .resized_crop import RandomResizedCropPIL
from .seed_sample import SeedSample
from .two_labels import FuseTwoLabels, LoadTwoLabels

__all__ = [
    'ColorJitter',
    'DenseCRFMask',
    'FuseLowHighAlpha',
    'FuseTwoLabels',
    'IntHSVJitter',
    'LoadAnnotations',
    'LoadCAM',
    'LoadCRFScores',
    'LoadImageFromFile',
    'LoadImageLabels',
    'LoadRoughScores',
    'LoadTwoLabels',
    'PackAffinityInputs',
    'PackWSSSInputs',
    'RandAugment',
    'RandomErasingNoise',
    'RandomFlipScores',
    'RandomMultiCrop',
    'RandomPadCrop',
    'RandomPadCropScores',
    'RandomResizeLong',
    'RandomResizedCropPIL',
    'RandomScaleCV2',
    'RandomScalePIL',
    'SeedSample',
]
