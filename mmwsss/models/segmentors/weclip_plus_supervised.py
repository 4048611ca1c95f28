"""The network of WeCLIP+ trained on true masks."""

from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.registry import MODELS
from mmwsss.structures import supervised_label

from .weclip_plus import WeCLIPPlus


@MODELS.register_module()
class WeCLIPPlusSupervised(WeCLIPPlus):
    """Upper bound of :class:`WeCLIPPlus`: its network and test, learning from ``gt_sem_seg``."""

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of both branches against the masks."""
        clip, dino, affinity = self.branches(inputs, self.backbone.encode(inputs))
        label = supervised_label(data_samples)
        return self.weigh_losses(self.decode_head.losses(clip, dino, affinity, label, False))
