"""True masks as one tensor."""

import torch
from mmseg.structures import SegDataSample
from torch import Tensor


def supervised_label(data_samples: list[SegDataSample]) -> Tensor:
    """Masks that a fully supervised network learns from.

    Args:
        data_samples: With ``gt_sem_seg.data`` ``(1, H, W)``, all of one size.

    Returns:
        ``(B, H, W)`` int64, 255 for pixels without a label.

    Raises:
        ValueError: A sample has no mask.
    """
    for sample in data_samples:
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{sample.metainfo.get("img_path", "an image")} comes without a mask: put '
                'LoadAnnotations in the pipeline, and a seg_map_path in data_prefix of the data set'
            )
    return torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples])
