"""Class names by the name of their data set, for command lines."""

import os

from .coco14 import COCO14Dataset
from .converters.common import read_class_names
from .mini import MiniDataset
from .voc12 import VOC12Dataset

NAMED = {'voc12': VOC12Dataset, 'coco14': COCO14Dataset, 'mini': MiniDataset}


def foreground_names(source: str | os.PathLike) -> list[str]:
    """Foreground class names in class order.

    Args:
        source: ``'voc12'``, ``'coco14'``, ``'mini'``, or a text file with one name per line.

    Raises:
        FileNotFoundError: Neither a known name nor a file.
    """
    if source in NAMED:
        return list(NAMED[source].METAINFO['classes'][1:])
    if not os.path.isfile(source):
        raise FileNotFoundError(f'{source} is neither one of {", ".join(NAMED)} nor a class list')
    return read_class_names(source)
