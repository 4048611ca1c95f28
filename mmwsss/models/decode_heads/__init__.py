from .affinity_head import AffinityHead
from .attention_affinity_head import AttentionAffinityHead
from .cam_head import CAMHead
from .class_token_head import ClassTokenHead
from .class_token_linear_head import ClassTokenLinearHead
from .dual_branch_cam_head import DualBranchCAMHead
from .large_fov_head import LargeFOVHead
from .one_stage_head import OneStageHead
from .pcm_head import PCMHead
from .seed_fpn_head import SeedFPNHead
from .segformer_mlp_head import SegformerMLPHead
from .sum_aspp_head import SumASPPHead
from .two_dilated_conv_head import TwoDilatedConvHead
from .weclip_head import WeCLIPHead
from .weclip_plus_head import WeCLIPPlusHead

__all__ = [
    'AffinityHead',
    'AttentionAffinityHead',
    'CAMHead',
    'ClassTokenHead',
    'ClassTokenLinearHead',
    'DualBranchCAMHead',
    'LargeFOVHead',
    'OneStageHead',
    'PCMHead',
    'SeedFPNHead',
    'SegformerMLPHead',
    'SumASPPHead',
    'TwoDilatedConvHead',
    'WeCLIPHead',
    'WeCLIPPlusHead',
]
