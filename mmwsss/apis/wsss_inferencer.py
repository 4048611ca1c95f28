"""Maps and pseudo masks of any images, for any classes that can be named; nothing is trained."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement, LabelData, PixelData
from mmengine.utils import track_iter_progress
from mmseg.structures import SegDataSample
from PIL import Image
from torch import Tensor, nn

import mmwsss

from ..models.backbones.clip_vit import CLIPRequest
from ..models.text_encoders.attribute_bank import PLAIN
from ..models.text_encoders.text_bank import check_templates
from ..models.utils.clip_weights import find_clip_file
from ..ops.multi_view import resize_to_multiple
from ..ops.resize import upsample
from ..registry import DATASETS, MODELS
from ..stages import MasksFromCAMs
from ..stages.launch import load_config
from ..stores.cam_store import save_cam
from ..stores.palettes import voc_palette
from ..utils.checks import (
    check_apart,
    check_device,
    check_output_folder,
    check_palette,
    check_range,
    check_unique,
    some,
)
from ..utils.images import ImageInput, fit_sides, list_images, read_rgb
from ..utils.io import atomic_write, write_mask
from ..utils.provenance import digest_file
from ..visualization import draw_panel
from .class_names import (
    ClassNames,
    background_prompts,
    class_prompts,
    encode_all,
)
from .class_names import read_class_arguments as read_class_arguments
from .pretrained import find_folder, read_folder, write_folder

LabelNames = Sequence[str] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]]

CRF = MasksFromCAMs(crf=dict(preset='deeplabv2'))  # CLIP-ES, stage 2
LABEL_THRESHOLD = 0.1
# CLIP-ES was tuned on VOC's images of at most 500 pixels; memory grows with the fourth power.
MAX_SIDE = 512
MIN_PATCHES = 4
MIN_SIDE = 64  # four patches of ViT-B/16
_NEEDED = ('model.backbone', 'model.text', 'test_pipeline')
_SHIPPED = ('clip_es_*.py', 'excel_free_*.py')
_SAVED = ('palette', 'max_side', 'original_size', 'crf')
_RESULTS = ('vis', 'pred', 'cams')
_READING = (
    'LoadImageFromFile', 'LoadAnnotations', 'mmwsss.LoadImageFromFile', 'mmwsss.LoadAnnotations',
    'mmwsss.LoadImageLabels',
)  # fmt: skip


@dataclass
class ImageResult:
    """What is found in an image of ``(H, W)`` pixels.

    Attributes:
        name: File name without suffix, or the number of the image.
        image: uint8 RGB ``(H, W, 3)``, upright.
        classes: Names of the mask values, background first.
        labels: int64 ``(K,)``, the image labels: 0-based indices of ``classes[1:]``.
        cams: float32 ``(K, H, W)`` in [0, 1].
        mask: uint8 ``(H, W)``: 0 background, label + 1, 255 unsure.
        scores: float32 ``(C,)``, CLIP's probability of every class, if labels were predicted.
    """

    name: str
    image: np.ndarray
    classes: Sequence[str]
    labels: np.ndarray
    cams: np.ndarray
    mask: np.ndarray
    scores: np.ndarray | None = None

    @property
    def label_names(self) -> list[str]:
        """The image labels as class names."""
        return [self.classes[i + 1] for i in self.labels]

    def to_data_sample(self) -> SegDataSample:
        """The same as mmseg's data structure: ``pred_cam`` and ``pred_sem_seg``."""
        size = self.mask.shape
        sample = SegDataSample(metainfo=dict(img_path=self.name, ori_shape=size, img_shape=size))
        cam, labels = torch.from_numpy(self.cams), torch.from_numpy(self.labels)
        sample.pred_cam = BaseDataElement(cam=cam, labels=labels)
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(self.mask)[None])
        return sample


@dataclass
class Failure:
    """An image that could not be read.

    Attributes:
        name: Path or number.
        message: What is wrong with it.
    """

    name: str
    message: str


