"""Loading of image labels."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmwsss.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageLabels(BaseTransform):
    """Turn the image labels of the dataset into a multi-hot vector.

    Required keys: ``image_labels``, ``num_foreground`` (see ``ImageLabelDataset``).
    Added key: ``gt_image_labels``, float32 ``(num_foreground,)`` of zeros and ones.

    Args:
        optional: Let samples without image labels through unchanged. For test pipelines, which
            also run on images that have none (demo, inferencers, test servers).
    """

    def __init__(self, optional: bool = False) -> None:
        self.optional = optional

    def transform(self, results: dict) -> dict:
        if 'image_labels' not in results:
            if self.optional:
                return results
            raise KeyError(
                f'{results.get("img_path")} has no image labels. Give the dataset a `label_file` '
                '(its type must be mmwsss.ImageLabelDataset or a subclass).'
            )
        labels = np.zeros(results['num_foreground'], dtype=np.float32)
        labels[results['image_labels']] = 1
        results['gt_image_labels'] = labels
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(optional={self.optional})'
