from .backbones import *  # noqa: F403
from .data_preprocessor import AnySizePreProcessor as AnySizePreProcessor
from .decode_heads import *  # noqa: F403
from .losses import *  # noqa: F403
from .refiners import *  # noqa: F403
from .segmentors import *  # noqa: F403
from .text_encoders import *  # noqa: F403
from .utils.strict_pretrained import StrictPretrained as StrictPretrained
