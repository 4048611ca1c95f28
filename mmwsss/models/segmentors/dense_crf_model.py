"""Dense CRF on the predictions of any segmentor."""

import mmcv
import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmwsss.ops.dense_crf import dense_crf
from mmwsss.registry import MODELS


@MODELS.register_module()
class DenseCRFModel(BaseTTAModel):
    """Wrap a segmentor, or a test-time augmentation of one, and refine what it predicts.

    For testing only; a checkpoint of the segmentor loads as it is. ``seg_logits`` of the result
    holds the posterior. The image is read again from ``img_path``, at the size of the prediction.

    Args:
        module: The segmentor, or its config.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        data_preprocessor: As in :class:`mmengine.model.BaseTTAModel`.
    """

    def __init__(
        self, module: dict | nn.Module, crf: dict, data_preprocessor: dict | None = None
    ) -> None:
        super().__init__(module, data_preprocessor)
        self.crf = crf
        self.predictor = self.module
        while isinstance(self.module, BaseTTAModel):  # checkpoints are loaded into ``module``
            self.module = self.module.module

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predict, and refine.

        Raises:
            ValueError: The segmentor gives no scores, or those of one class only.
        """
        samples = self.predictor.test_step(data)
        for sample in samples:
            self._refine(sample)
        return samples

    def _refine(self, sample: SegDataSample) -> None:
        if 'seg_logits' not in sample or len(sample.seg_logits.data) < 2:
            raise ValueError(
                f'{sample.img_path}: the dense CRF needs seg_logits of at least two classes'
            )
        image = torch.from_numpy(mmcv.imread(sample.img_path, channel_order='rgb'))
        posterior = dense_crf(image, _probabilities(sample.seg_logits.data), **self.crf)
        sample.seg_logits = PixelData(data=posterior)
        sample.pred_sem_seg = PixelData(data=posterior.argmax(dim=0, keepdim=True))

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: there is one prediction per image."""
        raise NotImplementedError


def _probabilities(scores: Tensor) -> Tensor:
    """Segmentors and augmentations give logits or probabilities; tell them apart by their sum."""
    total = scores.float().sum(dim=0)
    if scores.min() >= 0 and (total - 1).abs().max() < 1e-3:
        return scores
    return scores.softmax(dim=0)
