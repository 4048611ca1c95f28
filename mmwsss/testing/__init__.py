"""What tests of a method need: samples, a tiny CLIP, and the promises that every method keeps."""

from .contract import CHECKS, ContractError, Method, check_contract, load_method
from .iteration import training_iteration
from .mini import few_mini_images
from .samples import labelled_sample, labelled_samples, multi_hot, noise, smooth_pixels
from .tiny_clip import tiny_clip_state

__all__ = [
    'CHECKS',
    'ContractError',
    'Method',
    'check_contract',
    'few_mini_images',
    'labelled_sample',
    'labelled_samples',
    'load_method',
    'multi_hot',
    'noise',
    'smooth_pixels',
    'tiny_clip_state',
    'training_iteration',
]
