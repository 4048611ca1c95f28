"""Loading of pictures, masks and image labels."""

import cv2
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms import LoadImageFromFile as MMCVLoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations as MMSegLoadAnnotations

from mmwsss.registry import TRANSFORMS
from mmwsss.utils.arguments import FLAG, checked
from mmwsss.utils.images import read_rgb
from mmwsss.utils.io import IGNORE, read_mask


@TRANSFORMS.register_module()
@checked(to_float32=FLAG, ignore_empty=FLAG)
class LoadImageFromFile(MMCVLoadImageFromFile):
    """Read a picture of any kind; see :func:`mmwsss.utils.images.read_rgb`.

    Configs name it ``dict(type='LoadImageFromFile', _scope_='mmwsss')``: MMSegmentation's
    inferencers look for the name without a prefix.

    Required key: ``img_path``. Added keys: ``img``, uint8 BGR ``(H, W, 3)``, ``img_shape`` and
    ``ori_shape``, both ``(H, W)``.

    Args:
        to_float32: Give the same values as float32.
        ignore_empty: Give None for a picture that is missing or broken, instead of an error.
        backend_args: File backend of mmengine; None: the path decides.
    """

    def __init__(
        self,
        to_float32: bool = False,
        ignore_empty: bool = False,
        *,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(to_float32, ignore_empty=ignore_empty, backend_args=backend_args)

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            rgb = read_rgb(bytes(fileio.get(path, backend_args=self.backend_args)), path)
        except (OSError, ValueError):
            if self.ignore_empty:
                return None
            raise
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        results['img'] = bgr.astype(np.float32) if self.to_float32 else bgr
        results['img_shape'] = results['ori_shape'] = rgb.shape[:2]
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(to_float32={self.to_float32}, '
            f'ignore_empty={self.ignore_empty}, backend_args={self.backend_args})'
        )


@TRANSFORMS.register_module()
@checked(optional=FLAG)
class LoadAnnotations(MMSegLoadAnnotations):
    """Read a label map; see :func:`mmwsss.utils.io.read_mask`.

    Named in configs as :class:`LoadImageFromFile` is. If the sample says ``num_classes``, other
    values than the classes of the data set and 255 are an error; so is another size than the image
    has, if that is loaded.

    Required key: ``seg_map_path``. Added key: ``gt_seg_map``, uint8 ``(H, W)``.

    Args:
        optional: Let samples without ``seg_map_path`` through unchanged. For test pipelines, which
            also run on images that have no mask (writing pseudo masks, demo, test servers).
        backend_args: File backend of mmengine; None: the path decides.
    """

    def __init__(self, optional: bool = False, *, backend_args: dict | None = None) -> None:
        super().__init__(backend_args=backend_args)
        self.optional = optional

    def _load_seg_map(self, results: dict) -> None:
        path = results.get('seg_map_path')
        if path is None and self.optional:
            return
        if path is None:
            raise ValueError(
                f'{results.get("img_path")} has no mask: give the data set '
                'masks=True, data_prefix.seg_map_path or mask_dir, or take LoadAnnotations out of '
                'the pipeline'
            )
        content = bytes(fileio.get(path, backend_args=self.backend_args))
        mask = read_mask(content, _number_of_values(results), path)
        size = tuple(results.get('ori_shape', mask.shape)[:2])
        if mask.shape != size:
            raise ValueError(
                f'{path} is a mask of {mask.shape[1]}x{mask.shape[0]} pixels, its image '
                f'{results.get("img_path")} has {size[1]}x{size[0]} (width x height)'
            )
        results['gt_seg_map'] = _renumber(mask, results)
        results['seg_fields'].append('gt_seg_map')

    def __repr__(self) -> str:
        return f'{type(self).__name__}(optional={self.optional}, backend_args={self.backend_args})'


def _number_of_values(results: dict) -> int | None:
    """How many classes the mask file counts, before MMSegmentation's renumbering."""
    if 'num_classes' not in results:
        return None
    label_map = results.get('label_map')
    count = results['num_classes'] if label_map is None else len(label_map)
    return count + bool(results.get('reduce_zero_label'))


def _renumber(mask: np.ndarray, results: dict) -> np.ndarray:
    """Apply ``reduce_zero_label`` and the ``label_map`` of a choice of classes."""
    if results.get('reduce_zero_label'):
        mask = np.array([IGNORE, *range(IGNORE - 1), IGNORE], np.uint8)[mask]
    if results.get('label_map') is not None:
        table = np.arange(IGNORE + 1, dtype=np.uint8)
        for old, new in results['label_map'].items():
            table[old] = new
        mask = table[mask]
    return mask


@TRANSFORMS.register_module()
@checked(optional=FLAG)
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
