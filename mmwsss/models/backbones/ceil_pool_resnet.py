"""Caffe's ResNet."""

from mmseg.models.backbones import ResNet

from mmwsss.registry import MODELS


@MODELS.register_module()
class CeilPoolResNet(ResNet):
    """mmseg's ResNet whose first pooling rounds its output size up, as Caffe does.

    At most sizes the maps get one more row and column. DeepLabV2's ResNet-101 is
    ``depth=101, style='caffe', strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)``.

    Args:
        kwargs: Arguments of :class:`mmseg.models.backbones.ResNet`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.maxpool.ceil_mode = True
