"""The network of ExCEL trained on true masks."""

from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.registry import MODELS
from mmwsss.structures import supervised_label

from .excel import ExCEL


@MODELS.register_module()
class ExCELSupervised(ExCEL):
    """Upper bound of :class:`ExCEL`: its network and its test, learning from ``gt_sem_seg``."""

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the decoder against the masks."""
        self.check_sides(inputs.shape[-2:])
        features = self.backbone.encode_surgery(inputs)
        seg_logits, affinity = self.decode_head(features.tokens, features.grid)
        label = supervised_label(data_samples)
        return self.weigh_losses(self.decode_head.loss_by_feat(seg_logits, affinity, label))
