"""The network of 1-Stage trained on true masks."""

import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.registry import MODELS
from mmwsss.structures import stack_image_labels, supervised_label

from .one_stage import OneStage


@MODELS.register_module()
class OneStageSupervised(OneStage):
    """Upper bound of :class:`OneStage`: its network and its test, learning from ``gt_sem_seg``.

    The classification loss stays, because the test decides by the class scores what may appear.
    """

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Classification loss against the image labels, cross-entropy against the masks."""
        image_labels = stack_image_labels(data_samples, self.num_foreground)
        logits = self.encode_decode(inputs)
        scores = self.decode_head.scores(logits, logits.softmax(dim=1))
        label = supervised_label(data_samples)
        resized = F.interpolate(logits, label.shape[-2:], mode='bilinear', align_corners=True)
        losses = dict(
            loss_cls=F.multilabel_soft_margin_loss(scores, image_labels),
            loss_mask=F.cross_entropy(resized, label, ignore_index=255),
        )
        return self.weigh_losses(losses)
