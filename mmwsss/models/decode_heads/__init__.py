from .affinity_head import AffinityHead
from .cam_head import CAMHead
from .large_fov_head import LargeFOVHead
from .sum_aspp_head import SumASPPHead
from .two_dilated_conv_head import TwoDilatedConvHead
from .weclip_head import WeCLIPHead

__all__ = [
    'AffinityHead',
    'CAMHead',
    'LargeFOVHead',
    'SumASPPHead',
    'TwoDilatedConvHead',
    'WeCLIPHead',
]
