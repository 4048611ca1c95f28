"""Packing of samples."""

import torch
from mmengine.structures import LabelData
from mmseg.datasets.transforms import PackSegInputs

from mmwsss.registry import TRANSFORMS
from mmwsss.utils.io import check_mask_values


def check_mask_size(results: dict, *shapes: tuple[int, int] | None) -> None:
    """Raise if ``gt_seg_map`` is there and has none of ``shapes``.

    Raises:
        ValueError: Names the image and the mask.
    """
    mask = results.get('gt_seg_map')
    if mask is None or mask.shape in shapes:
        return
    image, mask_path = results.get('img_path'), results.get('seg_map_path')
    if mask.ndim != 2:
        raise ValueError(
            f'mask {mask_path} is not a label map: it has {mask.shape[-1]} channels; expected a '
            'paletted or grey PNG of class indices'
        )
    raise ValueError(
        f'mask {mask_path} is {mask.shape[1]}x{mask.shape[0]} pixels (width x height) but its '
        f'image {image} is {shapes[-1][1]}x{shapes[-1][0]}; a mask must have the size of its image'
    )


def check_mask_classes(results: dict) -> None:
    """Raise if ``gt_seg_map`` is there and holds anything but 255 and the data set's classes.

    Not every data set says its ``num_classes``; then values up to 255 pass.

    Raises:
        ValueError: Names the mask and the values.
    """
    mask = results.get('gt_seg_map')
    if mask is None:
        return
    path = f'mask {results.get("seg_map_path")}'
    if mask.dtype.kind not in 'iub':
        raise ValueError(f'{path} holds {mask.dtype} numbers; class indices are whole numbers')
    check_mask_values(mask, results.get('num_classes', 255), path)


@TRANSFORMS.register_module()
class PackWSSSInputs(PackSegInputs):
    """``PackSegInputs`` that also packs image labels.

    ``results['gt_image_labels']``, float32 ``(num_foreground,)``, becomes
    ``data_sample.gt_image_labels``, a ``LabelData`` with the field ``label``;
    ``results['img_box']`` of :class:`RandomPadCrop` goes into the meta information. A ground-truth
    mask of another size than its image, or with values that are no classes, is an error.
    """

    def transform(self, results: dict) -> dict:
        if 'img' in results:
            check_mask_size(results, results.get('ori_shape'), results['img'].shape[:2])
        check_mask_classes(results)
        packed = super().transform(results)
        if 'gt_image_labels' in results:
            packed['data_samples'].gt_image_labels = LabelData(
                label=torch.from_numpy(results['gt_image_labels'])
            )
        if 'img_box' in results:
            packed['data_samples'].set_metainfo(dict(img_box=results['img_box']))
        return packed
