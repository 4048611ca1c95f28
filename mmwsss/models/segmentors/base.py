"""What every segmentor of this package inherits: checked test settings, one road to predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss.models.data_preprocessor import prepare_each
from mmwsss.models.utils.crf import check_crf, refine_with_crf
from mmwsss.ops.multi_view import (
    MERGES,
    RESIZES,
    make_resize,
    merge_logits,
    resize_long_side,
    view_maps,
)
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.ops.resize import resize_label, upsample
from mmwsss.registry import MODELS
from mmwsss.structures import Maps, stack_image_labels
from mmwsss.utils.checks import check_choice, check_flag, check_range


@dataclass(frozen=True)
class TestSettings:
    """``test_cfg`` of a segmentor, checked when the model is built.

    A method adds its keys in a subclass, and narrows the choices by the class attributes.

    Attributes:
        predict: ``'seg'`` segments and never looks at image labels; ``'cam'`` gives ``pred_cam``
            and the pseudo mask, as ``pred_pseudo_mask`` and ``pred_sem_seg``, for the classes in
            the image labels.
        maps: Which maps ``pred_cam`` holds and the pseudo mask is made of: ``'refined'`` by the
            method, or ``'plain'``.
        with_cam: Add ``pred_cam`` and ``pred_pseudo_mask`` to samples with image labels in
            ``'seg'``, too, for pictures.
        long_side: Resize so that the longer side has this many pixels; None keeps the size.
        scales: Factors on the size, one view each.
        sizes: Sides of square views, in place of ``scales``.
        flip: A mirror image for every view.
        resize: How views are made (:func:`mmwsss.ops.multi_view.make_resize`).
        merge: How they are merged (:func:`mmwsss.ops.multi_view.merge_logits`).
        crf: Arguments of :func:`mmwsss.models.utils.crf.refine_with_crf`, ``{}`` for its
            defaults, None for no CRF.

    Raises:
        ValueError: A value that is none of the choices, or out of range.
    """

    __test__: ClassVar[bool] = False  # no test class, whatever pytest concludes from the name
    predict_choices: ClassVar[tuple[str, ...]] = ('seg', 'cam')
    masks_by: ClassVar[str] = 'cam'  # how pseudo masks are made if nothing is said of it
    maps_choices: ClassVar[tuple[str, ...]] = ('refined', 'plain')
    merge_choices: ClassVar[tuple[str, ...]] = MERGES
    not_used: ClassVar[tuple[str, ...]] = ()
    seg_only: ClassVar[tuple[str, ...]] = ('scales', 'sizes', 'flip', 'crf')

    predict: str = 'seg'
    maps: str = 'refined'
    with_cam: bool = False
    long_side: int | None = None
    scales: Sequence[float] = (1.0,)
    sizes: Sequence[int] | None = None
    flip: bool = False
    resize: str = 'factor'
    merge: str = 'logit_mean'
    crf: Mapping | None = None

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Names that ``test_cfg`` may hold."""
        return tuple(field.name for field in fields(cls) if field.name not in cls.not_used)

    @classmethod
    def parse(cls, given: Mapping[str, Any], owner: str) -> TestSettings:
        """Settings of a ``test_cfg``.

        Args:
            given: ``test_cfg`` as the config has it.
            owner: Class of the segmentor, for messages.

        Raises:
            ValueError: A key or a value that it cannot have; names the nearest key.
        """
        if not isinstance(given, Mapping):
            raise ValueError(f'test_cfg of {owner} must be a dict, got {given!r}')
        for key, value in given.items():
            _refuse_former_key(owner, key, value)
            check_choice(f'a key of test_cfg of {owner}', key, cls.keys())
        try:
            return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
        except ValueError as error:
            raise ValueError(f'{owner}: {error}') from None

    def __post_init__(self) -> None:
        check_choice('test_cfg.predict', self.predict, self.predict_choices)
        check_choice('test_cfg.maps', self.maps, self.maps_choices)
        check_choice('test_cfg.resize', self.resize, RESIZES)
        check_choice('test_cfg.merge', self.merge, self.merge_choices)
        check_flag('test_cfg.with_cam', self.with_cam)
        check_flag('test_cfg.flip', self.flip)
        check_range('test_cfg.long_side', self.long_side, 1, integer=True)
        _check_several('test_cfg.scales', self.scales)
        if self.sizes is not None:
            _check_several('test_cfg.sizes', self.sizes, integer=True)
            if tuple(self.scales) != (1.0,) or self.long_side is not None:
                raise ValueError(
                    'test_cfg.sizes takes the place of scales and long_side: remove these'
                )
        check_crf('test_cfg.crf', self.crf)
        defaults = {field.name: field.default for field in fields(self)}
        changed = [key for key in self.seg_only if getattr(self, key) != defaults[key]]
        if self.predict == 'cam' and changed:
            raise ValueError(
                f"test_cfg: {', '.join(changed)} (--tta, --crf) are for predict='seg'; remove them "
                "for 'cam'"
            )


