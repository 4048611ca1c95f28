"""AffinityNet: pseudo masks by a random walk of activation maps on learned pixel affinities."""

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.crf import refine_with_crf
from mmwsss.ops.cam import upsample
from mmwsss.ops.pixel_affinity import random_walk
from mmwsss.ops.pseudo_label import add_background, decide, pack_pairs
from mmwsss.registry import MODELS


@MODELS.register_module()
class AffinityNet(BaseSegmentor):
    """Second stage of PSA, and the refinement step of SEAM, MCTformer and many others.

    Paper: Ahn and Kwak, "Learning Pixel-level Semantic Affinity with Image-level Supervision for
    Weakly Supervised Semantic Segmentation", CVPR 2018, arXiv 1803.10464. Official code:
    jiwoon-ahn/psa.

    Training: confident labels on the grid of the features (``gt_affinity_label``, made by
    :class:`mmwsss.datasets.transforms.FuseLowHighAlpha`). Testing: the activation maps of the
    first stage (``seed_cam``, read by :class:`mmwsss.datasets.transforms.LoadCAM`) walk on the
    affinities and give ``pred_sem_seg``. Masks are not read in either.

    Args:
        backbone: All its outputs have stride 8.
        decode_head: :class:`mmwsss.models.decode_heads.AffinityHead`.
        train_cfg, pretrained: Not used; mmseg's ``init_model`` sets them.
        test_cfg: ``alpha`` (exponent of the background score ``(1 - max_c cam) ** alpha``),
            ``background`` (a constant in its place), ``beta`` and ``logt`` (see
            :func:`mmwsss.ops.pixel_affinity.random_walk`), ``crf`` (arguments of
            :func:`mmwsss.models.utils.crf.refine_with_crf` for the walked scores, None for no CRF),
            ``with_cam`` (keep the maps as ``pred_cam``, for pictures).
        data_preprocessor: mmseg's, with the statistics of the backbone.
    """

    crf_in_test_cfg = True

    stride = 8

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)
        defaults = dict(alpha=16, background=None, beta=8, logt=8, crf=None)
        self.test_cfg = {**defaults, **(test_cfg or {})}

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Normalised images ``(B, 3, H, W)`` -> levels of the backbone."""
        return self.backbone(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images -> embedding ``(B, C, H / 8, W / 8)``."""
        return self.decode_head(self.extract_feat(inputs))

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.decode_head.affinity(self.extract_feat(inputs))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the pairs against ``gt_affinity_label``."""
        label = torch.stack([_given(s, 'gt_affinity_label').data[0] for s in data_samples])
        return self.decode_head.loss_by_label(self.extract_feat(inputs), label)

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample]) -> list[SegDataSample]:
        """Fill in ``pred_sem_seg`` ``(1, H, W)``: classes of ``seed_cam``, no ignored pixels."""
        scores, classes = self._scores(data_samples, inputs.shape[-2:])
        walked = self.walk(inputs, scores)
        if self.test_cfg['crf'] is not None:
            walked = self._crf(inputs, walked, classes)
        for sample, mask in zip(data_samples, decide(walked, classes), strict=True):
            sample.pred_sem_seg = PixelData(data=mask[None])
            if self.test_cfg.get('with_cam', False):
                sample.pred_cam = sample.seed_cam
        return data_samples

    def walk(self, inputs: Tensor, scores: Tensor) -> Tensor:
        """Random walk of scores on the affinities that the network sees in the images.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``; padded here with zeros, the mean colour,
                to multiples of 8.
            scores: ``(B, K, H, W)``, average-pooled for the walk.

        Returns:
            ``(B, K, H, W)``.
        """
        (h, w), stride = inputs.shape[-2:], self.stride
        padding = (0, -w % stride, 0, -h % stride)
        inputs, scores = F.pad(inputs, padding), F.pad(scores, padding)
        affinity = self._forward(inputs)
        pooled = F.avg_pool2d(scores, stride)
        radius = self.decode_head.radius_on(pooled.shape[-2:])
        walked = random_walk(pooled, affinity, radius, self.test_cfg['beta'], self.test_cfg['logt'])
        return upsample(walked, inputs.shape[-2:])[..., :h, :w]

    def _scores(
        self, data_samples: list[SegDataSample], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Background and class scores of the stored maps, padded to the most classes."""
        seeds = [_given(sample, 'seed_cam') for sample in data_samples]
        cams = torch.cat([upsample(seed.cam, size) for seed in seeds])
        labels = torch.cat([seed.labels for seed in seeds])
        counts = torch.tensor([len(seed.labels) for seed in seeds], device=labels.device)
        image_index = torch.arange(len(seeds), device=labels.device).repeat_interleave(counts)
        packed, classes = pack_pairs(cams, labels, image_index, len(seeds))
        constant = self.test_cfg['background']
        if constant is not None:
            return F.pad(packed, (0, 0, 0, 0, 1, 0), value=constant), classes
        return add_background(packed, self.test_cfg['alpha']), classes

    def _crf(self, inputs: Tensor, scores: Tensor, classes: Tensor) -> Tensor:
        """Marginals of the dense CRF of background and present classes."""
        refined = torch.zeros_like(scores)
        for i in range(len(inputs)):
            one, present = slice(i, i + 1), slice(1 + int((classes[i] >= 0).sum()))
            refined[one, present] = refine_with_crf(
                inputs[one], scores[one, present], self.data_preprocessor, **self.test_cfg['crf']
            )
        return refined


def _given(sample: SegDataSample, field: str) -> PixelData:
    """Field of a sample.

    Raises:
        ValueError: It is missing; names the transforms that make it.
    """
    if field not in sample:
        makers = {
            'gt_affinity_label': 'mmwsss.LoadCRFScores and mmwsss.FuseLowHighAlpha',
            'seed_cam': 'mmwsss.LoadCAM',
        }
        raise ValueError(
            f'{sample.metainfo.get("img_path", "an image")} comes without {field}: put '
            f'{makers[field]}, and mmwsss.PackAffinityInputs, in the pipeline'
        )
    return sample.get(field)
