"""Where the images lie in their padded crops."""

import torch
from mmseg.structures import SegDataSample
from torch import Tensor


def stack_image_boxes(
    data_samples: list[SegDataSample], size: tuple[int, int], device: torch.device | None = None
) -> Tensor:
    """Boxes of the images within a batch of crops.

    Args:
        data_samples: With ``img_box`` (y0, y1, x0, x1) in their meta information
            (:class:`mmwsss.datasets.transforms.RandomPadCrop`); without, the image fills the crop.
        size: (H, W) of the crops.

    Returns:
        ``(B, 4)`` int64.
    """
    whole = (0, size[0], 0, size[1])
    boxes = [sample.metainfo.get('img_box', whole) for sample in data_samples]
    return torch.tensor(boxes, device=device, dtype=torch.int64)
