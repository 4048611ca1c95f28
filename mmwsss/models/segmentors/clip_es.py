"""CLIP-ES: pseudo masks from a frozen CLIP, image labels and class names; nothing is trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.models.utils.clip_cam import clip_cams
from mmwsss.ops.affinity import mean_attention
from mmwsss.ops.affinity.caa import class_aware_affinity
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.multi_view import resize_to_multiple
from mmwsss.ops.pairs import pack_pairs
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_labels
from mmwsss.utils.checks import check_choice, check_range

from .base import TestSettings, WSSSSegmentor, same_size_batches

_CAA = {'attn_last': 8, 'box_threshold': 0.4}


@dataclass(frozen=True)
class CLIPESSettings(TestSettings):
    """Maps averaged over ``scales`` and ``flip`` (official: one view).

    Attributes:
        caa: Of the class-aware affinity, which makes the refined maps: ``attn_last``, how many
            blocks' attention is averaged (all, if there are fewer), and ``box_threshold``, 0.4
            (VOC) or 0.7 (COCO).
        power: The background score is ``(1 - max cam) ** power``.
        label_threshold: CLIP itself chooses the labels of an image, whatever the data set says:
            the classes whose probability is above, in [0, 1). None: image labels are needed.
    """

    predict_choices: ClassVar = ('cam',)
    not_used: ClassVar = ('long_side', 'sizes', 'resize', 'merge', 'crf')
    seg_only: ClassVar = ()

    predict: str = 'cam'
    caa: Mapping = field(default_factory=dict)
    power: float = 1.0
    label_threshold: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.caa is None:
            raise ValueError("test_cfg.caa=None is now test_cfg.maps='plain'")
        if not isinstance(self.caa, Mapping):
            raise ValueError(f'test_cfg.caa must be a dict, got {self.caa!r}')
        for key in self.caa:
            check_choice('a key of test_cfg.caa', key, _CAA)
        object.__setattr__(self, 'caa', {**_CAA, **self.caa})
        check_range('test_cfg.caa.attn_last', self.caa['attn_last'], 1, integer=True)
        check_range('test_cfg.caa.box_threshold', self.caa['box_threshold'], 0, 1)
        check_range('test_cfg.power', self.power, 0, open_low=True)
        check_range('test_cfg.label_threshold', self.label_threshold, 0, 1, open_high=True)


@MODELS.register_module()
class CLIPES(WSSSSegmentor):
    """Softmax Grad-CAM of CLIP, spread by CLIP's own attention.

    Paper: Lin et al., "CLIP is Also an Efficient Segmenter", CVPR 2023, arXiv 2212.09506. Official
    code: linyq2117/CLIP-ES.

    The frozen blocks see a batch once, the last block and its gradient all (image, class) pairs
    at once. Images are resized to multiples of the patch by Pillow's cubic filter; those of one
    size then form a batch, so that nothing is padded. Different from the official code: float32
    everywhere (``backbone.half_rounding`` aside), an image without labels becomes background
    instead of ending the run.

    Args:
        backbone: :class:`mmwsss.models.backbones.FrozenCLIP`.
        text: :class:`mmwsss.models.text_encoders.TextBank`. Other classes need other
            ``class_names`` and nothing else.
        kwargs: Arguments of :class:`WSSSSegmentor`. ``test_cfg``: :class:`CLIPESSettings`;
            ``maps='plain'`` are Grad-CAM. ``data_preprocessor``:
            :class:`mmwsss.models.AnySizePreProcessor` with CLIP's statistics.

    Raises:
        ValueError: See :class:`WSSSSegmentor`.
    """

    settings_type = CLIPESSettings
    crf_in_test_cfg = False  # it has maps; tools/dense_crf.py refines a folder of them

    def __init__(self, backbone: dict, text: dict, **kwargs) -> None:
        super().__init__(dict(backbone=backbone, text=text), **kwargs)
        self.text.encode(self.backbone)
        self.backbone.drop_text()

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return self.text.num_classes

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """There is no segmentation."""
        raise NotImplementedError('CLIP-ES gives maps of the image labels: use predict')

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> tuple[Tensor, ...]:
        return self.extract_feat(inputs)

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """There is nothing to train."""
        raise NotImplementedError(
            'CLIP-ES is not trained: write its masks with tools/test.py CONFIG, then train a '
            'config of configs/segmentation on them'
        )

    @torch.no_grad()
    def add_maps(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample]
    ) -> None:
        """Average the maps of all views at the size of each image, and fill them in."""
        if self.settings.label_threshold is None:
            image_labels = stack_image_labels(data_samples, self.num_foreground)
        else:
            found = class_scores(self, inputs) > self.settings.label_threshold
            image_labels = found.to(torch.float32)
        sizes = [tuple(sample.metainfo['ori_shape'][:2]) for sample in data_samples]
        cams = [
            image.new_zeros(int(hot.sum()), *size)
            for image, hot, size in zip(inputs, image_labels > 0, sizes, strict=True)
        ]
        scales = self.settings.scales
        for scale in scales:
            for i, maps in self.maps_at_scale(inputs, image_labels, scale):
                cams[i] += upsample(maps, sizes[i]).mean(0) / len(scales)
        for image, sample, hot, cam in zip(inputs, data_samples, image_labels, cams, strict=True):
            self.set_maps(sample, cam, hot.nonzero().flatten(), None, image.shape[-2:])

    def maps_at_scale(
        self, inputs: Tensor | Sequence[Tensor], image_labels: Tensor, scale: float
    ) -> Iterator[tuple[int, Tensor]]:
        """Index and maps ``(1 or 2, K, h, w)`` of every image with labels, mirrored back.

        The images that have one size when they are resized run as one batch.
        """
        norm, patch = self.data_preprocessor, self.backbone.patch_size
        labelled = image_labels.any(dim=1).nonzero().flatten().tolist()
        views = [resize_to_multiple(inputs[i], scale, patch, norm.mean, norm.std) for i in labelled]
        for batch, members in same_size_batches(views):
            hot = image_labels[[labelled[k] for k in members]]
            if self.settings.flip:
                batch, hot = torch.cat([batch, batch.flip(-1)]), hot.repeat(2, 1)
            cams, classes, _ = self.predict_maps(batch, hot)
            for k, member in enumerate(members):
                ways = cams[k :: len(members), classes[k] >= 0]
                if self.settings.flip:
                    ways = torch.stack([ways[0], ways[1].flip(-1)])
                yield labelled[member], ways

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Maps of one view at patch resolution; the sides must be multiples of the patch."""
        image_index, labels = image_labels.nonzero(as_tuple=True)
        cams = self.make_cams(inputs, image_labels)
        return Maps(*pack_pairs(cams, labels, image_index, len(inputs)))

    def make_cams(self, inputs: Tensor, image_labels: Tensor) -> Tensor:
        """Maps of every (image, class) pair, image-major, classes ascending.

        Args:
            inputs: ``(B, 3, H, W)``.
            image_labels: Multi-hot ``(B, C_fg)``.

        Returns:
            ``(P, h, w)`` in [0, 1] at patch resolution.
        """
        refined = self.settings.maps == 'refined'
        last, threshold = self.settings.caa['attn_last'], self.settings.caa['box_threshold']
        features = self.backbone.encode(inputs, CLIPRequest(attn=last if refined else 0))
        with torch.autocast(inputs.device.type, enabled=False):
            cams = clip_cams(self.backbone, self.text, features, image_labels)
            if not refined:
                return cams.maps
            attn = mean_attention(cams.attn, last)
            return minmax_normalize(
                class_aware_affinity(attn, cams.maps, cams.image_index, threshold)
            )

    def decide_label(self, cams: Tensor, classes: Tensor) -> Tensor:
        """Maps ``(B, K, H, W)`` of classes ``(B, K)`` -> pseudo mask ``(B, H, W)``."""
        return decide(add_background(cams, self.settings.power), classes)


@torch.no_grad()
def class_scores(model: WSSSSegmentor, inputs: Tensor | Sequence[Tensor]) -> Tensor:
    """CLIP's probability of every class: softmax over all class and background texts.

    Zero-shot classification (Radford et al., arXiv 2103.00020, section 3.1.2), the texts being
    those of CLIP-ES.

    Args:
        model: Has a frozen CLIP as ``backbone`` and a :class:`TextBank` as ``text``.
        inputs: Normalised images ``(B, 3, H, W)``, or B images ``(3, H, W)``.

    Returns:
        ``(B, C_fg)`` in [0, 1].
    """
    clip, text, norm = model.backbone, model.text, model.data_preprocessor
    views = [resize_to_multiple(i, 1.0, clip.patch_size, norm.mean, norm.std) for i in inputs]
    scores = inputs[0].new_zeros(len(views), text.num_classes)
    for batch, members in same_size_batches(views):
        features = clip.encode(batch, CLIPRequest(last=True, projected=True))
        tokens = F.normalize(features.projected[:, 0], dim=-1)
        logits = clip.logit_scale * tokens @ text.embeddings.T
        scores[members] = logits.softmax(dim=1)[:, : text.num_classes]
    return scores
