"""Maps of four strides from the blocks of a plain vision transformer."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmwsss.registry import MODELS
from mmwsss.utils.arguments import COUNT, checked, one_of

PATCHES = (8, 14, 16)


def _up(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)


@MODELS.register_module()
@checked(channels=COUNT, patch=one_of(*PATCHES))
class CLIPPyramid(nn.Module):
    """Pyramid adapter of WeakCLIP: maps of one stride -> strides of about 4, 8, 16 and 32 pixels.

    Official ``CLIPVisionTransformer.fpn1`` to ``fpn4``, for both patch sizes.

    Args:
        channels: Width of the tokens.
        patch: Side of a patch in pixels, 8, 14 or 16.

    Raises:
        ValueError: Another patch size.
    """

    def __init__(self, channels: int, patch: int = 16) -> None:
        super().__init__()
        self.channels = channels

        def level(*layers: nn.Module) -> nn.Sequential:
            return nn.Sequential(nn.GroupNorm(1, channels), *layers)

        if patch == 8:
            levels = level(_up(channels)), level(), level(nn.MaxPool2d(2)), level(nn.MaxPool2d(4))
        else:
            finest = _up(channels), nn.BatchNorm2d(channels), nn.GELU(), _up(channels)
            levels = level(*finest), level(_up(channels)), level(), level(nn.MaxPool2d(2))
        self.levels = nn.ModuleList(levels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps ``(B, C, h, w)`` -> four maps, finest first; the coarsest rounds down.

        Raises:
            ValueError: Not four maps, or they are too small for the coarsest level.
        """
        if len(maps) != 4:
            raise ValueError(f'the adapter takes maps of four blocks, got {len(maps)}')
        try:
            return [level(x) for level, x in zip(self.levels, maps, strict=True)]
        except RuntimeError as error:
            raise ValueError(
                f'maps of {tuple(maps[0].shape[-2:])} patches are too small for the pyramid '
                f'({error}); use larger images'
            ) from error
