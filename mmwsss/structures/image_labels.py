"""Image labels as data elements."""

import torch
from mmseg.structures import SegDataSample
from torch import Tensor


def stack_image_labels(data_samples: list[SegDataSample], num_classes: int) -> Tensor:
    """Multi-hot image labels of a batch.

    Args:
        data_samples: With ``gt_image_labels.label`` ``(C_fg,)``.
        num_classes: C_fg, the foreground classes of the model.

    Returns:
        ``(B, C_fg)`` float32.

    Raises:
        ValueError: If a sample has no image labels, or the data set's number of classes is not
            the model's.
    """
    for sample in data_samples:
        if 'gt_image_labels' not in sample:
            raise ValueError(
                f'{sample.metainfo.get("img_path", "an image")} comes without image labels: give '
                'the data set a label_file and put mmwsss.LoadImageLabels and '
                'mmwsss.PackWSSSInputs in the pipeline'
            )
    labels = torch.stack([sample.gt_image_labels.label for sample in data_samples])
    if labels.shape[1] != num_classes:
        raise ValueError(
            f'the data set has {labels.shape[1]} foreground classes, the model {num_classes}; '
            'make metainfo.classes of the data set and the classes of the model agree'
        )  # fmt: skip
    return labels
