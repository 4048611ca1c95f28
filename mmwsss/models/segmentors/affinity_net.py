"""AffinityNet: pseudo masks by a random walk of activation maps on learned pixel affinities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.crf import check_label_crf, refine_labels_with_crf
from mmwsss.ops.pairs import pack_pairs
from mmwsss.ops.pixel_affinity import random_walk
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import Maps
from mmwsss.utils.checks import check_range

from .base import TestSettings, WSSSSegmentor


@dataclass(frozen=True)
class AffinityNetSettings(TestSettings):
    """It always refines the maps it is given; ``maps='plain'`` leaves them as they are.

    Attributes:
        alpha: The background score is ``(1 - max cam) ** alpha``.
        background: A constant background score in its place.
        beta, logt: See :func:`mmwsss.ops.pixel_affinity.random_walk`.
        label_crf: Arguments of :func:`mmwsss.models.utils.crf.refine_labels_with_crf`, to refine
            the decided mask as hard labels (TransCAM), in place of ``crf``, which refines scores.
    """

    predict_choices: ClassVar = ('cam',)
    not_used: ClassVar = ('long_side', 'scales', 'sizes', 'flip', 'resize', 'merge')
    seg_only: ClassVar = ()

    predict: str = 'cam'
    alpha: float = 16
    background: float | None = None
    beta: float = 8
    logt: int = 8
    label_crf: Mapping | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_label_crf('test_cfg.label_crf', self.label_crf)
        if self.crf is not None and self.label_crf is not None:
            raise ValueError(
                'test_cfg.crf refines the scores and label_crf the mask: remove one of them'
            )
        check_range('test_cfg.alpha', self.alpha, 0, open_low=True)
        check_range('test_cfg.background', self.background, 0, 1)
        check_range('test_cfg.beta', self.beta, 0, open_low=True)
        check_range('test_cfg.logt', self.logt, 0, integer=True)


@MODELS.register_module()
class AffinityNet(WSSSSegmentor):
    """Second stage of PSA, and the refinement step of SEAM, MCTformer and many others.

    Paper: Ahn and Kwak, "Learning Pixel-level Semantic Affinity with Image-level Supervision for
    Weakly Supervised Semantic Segmentation", CVPR 2018, arXiv 1803.10464. Official code:
    jiwoon-ahn/psa.

    Training: confident labels on the grid of the features (``gt_affinity_label``, made by
    :class:`mmwsss.datasets.transforms.FuseLowHighAlpha`). Testing: the activation maps of the
    first stage (``seed_cam``, read by :class:`mmwsss.datasets.transforms.LoadCAM`) walk on the
    affinities and give ``pred_cam`` and ``pred_sem_seg``. Masks are not read in either.

    Args:
        backbone: All its outputs have stride 8.
        decode_head: :class:`mmwsss.models.decode_heads.AffinityHead`.
        kwargs: Arguments of :class:`WSSSSegmentor`; ``test_cfg``: :class:`AffinityNetSettings`.

    Raises:
        ValueError: See :class:`WSSSSegmentor`.
    """

    settings_type = AffinityNetSettings
    stride = 8

    def __init__(self, backbone: dict, decode_head: dict, **kwargs) -> None:
        super().__init__(dict(backbone=backbone, decode_head=decode_head), **kwargs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images -> embedding ``(B, C, H / 8, W / 8)``."""
        return self.decode_head(self.extract_feat(inputs))

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.decode_head.affinity(self.extract_feat(inputs))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the pairs against ``gt_affinity_label``."""
        label = torch.stack([_given(s, 'gt_affinity_label').data[0] for s in data_samples])
        return self.decode_head.loss_by_label(self.extract_feat(inputs), label)

    def batch_maps(self, inputs: Tensor, data_samples: list[SegDataSample]) -> Maps:
        """The given maps (``seed_cam``) or the walked ones, and the mask they decide."""
        cams, classes = self.seed_cams(data_samples, inputs.shape[-2:])
        scores = self.add_background(cams)
        if self.settings.maps == 'refined':
            scores = self.walk(inputs, scores)
        scores = self.refine_present(inputs, scores, classes)
        label = decide(scores, classes)
        if self.settings.label_crf is not None:
            norm = self.data_preprocessor
            label = refine_labels_with_crf(inputs, label, norm, **self.settings.label_crf)
        return Maps(scores[:, 1:], classes, label)

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
        walked = random_walk(pooled, affinity, radius, self.settings.beta, self.settings.logt)
        return upsample(walked, inputs.shape[-2:])[..., :h, :w]

    def seed_cams(
        self, data_samples: list[SegDataSample], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Stored maps ``(B, K, *size)`` and their classes ``(B, K)``, -1 for none."""
        seeds: list[BaseDataElement] = [_given(sample, 'seed_cam') for sample in data_samples]
        cams = torch.cat([upsample(seed.cam, size) for seed in seeds])
        labels = torch.cat([seed.labels for seed in seeds])
        counts = torch.tensor([len(seed.labels) for seed in seeds], device=labels.device)
        image_index = torch.arange(len(seeds), device=labels.device).repeat_interleave(counts)
        return pack_pairs(cams, labels, image_index, len(seeds))

    def add_background(self, cams: Tensor) -> Tensor:
        """Prepend the background score that ``test_cfg`` names to ``(B, K, H, W)``."""
        constant = self.settings.background
        if constant is not None:
            return F.pad(cams, (0, 0, 0, 0, 1, 0), value=constant)
        return add_background(cams, self.settings.alpha)

    def refine_present(self, inputs: Tensor, scores: Tensor, classes: Tensor) -> Tensor:
        """Marginals of the dense CRF of background and present classes."""
        if self.settings.crf is None:
            return scores
        refined = torch.zeros_like(scores)
        for i in range(len(inputs)):
            one, present = slice(i, i + 1), slice(1 + int((classes[i] >= 0).sum()))
            refined[one, present] = self.refine_scores(
                inputs[one], scores[one, present], probabilities=True
            )
        return refined


def _given(sample: SegDataSample, field: str) -> PixelData | BaseDataElement:
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
