from .formatting import PackWSSSInputs
from .geometric import RandomPadCrop, RandomScalePIL
from .loading import LoadImageLabels
from .seed_sample import SeedSample

__all__ = ['LoadImageLabels', 'PackWSSSInputs', 'RandomPadCrop', 'RandomScalePIL', 'SeedSample']