@dataclass
class _Item:
    """An image on its way through the model."""

    name: str
    image: np.ndarray
    labels: np.ndarray | None
    view: np.ndarray = field(repr=False)
    scores: np.ndarray | None = None


class WSSSInferencer:
    """Maps, pseudo masks and overlays of images for classes that are named at run time.

    It behaves like :class:`mmseg.apis.MMSegInferencer`, except that the classes are free, image
    labels may be given, pictures of every kind are read (grey, paletted, transparent, 16 bits,
    turned by EXIF), and a broken file among several does not stop the others.

    Without image labels CLIP chooses them: those classes whose share in the softmax over all
    classes and background names, of the class token, is above a threshold. On the val images of
    the mini data set 0.1 gives labels of 0.95 precision and 0.83 recall. Given labels make better
    masks.

    Args:
        model: A config whose model is :class:`mmwsss.models.CLIPES`, or
            :class:`mmwsss.models.ExCELFree`: a path, the name of a shipped one
            (``'clip_es_voc'``, ``'excel_free_voc'``), or a loaded one.
        classes: Names, or ``{name: prompt}``, where the prompt may hold synonyms
            (``'person with clothes,people,human'``) or be a list of them. None: the config's.
        background: What is often seen beside the classes but is none of them. None: the config's.
            Names that are also classes are left out.
        templates: Sentences with ``{}``. None: the config's.
        clip: CLIP weights (a path, ``'openai'`` or ``'mini'``). None: the config's.
        device: None: an accelerator if there is one.
        crf: How maps become the mask; None: their argmax, without CRF.
        palette: ``(1 + C, 3)`` RGB colours, background first. None: VOC's colours.
        max_side: Larger images are shrunk for the model; at least 64.
        original_size: Enlarge the results to the size of the image again. Otherwise image, maps
            and mask have the size at which the model saw it.
        bank: For ExCEL: descriptions of ``classes``, by their names, or an attribute bank
            (:class:`mmwsss.models.AttributeTextBank`). None: the config's with its own classes,
            and class texts without attributes with others.

    Raises:
        FileNotFoundError: No such config or CLIP weights.
        ValueError: The config is not one of a method without training; no class names, a name
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
        max_side: int = MAX_SIDE,
        original_size: bool = True,
        bank: str | os.PathLike | None = None,
    ) -> None:
        check_range('max_side', max_side, MIN_SIDE, integer=True)
        check_device(device)
        self.cfg = (
            deepcopy(model) if isinstance(model, Config) else load_any_config(_find_config(model))
        )
        _check_config(self.cfg)
        init_default_scope(self.cfg.get('default_scope', 'mmseg'))
        if clip is not None:
            self.cfg.model.backbone.checkpoint = str(clip)
        self._clip_file = _find_clip(self.cfg.model.backbone.get('checkpoint', 'openai'))
        self.device = device or get_device()
        self.crf = crf
        self.max_side = max_side
        self.original_size = original_size
        self._given_cfg, self._given_palette = self.cfg, palette
        self.model: nn.Module | None = None
        self._steps = [t for t in self.cfg.test_pipeline if t['type'] not in _READING]
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
        config = read_folder(find_folder(name, revision), trust_remote_code)
        saved = config.pop('inferencer', {})
        if not isinstance(saved, dict) or set(saved) - set(_SAVED):
            raise ValueError(f'{name}: inferencer may hold {some(_SAVED)}, got {saved!r:.200}')
        if 'crf' in saved:
            saved['crf'] = CRF if saved['crf'] else None
        if kwargs.get('classes') is not None:
            saved.pop('palette', None)
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
            ValueError: The folder is not empty, the weights are in no file, or the CRF is not the
                usual one.
        """
        if self._clip_file is None:
            raise ValueError('the weights of CLIP come from no file: name one with clip=')
        if self.crf not in (None, CRF):
            raise ValueError('only the usual CRF, or none, can be saved; give yours when loading')
        classes = dict(zip(self.classes[1:], self.cfg.model.text.class_names, strict=True))
        names = dict(type='mmwsss.ImageLabelDataset', metainfo=dict(classes=list(self.classes)))
        saved = (self.palette, self.max_side, self.original_size, self.crf is not None)
        config = dict(
            default_scope=self.cfg.get('default_scope', 'mmseg'),
            model=self.cfg.model.to_dict(),
            test_pipeline=self._steps,
            test_dataloader=dict(dataset=names),
            inferencer=dict(zip(_SAVED, saved, strict=True)),
        )
        write_folder(folder, config, self._clip_file, classes, figures)

    def set_classes(
        self,
        classes: ClassNames | None = None,
        background: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
        bank: str | os.PathLike | None = None,
    ) -> None:
        """Look for other classes from now on; see the class for the arguments."""
        cfg = deepcopy(self._given_cfg)
        text = cfg.model.text
        prompts = class_prompts(_config_classes(cfg) if classes is None else classes)
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
        self.cfg = cfg
        self.classes = ('background', *prompts)
        self.palette = [[int(value) for value in colour] for colour in palette]

    def settings(self) -> dict:
        """All that the maps of an image depend on, beside the image and its labels, as JSON."""
        model = self.cfg.model.to_dict()
        checkpoint, text = model['backbone'].pop('checkpoint', 'openai'), model.pop('text')
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
                ``{file name without suffix: names}``. None: CLIP predicts them.
            label_threshold: A class is predicted if its probability is above it, in [0, 1).
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
        single = not isinstance(inputs, list | tuple) and not _is_folder(inputs)
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
                self._write(Path(out_dir), result, picture)
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

    # reading

    def _stream(
        self,
        named: list[tuple[str, ImageInput]],
        image_labels: LabelNames | None,
        label_threshold: float,
        batch_size: int,
    ) -> Iterator[ImageResult | Failure]:
        labels = self._encoded(image_labels, [name for name, _ in named])
        chunks = [slice(i, i + batch_size) for i in range(0, len(named), batch_size)]
        return (
            result
            for chunk in chunks
            for result in self._batch(named[chunk], labels[chunk], label_threshold)
        )

    def _batch(
        self, named: list[tuple[str, ImageInput]], labels: list, threshold: float
    ) -> Iterator[ImageResult | Failure]:
        items = [self._read(*pair) for pair in zip(named, labels, strict=True)]
        results = iter(self._run([i for i in items if isinstance(i, _Item)], threshold))
        return (item if isinstance(item, Failure) else next(results) for item in items)

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
        try:
            image = read_rgb(source)
        except (OSError, ValueError) as error:
            path = isinstance(source, str | os.PathLike)
            return Failure(os.fspath(source) if path else name, str(error))
        patch = self.model.backbone.patch_size
        view = fit_sides(image, MIN_PATCHES * patch, self.max_side)
        return _Item(name, image if self.original_size else view, labels, view)

    # the model

    @torch.no_grad()
    def _run(self, items: list[_Item], threshold: float) -> list[ImageResult]:
        """Maps and masks; labels that are missing are predicted first."""
        if not items:
            return []
        packed = [self._pack(item) for item in items]
        data = {key: [sample[key] for sample in packed] for key in packed[0]}
        data = self.model.data_preprocessor(data)
        unknown = [i for i, item in enumerate(items) if item.labels is None]
        images = [data['inputs'][i] for i in unknown]
        for i, score in zip(unknown, self._class_scores(images), strict=True):
            items[i].scores = score.cpu().numpy()
            items[i].labels = np.flatnonzero(items[i].scores > threshold)
        for item, sample in zip(items, data['data_samples'], strict=True):
            hot = torch.zeros(len(self.classes) - 1, device=self.device)
            hot[torch.as_tensor(item.labels, device=self.device)] = 1
            sample.gt_image_labels = LabelData(label=hot)
        samples = self.model.predict(data['inputs'], data['data_samples'])
        return [self._result(*pair) for pair in zip(items, samples, strict=True)]

    def _pack(self, item: _Item) -> dict:
        size = item.view.shape[:2]
        img = np.ascontiguousarray(item.view[..., ::-1])
        return self.pipeline(dict(img=img, img_path=item.name, ori_shape=size, img_shape=size))

    def _class_scores(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Probabilities ``(C,)`` of normalised images ``(3, H, W)``; those of one size at once."""
        clip, norm = self.model.backbone, self.model.data_preprocessor
        views = [resize_to_multiple(i, 1.0, clip.patch_size, norm.mean, norm.std) for i in images]
        groups: dict[torch.Size, list[int]] = {}
        for i, view in enumerate(views):
            groups.setdefault(view.shape, []).append(i)
        scores = {}
        for members in groups.values():
            batch = torch.stack([views[i] for i in members])
            scores.update(zip(members, class_scores(clip, self.model.text, batch), strict=True))
        return [scores[i] for i in range(len(images))]

    def _result(self, item: _Item, sample: SegDataSample) -> ImageResult:
        size = item.image.shape[:2]
        cams = sample.pred_cam.cam.float().cpu()
        labels = sample.pred_cam.labels.cpu().numpy()
        mask = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
        if self.crf is not None:
            mask = self.crf.mask(item.view, labels, cams)
        if mask.shape != size:
            cams = upsample(cams, size)
            enlarged = Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)
            mask = np.asarray(enlarged)
        cams = cams.clamp(0, 1).numpy()
        return ImageResult(item.name, item.image, self.classes, labels, cams, mask, item.scores)

    def _write(self, out_dir: Path, result: ImageResult, picture: np.ndarray) -> None:
        with atomic_write(out_dir / 'vis' / f'{result.name}.png') as tmp:
            Image.fromarray(picture).save(tmp)
        write_mask(out_dir / 'pred' / f'{result.name}.png', result.mask, self.palette)
        size = result.mask.shape
        save_cam(out_dir / 'cams' / f'{result.name}.npz', result.labels, result.cams, size)


@torch.no_grad()
def class_scores(clip: nn.Module, text: nn.Module, inputs: Tensor) -> Tensor:
    """CLIP's probability of every class: softmax over all class and background texts.

    Args:
        clip: :class:`mmwsss.models.backbones.FrozenCLIP`.
        text: :class:`mmwsss.models.text_encoders.TextBank`, encoded.
        inputs: Normalised images ``(B, 3, H, W)``.

    Returns:
        ``(B, C)``.
    """
    features = clip.encode(inputs, CLIPRequest(last=True, projected=True))
    feature = F.normalize(features.projected[:, 0], dim=-1)
    logits = clip.logit_scale * feature @ text.embeddings.T
    return logits.softmax(dim=1)[:, : text.num_classes]


def _find_config(model: str | os.PathLike) -> Path:
    """A path, or the name of a config of ``configs/wsss``."""
    path, package = Path(model), Path(mmwsss.__file__).parent
    if path.suffix == '.py':
        return path
    folders = [root / 'configs' / 'wsss' for root in (package.parent, package / '.mim')]
    for folder in folders:
        if (folder / f'{path}.py').is_file():
            return folder / f'{path}.py'
    names = sorted(p.stem for folder in folders for kind in _SHIPPED for p in folder.glob(kind))
    raise FileNotFoundError(
        f'there is no shipped config {model!r}; there are {", ".join(names)}, or pass a path'
    )


def _config_classes(cfg: Config) -> ClassNames:
    """The config's prompts by the class names of its data set, if they are those of one."""
    prompts = cfg.model.text.class_names
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    kind = DATASETS.get(dataset.get('type', '')) if dataset else None
    meta = {**getattr(kind, 'METAINFO', {}), **dataset.get('metainfo', {})}
    names = meta.get('classes', ())[1:]
    return dict(zip(names, prompts, strict=True)) if len(names) == len(prompts) else prompts


def load_any_config(path: str | os.PathLike) -> Config:
    """Read a config file; whatever is wrong with it is an error that names it.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It cannot be read.
    """
    try:
        return load_config(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # the file is a program
        raise ValueError(
            f'{path} cannot be read as a config ({type(error).__name__}: {error})'
        ) from error


def _check_config(cfg: Config) -> None:
    found = {*cfg.keys(), *(f'model.{part}' for part in cfg.get('model') or {})}
    missing = [key for key in _NEEDED if key not in found]
    if missing:
        raise ValueError(
            f'{cfg.filename or "the config"} is not a config of CLIP-ES or of ExCEL without '
            'training, such as configs/wsss/clip_es_voc.py and excel_free_voc.py: it has no '
            f'{", ".join(missing)}'
        )
    if cfg.model.get('decode_head') is not None:
        raise ValueError(
            f'{cfg.filename or "the config"} has a decode_head, which is trained for certain '
            'classes: take one of CLIP-ES or of ExCEL without training (excel_free_*), whose '
            'classes are free, or demo/image_demo.py for a trained network'
        )


def _find_clip(checkpoint: Any) -> Path | None:
    """The file that ``model.backbone.checkpoint`` names; None for weights that are in no file."""
    if isinstance(checkpoint, Mapping) or str(checkpoint) == 'random':
        return None
    return find_clip_file(checkpoint)


def and_parents(folder: str | os.PathLike) -> list[Path]:
    """A folder and all folders that it lies in."""
    folder = Path(os.path.realpath(folder))
    return [folder, *folder.parents]


def check_request(
    inputs: ImageInput | Sequence[ImageInput],
    label_threshold: float = LABEL_THRESHOLD,
    batch_size: int = 1,
    out_dir: str | os.PathLike = '',
) -> list[tuple[str, ImageInput]]:
    """Check what :class:`WSSSInferencer` is called with, before a model is needed.

    Returns:
        Name and source of every image.

    Raises:
        FileNotFoundError: No picture in the folder.
        ValueError: A number out of its range; if ``out_dir`` is given, two images of one name, or
            one that a result would overwrite.
        OSError: Nothing can be written into ``out_dir``.
    """
    check_range('label_threshold', label_threshold, 0, 1, open_high=True)
    check_range('batch_size', batch_size, 1, integer=True)
    named = _named(inputs, out_dir)
    if out_dir:
        _check_out(inputs, named, Path(out_dir))
    return named


def _check_out(
    inputs: ImageInput | Sequence[ImageInput], named: list[tuple[str, ImageInput]], out_dir: Path
) -> None:
    folders = {'the output folder': out_dir}
    folders |= {f"the output folder's {kind}": out_dir / kind for kind in _RESULTS}
    if _is_folder(inputs):
        check_apart(folders, {'the image folder': inputs})
    names = [name for name, _ in named]
    check_unique('image name', names)
    sources = [source for _, source in named if isinstance(source, str | os.PathLike)]
    targets = [out_dir / kind / f'{name}.png' for kind in ('vis', 'pred') for name in names]
    check_not_overwritten(sources, targets)
    for folder in folders.values():
        check_output_folder(folder)


def _named(
    inputs: ImageInput | Sequence[ImageInput], out_dir: str | os.PathLike
) -> list[tuple[str, ImageInput]]:
    if _is_folder(inputs):
        inputs = list_images(inputs, and_parents(out_dir) if out_dir else ())
    elif not isinstance(inputs, list | tuple):
        inputs = [inputs]
    return [
        (Path(source).stem if isinstance(source, str | os.PathLike) else f'{i:08d}', source)
        for i, source in enumerate(inputs)
    ]


def check_not_overwritten(sources: Iterable[str | os.PathLike], targets: Iterable[Path]) -> None:
    """Raise ValueError if one of the ``targets``, to be written, is one of the ``sources``."""
    read = {os.path.realpath(source) for source in sources}
    lost = [target for target in targets if os.path.realpath(target) in read]
    if lost:
        raise ValueError(
            f'{len(lost)} images would be overwritten by results: {some(lost)}. Choose another '
            'output folder.'
        )


def _is_folder(inputs: object) -> bool:
    return isinstance(inputs, str | os.PathLike) and os.path.isdir(inputs)
