"""A backbone and its head as one module."""

from mmengine.model import BaseModule
from torch import Tensor

from mmwsss.registry import MODELS


@MODELS.register_module()
class ClassMapNetwork(BaseModule):
    """A classifier whose logits are the means of its class maps.

    One module with one forward pass, so that it can be trained beside others, each with its own
    optimizer and its own DistributedDataParallel.

    Args:
        backbone: Feature extractor.
        decode_head: :class:`mmwsss.models.decode_heads.CAMHead` without dropout.
        init_cfg: See :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self, backbone: dict, decode_head: dict, init_cfg: dict | list[dict] | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> class maps before relu ``(B, C_fg, h, w)``."""
        return self.decode_head.scores(self.backbone(images))
