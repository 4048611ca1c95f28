"""Maps and masks of any images: of classes that are named, without training, or by a network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from mmseg.structures import SegDataSample
from PIL import Image
from torch import Tensor, nn

from ..models.text_encoders.attribute_bank import PLAIN
from ..models.text_encoders.text_bank import check_templates
from ..ops.multi_view.windows import Box, window_boxes
from ..ops.resize import upsample
from ..registry import MODELS
from ..stages import MasksFromCAMs
from ..stages.launch import load_config
from ..stores.cam_store import save_cam
from ..stores.palettes import voc_palette
from ..utils.checks import (
    check_device,
    check_flag,
    check_palette,
    check_range,
    check_unique,
    some,
)
from ..utils.images import ImageInput, fit_sides, read_rgb
from ..utils.io import atomic_write, write_mask
from ..utils.provenance import digest_file
from ..visualization import draw_panel
from .class_names import (
    ClassNames,
    background_prompts,
    class_prompts,
    encode_all,
)
from .clip_maps import CLIPMaps
from .model_config import check_config, config_classes, find_clip, find_config
from .pretrained import WEIGHTS, find_folder, read_folder, write_folder, write_network
from .request import LABEL_THRESHOLD, check_request, is_folder
from .results import Failure, ImageResult
from .trained_network import READING, TrainedNetwork
from .windows import MIN_SIDE, WINDOWS_MAX_SIDE, check_windows, window_maps

LabelNames = Sequence[str] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]]

CRF = MasksFromCAMs(crf=dict(preset='deeplabv2'))  # CLIP-ES, stage 2
# CLIP-ES was tuned on VOC's images of at most 500 pixels; memory grows with the fourth power.
MAX_SIDE = 512
MIN_PATCHES = 4
_ANY_SIDE = 2**31
_SAVED = ('palette', 'max_side', 'window', 'stride', 'original_size', 'crf')


@dataclass
class _Item:
    """An image on its way through the model."""

    name: str
    image: np.ndarray
    labels: np.ndarray | None
    view: np.ndarray = field(repr=False)
    scores: np.ndarray | None = None
    file_name: str | None = None


class WSSSInferencer:
    """Maps, masks and overlays of images, for classes that are named or by a trained network.

    It behaves like :class:`mmseg.apis.MMSegInferencer`, except that without ``weights`` the classes
    are free, image labels may be given, pictures of every kind are read (grey, paletted,
    transparent, 16 bits, turned by EXIF), and a broken file among several does not stop the others.

    Without image labels CLIP chooses them: those classes whose share in the softmax over all
    classes and background names, of the class token, is above a threshold. On the val images of
    the mini data set 0.1 gives labels of 0.95 precision and 0.83 recall. Given labels make better
    masks.

    With ``weights`` the model is the network of any config, whose classes are those of its
    checkpoint; see :class:`mmwsss.apis.trained_network.TrainedNetwork`.

    With ``window``, images that are larger are looked at window by window and not shrunk. For
    named classes the whole image, shrunk to the size of a window, is looked at, too, so that what
    is larger than a window is seen as a whole; an image label is predicted if any of these views
    shows the class, and the maps are joined by what CLIP says of its presence in each
    (:func:`mmwsss.ops.multi_view.windows.merge_window_maps`), so that a window without the class
    leaves no map. The scores of a network are averaged.

    Args:
        model: A config whose model is :class:`mmwsss.models.CLIPES`, or
            :class:`mmwsss.models.ExCELFree`: a path, the name of a shipped one
            (``'clip_es_voc'``, ``'excel_free_voc'``), or a loaded one. With ``weights`` any.
        classes: Names, or ``{name: prompt}``, where the prompt may hold synonyms
            (``'person with clothes,people,human'``) or be a list of them. None: the config's.
        background: What is often seen beside the classes but is none of them. None: the config's.
            Names that are also classes are left out.
        templates: Sentences with ``{}``. None: the config's.
        clip: CLIP weights (a path, ``'openai'`` or ``'mini'``). None: the config's.
        device: None: an accelerator if there is one.
        crf: How maps become the mask; None: their argmax, without CRF.
        palette: ``(1 + C, 3)`` RGB colours, background first. None: VOC's colours.
        max_side: Larger images are shrunk for the model; at least 64. None: 512 for named classes,
            4096 with windows, as they are for networks.
        original_size: Enlarge the results to the size of the image again. Otherwise image, maps
            and mask have the size at which the model saw it.
        bank: For ExCEL: descriptions of ``classes``, by their names, or an attribute bank
            (:class:`mmwsss.models.AttributeTextBank`). None: the config's with its own classes,
            and class texts without attributes with others.
        weights: Checkpoint of a trained network. What is said of classes, texts and the CRF is
            not for it (``test_cfg.crf`` is).
        window: Side of the windows, at least 64.
        stride: Of the windows, at most their side. None: two thirds of it.

    Raises:
        FileNotFoundError: No such config, CLIP weights or checkpoint.
        ValueError: The config is not one of a method without training, or there are no weights for
            it; no class names, a name
            given twice, or a prompt that is too long for CLIP; a template without ``{}``, a palette
            with too few colours, a device that is not there.

    Example:
        >>> inferencer = WSSSInferencer('clip_es_mini', classes=['cow', 'tree'])
        >>> result = inferencer('field.png', image_labels=['cow'])['predictions']
        >>> result.mask.shape, result.cams.shape
        ((96, 128), (1, 96, 128))
    """

    def __init__(
        self,
        model: str | os.PathLike | Config = 'clip_es_voc',
        classes: ClassNames | None = None,
        background: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        clip: str | os.PathLike | None = None,
        device: str | None = None,
        crf: MasksFromCAMs | None = CRF,
        palette: Sequence[Sequence[int]] | None = None,
        max_side: int | None = None,
        original_size: bool = True,
        bank: str | os.PathLike | None = None,
        weights: str | os.PathLike | None = None,
        window: int | None = None,
        stride: int | None = None,
    ) -> None:
        check_range('max_side', max_side, MIN_SIDE, integer=True)
        check_device(device)
        check_flag('original_size', original_size)
        check_windows(window, stride)
        self.window, self.stride = window, stride or (window and max(1, window * 2 // 3))
        self._given_sides = dict(max_side=max_side, window=window, stride=stride)
        self.original_size = original_size
        self.network: TrainedNetwork | None = None
        if weights is not None:
            free = dict(
                classes=classes, background=background, templates=templates, clip=clip, bank=bank
            )
            given = [name for name, value in free.items() if value is not None]
            given += [] if crf in (None, CRF) else ['crf']
            if given:
                raise ValueError(f'{", ".join(given)} cannot be said of a trained network')
            self._load_network(model, weights, device, palette, max_side)
            return
        self.cfg = deepcopy(model) if isinstance(model, Config) else load_config(find_config(model))
        check_config(self.cfg)
        init_default_scope(self.cfg.get('default_scope', 'mmseg'))
        # each call says whether CLIP chooses the labels, and at which threshold
        (self.cfg.model.get('test_cfg') or {}).pop('label_threshold', None)
        if clip is not None:
            self.cfg.model.backbone.checkpoint = str(clip)
        self._clip_file = find_clip(self.cfg.model.backbone.get('checkpoint', 'openai'))
        self.device = device or get_device()
        self.crf = crf
        self.max_side = max_side or (WINDOWS_MAX_SIDE if window else MAX_SIDE)
        self._given_cfg, self._given_palette = self.cfg, palette
        self.model: nn.Module | None = None
        self._steps = [t for t in self.cfg.test_pipeline if t['type'] not in READING]
        self.pipeline = Compose(self._steps)
        self.set_classes(classes, background, templates, bank)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        revision: str | None = None,
        trust_remote_code: bool = False,
        **kwargs: Any,
    ) -> WSSSInferencer:
        """An inferencer from what :meth:`save_pretrained` has written.

        Args:
            name: A folder, or ``owner/name`` on the Hugging Face hub.
            revision: Branch, tag or commit on the hub.
            trust_remote_code: See :func:`mmwsss.apis.pretrained.read_folder`.
            kwargs: Arguments of the class, in place of what was saved.

        Raises:
            FileNotFoundError: No such folder, neither here nor on the hub, or a file is missing.
            ValueError: Pickles in place of safetensors, or a config that could run code.
        """
        folder = find_folder(name, revision)
        config = read_folder(folder, trust_remote_code)
        saved = config.pop('inferencer', {})
        if not isinstance(saved, dict) or set(saved) - set(_SAVED):
            raise ValueError(f'{name}: inferencer may hold {some(_SAVED)}, got {saved!r:.200}')
        if 'crf' in saved:
            saved['crf'] = CRF if saved['crf'] else None
        if config.get('trained'):
            saved['weights'] = folder / WEIGHTS
        if kwargs.get('classes') is not None:
            saved.pop('palette', None)
        if 'window' in kwargs:
            saved.pop('stride', None)
        return cls(Config(config), **{**saved, **kwargs})

    def save_pretrained(
        self, folder: str | os.PathLike, figures: Mapping[str, Any] | None = None
    ) -> None:
        """Write config, weights (safetensors), classes and a card, for :meth:`from_pretrained`.

        Args:
            folder: New or empty; ``hf upload owner/name FOLDER`` brings it to the hub.
            figures: ``{what: value}`` for the card, ``{'mIoU, VOC val': value}``.

        Raises:
            OSError: Nothing can be written there.
            ValueError: The folder is not empty, frozen weights are in no file, the CRF is not the
                usual one, or the config of a trained network names a file that cannot come along.
        """
        if self.network is not None:
            self._save_network(folder, figures)
            return
        if self._clip_file is None:
            raise ValueError('the weights of CLIP come from no file: name one with clip=')
        if self.crf not in (None, CRF):
            raise ValueError('only the usual CRF, or none, can be saved; give yours when loading')
        classes = dict(zip(self.classes[1:], self.cfg.model.text.class_names, strict=True))
        names = dict(type='mmwsss.ImageLabelDataset', metainfo=dict(classes=list(self.classes)))
        saved = dict(palette=self.palette, original_size=self.original_size, **self._given_sides)
        config = dict(
            default_scope=self.cfg.get('default_scope', 'mmseg'),
            model=self.cfg.model.to_dict(),
            test_pipeline=self._steps,
            test_dataloader=dict(dataset=names),
            inferencer=dict(saved, crf=self.crf is not None),
        )
        write_folder(folder, config, self._clip_file, classes, figures)

    def _save_network(self, folder: str | os.PathLike, figures: Mapping[str, Any] | None) -> None:
        saved = dict(palette=self.palette, original_size=self.original_size, **self._given_sides)
        meta = dict(classes=list(self.classes), palette=self.palette)
        config = dict(
            default_scope=self.cfg.get('default_scope', 'mmseg'),
            model=self.cfg.model.to_dict(),
            test_pipeline=[t for t in self.cfg.test_pipeline if t['type'] not in READING],
            test_dataloader=dict(dataset=dict(type='mmwsss.ImageLabelDataset', metainfo=meta)),
            inferencer=saved,
        )
        if 'custom_imports' in self.cfg:
            config['custom_imports'] = self.cfg.custom_imports
        write_network(folder, config, self.model, self.classes[1:], figures)

    def _load_network(
        self,
        model: str | os.PathLike | Config,
        weights: str | os.PathLike,
        device: str | None,
        palette: Sequence[Sequence[int]] | None,
        max_side: int | None,
    ) -> None:
        self.cfg = model if isinstance(model, Config) else load_config(find_config(model))
        self.device = device or get_device()
        self.network = TrainedNetwork(self.cfg, weights, self.device)
        self.model, self.classes = self.network.model, self.network.classes
        palette = self.network.palette if palette is None else palette
        check_palette(palette, len(self.classes))
        self.palette = [[int(value) for value in colour] for colour in palette]
        self.max_side = max_side or (WINDOWS_MAX_SIDE if self.window else _ANY_SIDE)

    def set_classes(
        self,
        classes: ClassNames | None = None,
        background: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        bank: str | os.PathLike | None = None,
    ) -> None:
        """Look for other classes from now on; see the class for the arguments."""
        if self.network is not None:
            raise ValueError('the classes of a trained network are those that it was trained for')
        cfg = deepcopy(self._given_cfg)
        text = cfg.model.text
        prompts = class_prompts(config_classes(cfg) if classes is None else classes)
        background = text.get('background_names', ()) if background is None else background
        palette = self._given_palette
        palette = voc_palette(1 + len(prompts)) if palette is None else palette
        check_palette(palette, 1 + len(prompts))
        text.class_names = list(prompts.values())
        text.background_names = background_prompts(background, prompts)
        if bank is not None and 'bank' not in text:
            raise ValueError('bank is for ExCEL: the texts of this config have no attributes')
        if bank is not None or (classes is not None and 'bank' in text):
            bank = PLAIN if bank is None else str(bank)
            text.update(bank=bank, described_as=list(prompts), num_attributes=None)
        if templates is not None:
            check_templates(templates)
            text.templates = list(templates)
        if self.model is None:
            self.model = MODELS.build(cfg.model).to(self.device).eval()
        elif text != self.cfg.model.text:  # CLIP stays, and from now on its text tower, too
            words = MODELS.build(text)
            words.encode(self.model.backbone)
            self.model.text = words.to(self.device)
        self._maps = CLIPMaps(self.model, self.pipeline, len(prompts), self.device)
        self.cfg = cfg
        self.classes = ('background', *prompts)
        self.palette = [[int(value) for value in colour] for colour in palette]

    def settings(self) -> dict:
        """All that the maps of an image depend on, beside the image and its labels, as JSON."""
        if self.network is not None:
            raise ValueError('settings are those of a method without training')
        windows = dict(window=self.window, stride=self.stride) if self.window else {}
        model = self.cfg.model.to_dict()
        checkpoint, text = model['backbone'].pop('checkpoint', 'openai'), model.pop('text')
        if os.path.isfile(text.get('bank') or ''):
            text['bank'] = digest_file(text['bank'])
        if self._clip_file is not None:
            clip = digest_file(self._clip_file)
        else:
            clip = 'random' if checkpoint == 'random' else self.model.backbone.digest.tolist()
        return dict(
            clip=clip,
            classes=dict(zip(self.classes[1:], text.pop('class_names'), strict=True)),
            text=text,
            model=model,
            pipeline=self._steps,
            max_side=self.max_side,
            **windows,
        )

    def __call__(
        self,
        inputs: ImageInput | Sequence[ImageInput],
        image_labels: LabelNames | None = None,
        label_threshold: float = LABEL_THRESHOLD,
        return_datasamples: bool = False,
        batch_size: int = 1,
        return_vis: bool = False,
        out_dir: str | os.PathLike = '',
        show_progress: bool = True,
    ) -> dict:
        """Process images.

        Args:
            inputs: An image, several, or a folder. An image is a path, a PIL image or an array
                (:func:`mmwsss.utils.images.read_rgb`; BGR, as mmcv gives it).
            image_labels: Class names of the image; for several, a list of lists, or
                ``{file name without suffix: names}``. None: CLIP predicts them. Not for a network
                that makes maps for them and looks window by window.
            label_threshold: CLIP predicts a class if its probability is above it, in [0, 1);
                ``test_cfg.label_threshold`` of the config is not looked at. A network predicts no
                labels.
            return_datasamples: Give ``predictions`` as :class:`mmseg.structures.SegDataSample`.
            batch_size: Images per pass.
            return_vis: Draw a picture for every image: maps, mask and legend.
            out_dir: If given, ``vis/<name>.png``, ``pred/<name>.png`` (masks) and
                ``cams/<name>.npz`` are written there.
            show_progress: Show a bar.

        Returns:
            ``predictions``, a list of :class:`ImageResult`; ``visualization``, a list of uint8 RGB
            pictures if ``return_vis``; ``failed``, ``{path: what is wrong}``. For one image
            ``predictions`` and ``visualization`` are not lists.

        Raises:
            FileNotFoundError, OSError: See :func:`check_request`.
            ValueError: See there; the one image cannot be read; labels that are no classes or do
                not fit the images.
        """
        single = not isinstance(inputs, list | tuple) and not is_folder(inputs)
        named = check_request(inputs, label_threshold, batch_size, out_dir)
        results = self._stream(named, image_labels, label_threshold, batch_size)
        if show_progress and not single:
            results = track_iter_progress((results, len(named)))
        found, pictures, failed = [], [], {}
        for result in results:
            if isinstance(result, Failure):
                if single:
                    raise ValueError(result.message)
                failed[result.name] = result.message
                continue
            picture = self.draw(result) if return_vis or out_dir else None
            if out_dir:
                self.write(out_dir, result, picture)
            found.append(result.to_data_sample() if return_datasamples else result)
            pictures.extend([picture] if return_vis else [])
        if single:
            found, pictures = found[0], pictures[0] if pictures else []
        return dict(predictions=found, visualization=pictures, failed=failed)

    def stream(
        self,
        inputs: ImageInput | Sequence[ImageInput],
        image_labels: LabelNames | None = None,
        label_threshold: float = LABEL_THRESHOLD,
        batch_size: int = 1,
    ) -> Iterator[ImageResult | Failure]:
        """The same one by one and in order, without holding everything in memory.

        Raises:
            ValueError: Labels that are no classes or do not fit the images, or a number out of its
                range; raised at once, not at the first result.
        """
        named = check_request(inputs, label_threshold, batch_size)
        return self._stream(named, image_labels, label_threshold, batch_size)

    def draw(self, result: ImageResult) -> np.ndarray:
        """Picture of the image, its maps and its mask above a legend, uint8 RGB."""
        return draw_panel(
            result.image,
            self.classes,
            self.palette,
            cam=result.cams if len(result.cams) else None,
            cam_labels=result.labels,
            pseudo_mask=result.mask,
        )

    def write(
        self, out_dir: str | os.PathLike, result: ImageResult, picture: np.ndarray | None = None
    ) -> None:
        """Write ``vis/<name>.png``, ``pred/<name>.png`` and ``cams/<name>.npz``.

        Args:
            out_dir: Folder.
            result: Of an image.
            picture: What :meth:`draw` gives, if it is there already.
        """
        out_dir = Path(out_dir)
        with atomic_write(out_dir / 'vis' / f'{result.name}.png') as tmp:
            Image.fromarray(self.draw(result) if picture is None else picture).save(tmp)
        write_mask(out_dir / 'pred' / f'{result.name}.png', result.mask, self.palette)
        size = result.mask.shape
        save_cam(out_dir / 'cams' / f'{result.name}.npz', result.labels, result.cams, size)

    # reading

    def _stream(
        self,
        named: list[tuple[str, ImageInput]],
        image_labels: LabelNames | None,
        label_threshold: float,
        batch_size: int,
    ) -> Iterator[ImageResult | Failure]:
        labels = self._encoded(image_labels, [name for name, _ in named])
        if image_labels is not None and self.window and self.network is not None:
            self.network.check_labels_in_windows()
        chunks = [slice(i, i + batch_size) for i in range(0, len(named), batch_size)]
        return (
            result
            for chunk in chunks
            for result in self._batch(named[chunk], labels[chunk], label_threshold, batch_size)
        )

    def _batch(
        self,
        named: list[tuple[str, ImageInput]],
        labels: list,
        threshold: float,
        batch_size: int,
    ) -> Iterator[ImageResult | Failure]:
        items = [self._read(*pair) for pair in zip(named, labels, strict=True)]
        whole = iter(self._run([i for i in items if self._is_whole(i)], threshold))
        for item in items:
            if isinstance(item, Failure):
                yield item
            elif self._is_whole(item):
                yield next(whole)
            else:
                yield self._run_windows(item, threshold, batch_size)

    def _is_whole(self, item: _Item | Failure) -> bool:
        """Whether an image is looked at in one piece."""
        if isinstance(item, Failure):
            return False
        return self.window is None or max(item.view.shape[:2]) <= self.window

    def _encoded(self, labels: LabelNames | None, names: list[str]) -> list[np.ndarray | None]:
        if labels is None:
            return [None] * len(names)
        if isinstance(labels, Mapping):
            check_unique('image name', names)
            missing = [name for name in names if name not in labels]
            if missing:
                raise ValueError(
                    f'{len(missing)} of {len(names)} images have no entry in the image labels: '
                    f'{some(missing)}'
                )
            labels = [labels[name] for name in names]
        elif len(names) == 1 and all(isinstance(label, str) for label in labels):
            labels = [labels]
        if len(labels) != len(names) or any(isinstance(label, str) for label in labels):
            raise ValueError(f'expected {len(names)} lists of class names, got {labels!r:.200}')
        return encode_all(labels, self.classes[1:], names)

    def _read(self, named: tuple[str, ImageInput], labels: np.ndarray | None) -> _Item | Failure:
        name, source = named
        path = isinstance(source, str | os.PathLike)
        try:
            image = read_rgb(source)
        except (OSError, ValueError) as error:
            return Failure(os.fspath(source) if path else name, str(error))
        least = 1 if self.network else MIN_PATCHES * self.model.backbone.patch_size
        view = fit_sides(image, least, self.max_side)
        file_name = Path(source).name if path else None
        shown = image if self.original_size else view
        return _Item(name, shown, labels, view, file_name=file_name)

    # the model

    @torch.no_grad()
    def _run(self, items: list[_Item], threshold: float) -> list[ImageResult | Failure]:
        """Maps and masks; labels that are missing are predicted first."""
        if not items:
            return []
        if self.network is not None:
            return [self._segment(item) for item in items]
        data = self._maps.pack([item.view for item in items])
        unknown = [i for i, item in enumerate(items) if item.labels is None]
        if unknown:
            scores = self._maps.class_scores([data['inputs'][i] for i in unknown])
            for i, score in zip(unknown, scores, strict=True):
                self._choose_labels(items[i], score, threshold)
        samples = self._maps.predict(data, [item.labels for item in items])
        return [self._result(item, *_found(s)) for item, s in zip(items, samples, strict=True)]

    @torch.no_grad()
    def _run_windows(self, item: _Item, threshold: float, batch_size: int) -> ImageResult | Failure:
        """The same of one image, window by window."""
        if self.network is not None:
            size, windows = item.view.shape[:2], (self.window, self.stride)
            boxes = window_boxes(size, *((step, step) for step in windows))
            return self._segment(item, boxes)
        sides = MIN_PATCHES * self.model.backbone.patch_size, self.window
        windows = (self.window, self.stride)
        labels, cams, scores = window_maps(
            self._maps, item.view, item.labels, threshold, windows, sides, batch_size
        )
        if scores is not None:
            item.scores = scores.numpy()
        mask = self.model.decide_label(cams[None], torch.from_numpy(labels)[None])[0]
        return self._result(item, labels, cams, mask.numpy().astype(np.uint8))

    def _segment(self, item: _Item, boxes: Sequence[Box] = ()) -> ImageResult | Failure:
        """By the network; an image that may be too small for it does not stop the others."""
        try:
            return self._result(item, *self.network(item.view, item.labels, boxes))
        except (RuntimeError, ValueError) as error:
            if min(item.view.shape[:2]) >= MIN_SIDE:
                raise
            name = item.file_name or item.name
            return Failure(name, f'image {name} may be too small for the network: {error}')

    def _choose_labels(self, item: _Item, scores: Tensor, threshold: float) -> None:
        item.scores = scores.cpu().numpy()
        item.labels = np.flatnonzero(item.scores > threshold)

    def _result(
        self, item: _Item, labels: np.ndarray, cams: Tensor, mask: np.ndarray
    ) -> ImageResult:
        size = item.image.shape[:2]
        if self.network is None and self.crf is not None:
            mask = self.crf.mask(item.view, labels, cams)
        if mask.shape != size:
            cams = upsample(cams, size)
            enlarged = Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)
            mask = np.asarray(enlarged)
        cams = cams.clamp(0, 1).numpy()
        about = item.name, item.image, self.classes
        return ImageResult(*about, labels, cams, mask, item.scores, item.file_name)


def _found(sample: SegDataSample) -> tuple[np.ndarray, Tensor, np.ndarray]:
    """Labels, maps and mask that a model has found."""
    mask = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
    return sample.pred_cam.labels.cpu().numpy(), sample.pred_cam.cam.float().cpu(), mask
