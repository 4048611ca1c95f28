# ruff: noqa: F401, F403
from .backbones import *
from .data_preprocessor import AnySizePreProcessor, ZeroCanvasPreProcessor
from .decode_heads import *
from .layers import *
from .losses import *
from .refiners import *
from .segmentors import *
from .text_encoders import *
from .utils.deit_pretrained import DeiTPretrained
from .utils.strict_pretrained import StrictPretrained
