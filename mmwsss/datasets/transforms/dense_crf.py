"""Dense CRF on a loaded label map."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmwsss.ops.dense_crf import check_crf_arguments, refine_labels
from mmwsss.registry import TRANSFORMS
from mmwsss.utils.arguments import checked, number

from .formatting import check_mask_classes


@TRANSFORMS.register_module()
@checked(gt_prob=number(0, 1, open_low=True, open_high=True))
class DenseCRFMask(BaseTransform):
    """Refine the label map, such as a pseudo mask, by a dense CRF on the image.

    It belongs before whatever changes the colours of the image. Unknown pixels (255) get a label.

    The image has to be BGR, as it is loaded.

    Modified key: ``gt_seg_map``.

    Args:
        gt_prob: Certainty of the labels in (0, 1).
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
    """

    def __init__(self, gt_prob: float = 0.7, **crf) -> None:
        check_crf_arguments(crf)
        self.gt_prob = gt_prob
        self.crf = crf

    def transform(self, results: dict) -> dict:
        if results.get('gt_seg_map') is None:
            raise ValueError('DenseCRFMask needs a label map: put LoadAnnotations before it')
        check_mask_classes(results)
        image = torch.from_numpy(np.ascontiguousarray(results['img'][..., ::-1]))
        labels = torch.from_numpy(results['gt_seg_map'].astype(np.uint8))
        refined = refine_labels(image, labels, self.gt_prob, **self.crf)
        results['gt_seg_map'] = refined.numpy()
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(gt_prob={self.gt_prob}, {self.crf})'
