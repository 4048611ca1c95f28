"""Dense CRF on the predictions of any segmentor."""

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmwsss.ops.dense_crf import check_crf_arguments, dense_crf
from mmwsss.registry import MODELS
from mmwsss.utils.arguments import checked, one_of
from mmwsss.utils.images import read_rgb


@MODELS.register_module()
@checked(scores=one_of('logits', 'probabilities'))
class DenseCRFModel(BaseTTAModel):
    """Wrap a segmentor, or a test-time augmentation of one, and refine what it predicts.

    For testing only; a checkpoint of the segmentor loads as it is. ``seg_logits`` of the result
    holds the posterior. The image is read again from ``img_path``, at the size of the prediction.

    Args:
        module: The segmentor, or its config.
        crf: Arguments of :class:`mmwsss.ops.dense_crf.DenseCRF`.
        scores: What the segmentor's ``seg_logits`` hold: ``'logits'``, as mmseg's segmentors give
            them, or ``'probabilities'``, as its test-time augmentation does.
        data_preprocessor: As in :class:`mmengine.model.BaseTTAModel`.

    Raises:
        ValueError: Another kind of scores, or no arguments of the CRF.
    """

    gives_logits = False  # but a posterior; see :class:`WSSSSegmentor`

    def __init__(
        self,
        module: dict | nn.Module,
        crf: dict,
        scores: str = 'logits',
        data_preprocessor: dict | None = None,
    ) -> None:
        check_crf_arguments(crf)
        super().__init__(module, data_preprocessor)
        self.crf = crf
        self.scores = scores
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
        image = torch.from_numpy(read_rgb(sample.img_path))
        prob = sample.seg_logits.data
        if self.scores == 'logits':
            prob = prob.softmax(dim=0)
        posterior = dense_crf(image, prob, **self.crf)
        sample.seg_logits = PixelData(data=posterior)
        sample.pred_sem_seg = PixelData(data=posterior.max(dim=0, keepdim=True).indices)

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: there is one prediction per image."""
        raise NotImplementedError
