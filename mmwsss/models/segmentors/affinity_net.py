"""AffinityNet: pseudo masks by a random walk of activation maps on learned pixel affinities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.utils.crf import check_label_crf, refine_labels_with_crf
from mmwsss.models.utils.widths import check_map_widths, map_channels
from mmwsss.ops.pairs import pack_pairs
from mmwsss.ops.pixel_affinity import random_walks
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import Maps
from mmwsss.utils.checks import check_choice, check_range

from .base import TestSettings, WSSSSegmentor, label_of_image, same_size_batches


@dataclass(frozen=True)
class AffinityNetSettings(TestSettings):
    """It always refines the maps it is given; ``maps='plain'`` leaves them as they are.

    Attributes:
        alpha: The background score is ``(1 - max cam) ** alpha``.
        background: A constant background score in its place.
        beta, logt: See :func:`mmwsss.ops.pixel_affinity.random_walk`.
        label_crf: Arguments of :func:`mmwsss.models.utils.crf.refine_labels_with_crf`, to refine
            the decided mask as hard labels (TransCAM), in place of ``crf``, which refines scores.
        sweep: Lists of ``alpha``, ``background`` and ``logt``: every background with every length
            of the walk, all in one walk. Samples then get ``pred_walks`` and nothing else: the
            masks ``labels`` uint8 ``(P, H, W)``, and their P ``settings``. A list that is missing
            is the one value above.
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
    sweep: Mapping[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_label_crf('test_cfg.label_crf', self.label_crf)
        if self.crf is not None and self.label_crf is not None:
            raise ValueError(
                'test_cfg.crf refines the scores and label_crf the mask: remove one of them'
            )
        check_range('test_cfg.beta', self.beta, 0, open_low=True)
        for key in _SWEPT:
            _check_swept(f'test_cfg.{key}', key, getattr(self, key))
        for key, values in (self.sweep or {}).items():
            check_choice('a key of test_cfg.sweep', key, _SWEPT)
            if not isinstance(values, Sequence) or isinstance(values, str) or not values:
                raise ValueError(f'test_cfg.sweep.{key} must be a list, got {values!r}')
            for value in values:
                _check_swept(f'test_cfg.sweep.{key}', key, value)
        crf = self.crf is not None or self.label_crf is not None
        if self.sweep is not None and (crf or self.maps != 'refined'):
            raise ValueError("test_cfg.sweep needs crf=None, label_crf=None and maps='refined'")

    @property
    def one_background(self) -> dict[str, float]:
        """``alpha``, or ``background`` if that is given."""
        if self.background is None:
            return dict(alpha=self.alpha)
        return dict(background=self.background)

    @property
    def backgrounds(self) -> list[dict[str, float]]:
        """Those of the sweep, ``alpha`` or ``background`` each, or the one background."""
        swept = [
            {key: value} for key in ('alpha', 'background') for value in self.sweep.get(key, ())
        ]
        return swept or [self.one_background]

    @property
    def lengths(self) -> tuple[int, ...]:
        """``logt`` of the sweep, or the one ``logt``."""
        return tuple(self.sweep.get('logt', (self.logt,)))


_SWEPT = ('alpha', 'background', 'logt')


def _check_swept(name: str, key: str, value: float | None) -> None:
    high = 1 if key == 'background' else float('inf')
    check_range(name, value, 0, high, open_low=key == 'alpha', integer=key == 'logt')


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
        ValueError: The head does not fit the backbone, or see :class:`WSSSSegmentor`.
    """

    settings_type = AffinityNetSettings
    stride = 8

    def __init__(self, backbone: dict, decode_head: dict, **kwargs) -> None:
        super().__init__(dict(backbone=backbone, decode_head=decode_head), **kwargs)
        widths, maps = self.decode_head.in_channels, map_channels(self.backbone)
        check_map_widths('decode_head', widths, range(len(maps or ())), maps)

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
        scores = with_background(cams, **self.settings.one_background)
        if self.settings.maps == 'refined':
            scores = self.walk(inputs, scores)
        scores = self.refine_present(inputs, scores, classes)
        label = decide(scores, classes)
        if self.settings.label_crf is not None:
            norm = self.data_preprocessor
            label = refine_labels_with_crf(inputs, label, norm, **self.settings.label_crf)
        return Maps(scores[:, 1:], classes, label)

    def predict(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """As :class:`WSSSSegmentor`, or ``pred_walks`` with ``test_cfg.sweep``."""
        if self.settings.sweep is None:
            return super().predict(inputs, data_samples)
        settings = [
            {**background, 'logt': logt}
            for logt in self.settings.lengths
            for background in self.settings.backgrounds
        ]
        for batch, members in same_size_batches(inputs):
            mine = [data_samples[i] for i in members]
            for sample, labels in zip(mine, self.swept_labels(batch, mine), strict=True):
                labels = label_of_image(labels, sample.metainfo)
                sample.pred_walks = BaseDataElement(labels=labels, settings=settings)
        return data_samples

    def swept_labels(self, inputs: Tensor, data_samples: list[SegDataSample]) -> Tensor:
        """Masks of all lengths of the walk and all backgrounds, uint8 ``(B, P, H, W)``."""
        cams, classes = self.seed_cams(data_samples, inputs.shape[-2:])
        backgrounds = [with_background(cams, **b)[:, :1] for b in self.settings.backgrounds]
        scores, labels = torch.cat([*backgrounds, cams], dim=1), []
        for walked in self.walks(inputs, scores, self.settings.lengths):
            rows = walked.split([1] * len(backgrounds) + [cams.shape[1]], dim=1)
            pairs = (torch.cat([background, rows[-1]], dim=1) for background in rows[:-1])
            labels += [decide(pair, classes).byte() for pair in pairs]
        return torch.stack(labels, dim=1)

    def walk(self, inputs: Tensor, scores: Tensor) -> Tensor:
        """Random walk of scores on the affinities that the network sees in the images.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``; padded here with zeros, the mean colour,
                to multiples of 8.
            scores: ``(B, K, H, W)``, average-pooled for the walk.

        Returns:
            ``(B, K, H, W)``.
        """
        return next(self.walks(inputs, scores, [self.settings.logt]))

    def walks(self, inputs: Tensor, scores: Tensor, lengths: Sequence[int]) -> Iterator[Tensor]:
        """:meth:`walk` of several lengths, ``2 ** length`` steps each, on one way."""
        (h, w), stride = inputs.shape[-2:], self.stride
        padding = (0, -w % stride, 0, -h % stride)
        inputs, scores = F.pad(inputs, padding), F.pad(scores, padding)
        affinity = self._forward(inputs)
        pooled = F.avg_pool2d(scores, stride)
        radius = self.decode_head.radius_on(pooled.shape[-2:])
        for walked in random_walks(pooled, affinity, radius, self.settings.beta, lengths):
            yield upsample(walked, inputs.shape[-2:])[..., :h, :w]

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


def with_background(
    cams: Tensor, alpha: float | None = None, background: float | None = None
) -> Tensor:
    """Prepend ``(1 - max cam) ** alpha``, or the constant ``background``, to ``(B, K, H, W)``."""
    if background is not None:
        return F.pad(cams, (0, 0, 0, 0, 1, 0), value=background)
    return add_background(cams, alpha)


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
