"""VGG-16 with output stride 8, fully convolutional."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, SHARE, checked, number, several


@MODELS.register_module()
@checked(
    fc6_dilation=COUNT,
    out_indices=several(number(0, 3, integer=True)),
    dropout=SHARE,
    frozen_stages=number(0, 5, integer=True),
)
class VGG16d(BaseModule):
    """VGG-16 whose last stage is dilated, as jiwoon-ahn/psa and the DeepLab papers use it.

    The pools are 3x3 with strides 2, 2, 2, 1 behind the stages 1 to 4. Taps: 0 ``conv4`` (512
    channels, activated ``conv4_3``), 1 ``conv5`` (512), 2 ``conv5fc`` (1024, activated ``fc7``; or
    pooled ``conv5``, see ``fc6_dilation``), all at stride 8; 3 ``conv3`` (256, activated
    ``conv3_3``, stride 4). Attributes have the official names.

    Input in PSA and DeepLab: BGR minus (104.008, 116.669, 122.675), not divided.

    Args:
        fc6_dilation: Dilation of ``fc6``: 1 in PSA's classifier, 4 in its AffinityNet. None puts
            a 3x3 pool of stride 1 in place of ``fc6`` and ``fc7``: the body of DeepLab.
        out_indices: Taps to return.
        dropout: Channel dropout behind ``fc6``.
        frozen_stages: The first stages, up to 5, are not trained; PSA freezes 2.
        init_cfg: See :class:`mmengine.model.BaseModule`; ``mmwsss.StrictPretrained`` reads
            ImageNet weights. None: PyTorch's default initialisation.
    """

    _STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    _POOL_STRIDES = (2, 2, 2, 1)

    def __init__(
        self,
        fc6_dilation: int | None = 1,
        out_indices: Sequence[int] = (2,),
        dropout: float = 0.5,
        frozen_stages: int = 2,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_indices = tuple(out_indices)
        channels = 3
        for stage, (depth, width) in enumerate(self._STAGES, 1):
            dilation = 2 if stage == 5 else 1
            for i in range(1, depth + 1):
                conv = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation)
                self.add_module(f'conv{stage}_{i}', conv.requires_grad_(stage > frozen_stages))
                channels = width
        self.with_fc = fc6_dilation is not None
        if self.with_fc:
            self.fc6 = nn.Conv2d(512, 1024, 3, padding=fc6_dilation, dilation=fc6_dilation)
            self.drop6 = nn.Dropout2d(dropout)
            self.fc7 = nn.Conv2d(1024, 1024, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images ``(B, 3, H, W)`` -> the taps of ``out_indices``, in their order."""
        activated = None
        for stage, stride in enumerate(self._POOL_STRIDES, 1):
            before, activated = activated, self._stage(stage, x)
            x = F.max_pool2d(activated, 3, stride, padding=1)
        conv3, conv4 = before, activated
        conv5 = self._stage(5, x)
        if self.with_fc:
            last = self.drop6(F.relu(self.fc6(conv5), inplace=True))
            last = F.relu(self.fc7(last), inplace=True)
        else:
            last = F.max_pool2d(conv5, 3, 1, padding=1)
        outputs = (conv4, conv5, last, conv3)
        return tuple(outputs[i] for i in self.out_indices)

    def _stage(self, stage: int, x: Tensor) -> Tensor:
        for i in range(1, self._STAGES[stage - 1][0] + 1):
            x = F.relu(getattr(self, f'conv{stage}_{i}')(x), inplace=True)
        return x
