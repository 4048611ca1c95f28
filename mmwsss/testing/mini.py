"""The embedded mini data set, a few images of it."""

import os
from pathlib import Path

from mmwsss.datasets.mini_render import write_mini


def few_mini_images(root: str | os.PathLike = 'data/mini', train: int = 4, val: int = 2) -> Path:
    """Write the first images of both splits, in place of the whole data set.

    Args:
        root: Folder of the data set, as ``data_root`` of the configs names it.
        train, val: How many images.

    Returns:
        ``root``.
    """
    return write_mini(root, {'train': train, 'val': val})
