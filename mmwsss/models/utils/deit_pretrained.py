"""ImageNet weights of DeiT for an encoder with more than one class token."""

from torch import Tensor, nn

from mmwsss.converters.mctformer import convert_deit
from mmwsss.registry import WEIGHT_INITIALIZERS

from .strict_pretrained import StrictPretrained


@WEIGHT_INITIALIZERS.register_module()
class DeiTPretrained(StrictPretrained):
    """``init_cfg`` of :class:`MultiClassTokenViT`: DeiT's file as it is, for any classes and grid.

    See :func:`mmwsss.converters.mctformer.convert_deit`. (The official code repeats the tokens for
    weights from an address alone; a file trains from a class token that does not fit, unnoticed.)

    Args:
        kwargs: Arguments of :class:`StrictPretrained`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is no DeiT without distillation, or of another size.
    """

    def adapt(self, state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        """The tokens and positions that the module needs."""
        side = module.img_size // module.patch_size
        try:
            return convert_deit(state, module.num_classes, module.positions, side)
        except ValueError as error:
            raise ValueError(f'{self.checkpoint}: {error} {self.hint}') from None
