"""What a segmentor that learns from CAMs predicts: its masks, or the CAMs and pseudo masks."""

from collections.abc import Mapping, Sequence

from mmseg.structures import SegDataSample
from torch import Tensor

MODES = ('seg', 'cam')


def checked_mode(test_cfg: Mapping, cam_kinds: Sequence[str]) -> str:
    """``test_cfg.mode``, ``'seg'`` if it is not set.

    Args:
        test_cfg: Settings of a segmentor.
        cam_kinds: Values of ``test_cfg.cam``.

    Raises:
        ValueError: Unknown ``mode`` or ``cam``, or settings that ``mode='cam'`` does not have.
    """
    for key, values in (('mode', MODES), ('cam', cam_kinds)):
        if test_cfg.get(key, values[0]) not in values:
            raise ValueError(f'test_cfg.{key} must be one of {values}, not {test_cfg[key]!r}')
    mode = test_cfg.get('mode', 'seg')
    views = test_cfg.get('flip') or tuple(test_cfg.get('scales', (1.0,))) != (1.0,)
    if mode == 'cam' and (views or test_cfg.get('crf')):
        raise ValueError(
            "test_cfg: scales, flip (--tta) and crf are for mode='seg'; remove them for 'cam'"
        )
    return mode


class CAMModes:
    """Mix-in, before ``BaseSegmentor``, that predicts as ``test_cfg`` says.

    ``mode='seg'`` never looks at image labels; ``'cam'`` gives ``pred_cam`` and the pseudo mask as
    ``pred_sem_seg`` for the classes in the image labels. ``with_cam=True`` adds ``pred_cam`` and
    ``pred_pseudo_mask`` to samples with image labels in ``'seg'`` mode.

    A segmentor gives ``seg_scores(inputs)``, scores ``(B, C, H, W)`` of the masks, and
    ``add_cams(inputs, data_samples)``, which fills in ``pred_cam`` and ``pred_pseudo_mask``.
    """

    cam_kinds: tuple[str, ...] = ('refined', 'plain')

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """See ``test_cfg``."""
        mode = checked_mode(self.test_cfg, self.cam_kinds)
        if mode == 'seg':
            data_samples = self.postprocess_result(self.seg_scores(inputs), data_samples)
            has_labels = all('gt_image_labels' in sample for sample in data_samples)
            if not (self.test_cfg.get('with_cam', False) and has_labels):
                return data_samples
        data_samples = data_samples or [SegDataSample() for _ in inputs]
        self.add_cams(inputs, data_samples)
        if mode == 'cam':
            for sample in data_samples:
                sample.pred_sem_seg = sample.pred_pseudo_mask
        return data_samples
