"""Official ExCEL checkpoints in our names."""

from collections.abc import Mapping

from torch import Tensor

from .rename import rename_keys
from .weclip import DECODER_RULES

# Frozen, and partly stored twice or in another form: the vision tower of the last blocks has its
# projections under other names, the position table is that of the training crop.
_DROPPED = (r'encoder\..*', r'par\.kernel')


def convert_excel(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official ExCEL state dict.

    Args:
        official: The trained tensors (decoder and adapter) and the frozen CLIP, which is left out:
            our checkpoints do not hold it.

    Returns:
        A state dict for :class:`mmwsss.models.segmentors.ExCEL`.

    Raises:
        ValueError: A key is unknown.
    """
    return rename_keys(official, DECODER_RULES, _DROPPED, 'ExCEL')