def _check_several(name: str, values: object, integer: bool = False) -> None:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values or None in values:
        raise ValueError(f'{name} must be a list of numbers > 0, got {values!r}')
    for value in values:
        check_range(name, value, 0, open_low=True, integer=integer)


def _refuse_former_key(owner: str, key: str, value: object) -> None:
    if key == 'mode' and value in ('whole', 'slide'):
        raise ValueError(
            f"{owner}: test_cfg.mode='whole' and 'slide' belong to mmseg's EncoderDecoder; this "
            'segmentor always sees whole images: remove the key'
        )
    if key == 'mode':
        raise ValueError(f'{owner}: test_cfg.mode is now test_cfg.predict: say predict={value!r}')
    if key == 'cam':
        maps = 'plain' if value == 'gradcam' else value
        raise ValueError(f'{owner}: test_cfg.cam is now test_cfg.maps: say maps={maps!r}')


class WSSSSegmentor(BaseSegmentor):
    """A segmentor that predicts as ``test_cfg`` says; see :class:`TestSettings`.

    A method gives what it can do: :meth:`encode_decode` the logits of one view,
    :meth:`predict_maps` the maps of the classes in the image labels. The rest is given here:
    views and their merging, the dense CRF, images of several sizes in one batch, results at the
    size of the image (``ori_shape``).

    Args:
        parts: ``{name: config}`` of the sub-modules, built in this order.
        test_cfg: See ``settings_type``.
        data_preprocessor: mmseg's, with the statistics the method was published with.
        train_cfg, pretrained: Empty; mmseg's ``init_model`` sets them.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: Unknown keys or values in ``test_cfg``, or ``train_cfg`` or ``pretrained``
            that are not empty.
    """

    settings_type: ClassVar[type[TestSettings]] = TestSettings
    crf_in_test_cfg: ClassVar[bool] = True
    align_corners = False

    def __init__(
        self,
        parts: Mapping[str, dict],
        test_cfg: Mapping | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if train_cfg or pretrained:
            raise ValueError(
                f'{type(self).__name__} has no train_cfg, and takes pretrained weights from '
                'backbone.init_cfg: remove train_cfg and pretrained'
            )
        self.test_cfg = test_cfg
        for name, config in parts.items():
            setattr(self, name, MODELS.build(config))

    @property
    def test_cfg(self) -> Mapping[str, Any]:
        """What was given, read-only; assign a new one to change the settings."""
        return MappingProxyType(self._test_cfg)

    @test_cfg.setter
    def test_cfg(self, given: Mapping | None) -> None:
        given = {} if given is None else given
        self.settings = self.settings_type.parse(given, type(self).__name__)
        self._test_cfg = dict(given)

    @property
    def num_foreground(self) -> int:
        """Classes without background."""
        return self.decode_head.num_classes

    @property
    def iteration(self) -> int:
        """Iteration of the training, from 0."""
        return MessageHub.get_current_instance().get_info('iter', 0)

    def extract_feat(self, inputs: Tensor) -> Any:
        """Feature maps of the backbone."""
        return self.backbone(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None) -> Tensor:
        """Normalised images ``(B, 3, H, W)`` -> segmentation logits ``(B, C, h, w)``."""
        return self.decode_head(self.extract_feat(inputs))

    def view_scores(self, inputs: Tensor) -> Tensor:
        """Scores ``(B, C, h, w)`` that decide the segmentation of one view, without CRF."""
        return self.encode_decode(inputs)

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.encode_decode(inputs)

    def predict_maps(self, inputs: Tensor, image_labels: Tensor) -> Maps:
        """Maps of the classes in the image labels, those that ``test_cfg.maps`` names.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``.
            image_labels: Multi-hot ``(B, C_fg)``.
        """
        raise NotImplementedError(f'{type(self).__name__} makes no maps')

    def val_step(self, data: dict) -> list[SegDataSample]:
        """As mmengine's, for images of any sizes in one batch."""
        several = len({tuple(image.shape) for image in data['inputs']}) > 1
        prepare = self.data_preprocessor
        data = prepare_each(prepare, data) if several else prepare(data, False)
        return self._run_forward(data, mode='predict')

    test_step = val_step

    def predict(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Fill in what ``test_cfg`` asks for, at the ``ori_shape`` of each image.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``, or a list of ``(3, H, W)``.
            data_samples: With ``gt_image_labels`` if there shall be maps.

        Returns:
            The samples with ``pred_sem_seg`` and, see ``test_cfg``, ``seg_logits`` (whatever the
            last step gives: logits, merged probabilities or the CRF's posterior), ``pred_cam``
            and ``pred_pseudo_mask``.
        """
        cfg = self.settings
        data_samples = _with_ori_shape(inputs, data_samples)
        if cfg.predict == 'seg':
            for batch, members in same_size_batches(inputs):
                self.postprocess_result(self.seg_scores(batch), [data_samples[i] for i in members])
        if cfg.predict == 'cam':
            self.add_maps(inputs, data_samples)
        elif cfg.with_cam and 'cam' in cfg.predict_choices:
            labelled = [i for i, one in enumerate(data_samples) if 'gt_image_labels' in one]
            self.add_maps([inputs[i] for i in labelled], [data_samples[i] for i in labelled])
        if cfg.predict == 'cam':
            for sample in data_samples:
                sample.pred_sem_seg = sample.pred_pseudo_mask
        return data_samples

    def seg_scores(self, inputs: Tensor) -> Tensor:
        """Scores of the segmentation ``(B, C, H, W)`` at the size of the input, CRF included."""
        scores = upsample(self.merged_logits(inputs).float(), inputs.shape[-2:])
        return self.refine_scores(inputs, scores, self.settings.merge.startswith('prob'))

    @property
    def gives_logits(self) -> bool:
        """Whether ``seg_logits`` of predictions are logits, not shares in [0, 1]."""
        return self.settings.crf is None and not self.settings.merge.startswith('prob')

    def merged_logits(self, inputs: Tensor) -> Tensor:
        """Scores of all views together, at the resolution of the head."""
        # the first scale sets the size at which the logits meet
        scales = sorted(self.settings.scales, key=lambda scale: scale != 1)
        views = self.view_maps(self.encode_decode, self.test_view(inputs), scales)
        return merge_logits(views, mode=self.settings.merge, flip=self.settings.flip)

    def test_view(self, inputs: Tensor) -> Tensor:
        """The images at the size that ``test_cfg.long_side`` asks for."""
        long_side = self.settings.long_side
        return resize_long_side(inputs, long_side) if long_side else inputs

    def view_maps(
        self,
        forward: Callable[[Tensor], Tensor],
        inputs: Tensor,
        scales: Sequence[float] | None = None,
    ) -> Iterator[Tensor]:
        """Maps of all views of ``test_cfg``; see :func:`mmwsss.ops.multi_view.view_maps`."""
        cfg, norm = self.settings, self.data_preprocessor
        resize = make_resize(cfg.resize, getattr(norm, 'mean', None), getattr(norm, 'std', None))
        return view_maps(forward, inputs, scales or cfg.scales, cfg.flip, resize, cfg.sizes)

    def refine_scores(self, inputs: Tensor, scores: Tensor, probabilities: bool) -> Tensor:
        """The one road to the dense CRF.

        Args:
            inputs: Normalised images ``(B, 3, H, W)``.
            scores: ``(B, C, H, W)``, logits or, as it says, ``probabilities``.

        Returns:
            The posterior, or, without ``test_cfg.crf``, the scores as they are.
        """
        if self.settings.crf is None:
            return scores
        prob = scores if probabilities else scores.softmax(dim=1)
        return refine_with_crf(inputs, prob, self.data_preprocessor, **self.settings.crf)

    def add_maps(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample]
    ) -> None:
        """Fill in ``pred_cam`` and ``pred_pseudo_mask`` for the classes in the image labels."""
        for batch, members in same_size_batches(inputs):
            mine = [data_samples[i] for i in members]
            maps = self.batch_maps(batch, mine)
            for i, sample in enumerate(mine):
                known = maps.classes[i] >= 0
                label = None if maps.label is None else maps.label[i]
                cams, classes = maps.cams[i, known], maps.classes[i, known]
                self.set_maps(sample, cams, classes, label, batch.shape[-2:])

    def batch_maps(self, inputs: Tensor, data_samples: list[SegDataSample]) -> Maps:
        """:meth:`predict_maps` for samples."""
        return self.predict_maps(inputs, stack_image_labels(data_samples, self.num_foreground))

    def set_maps(
        self,
        sample: SegDataSample,
        cams: Tensor,
        classes: Tensor,
        label: Tensor | None,
        size: tuple[int, int],
    ) -> None:
        """Fill in ``pred_cam`` and ``pred_pseudo_mask`` of one sample at its ``ori_shape``.

        Args:
            sample: To fill in.
            cams: ``(K, h, w)`` in [0, 1].
            classes: ``(K,)``, all known.
            label: ``(H, W)``; None: :meth:`decide_label`.
            size: Size of the input.
        """
        meta = sample.metainfo
        if any(_padding(meta)):
            cams = upsample(cams, size)
        cams = upsample(_image_area(cams, meta), meta['ori_shape'][:2])
        if label is None:
            label = self.decide_label(cams[None], classes[None])[0]
        else:
            label = label_of_image(label, meta)
        sample.pred_cam = BaseDataElement(cam=cams, labels=classes)
        sample.pred_pseudo_mask = PixelData(data=label[None])

    def decide_label(self, cams: Tensor, classes: Tensor) -> Tensor:
        """Maps ``(B, K, H, W)`` of classes ``(B, K)`` -> pseudo mask ``(B, H, W)``."""
        return decide(add_background(cams), classes)


def same_size_batches(inputs: Tensor | Sequence[Tensor]) -> Iterator[tuple[Tensor, list[int]]]:
    """Batches of the images that have one size.

    Args:
        inputs: ``(B, 3, H, W)``, or B images ``(3, H, W)``.

    Yields:
        ``(b, 3, h, w)``, and which images of the inputs they are.
    """
    if isinstance(inputs, Tensor):
        yield inputs, list(range(len(inputs)))
        return
    groups: dict[torch.Size, list[int]] = {}
    for i, image in enumerate(inputs):
        groups.setdefault(image.shape, []).append(i)
    for members in groups.values():
        yield torch.stack([inputs[i] for i in members]), members


def _with_ori_shape(
    inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample] | None
) -> list[SegDataSample]:
    """Samples that know the size of their image; without one it is that of the input."""
    data_samples = data_samples or [SegDataSample() for _ in inputs]
    for image, sample in zip(inputs, data_samples, strict=True):
        if 'ori_shape' not in sample.metainfo:
            sample.set_metainfo(dict(ori_shape=tuple(image.shape[-2:])))
    return data_samples


def _padding(metainfo: Mapping) -> Sequence[int]:
    """Pixels of padding on the left, right, top and bottom of the input."""
    return metainfo.get('img_padding_size', metainfo.get('padding_size', (0, 0, 0, 0)))


def label_of_image(label: Tensor, metainfo: Mapping) -> Tensor:
    """Label maps ``(..., H, W)`` of the input -> of the image, at its ``ori_shape``."""
    return resize_label(_image_area(label, metainfo), metainfo['ori_shape'][:2])


def _image_area(maps: Tensor, metainfo: Mapping) -> Tensor:
    """Maps of the input -> of the image, as mmseg does it with logits: no padding, not mirrored."""
    left, right, top, bottom = _padding(metainfo)
    height, width = maps.shape[-2:]
    maps = maps[..., top : height - bottom, left : width - right]
    if not metainfo.get('flip'):
        return maps
    return maps.flip(-1 if metainfo['flip_direction'] == 'horizontal' else -2)
