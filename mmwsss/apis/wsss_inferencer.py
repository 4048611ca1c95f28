"""Maps and pseudo masks of any images, for any classes that can be named; nothing is trained."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

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

from ..datasets.cam_store import save_cam
from ..datasets.coco14 import voc_palette
from ..datasets.label_file import encode_image_labels
from ..ops.cam import upsample
from ..ops.clip_vit import run_block
from ..ops.multi_view import resize_to_multiple
from ..registry import DATASETS, MODELS
from ..utils.images import ImageInput, fit_sides, list_images, read_rgb
from ..utils.io import atomic_write, write_mask
from ..visualization import draw_panel
from .crf_folder import MasksFromCAMs
from .launch import load_config

ClassNames = Sequence[str] | Mapping[str, str | Sequence[str]]
LabelNames = Sequence[str] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]]

CRF = MasksFromCAMs(crf=dict(preset='deeplabv2'))  # CLIP-ES, stage 2
LABEL_THRESHOLD = 0.1
# CLIP-ES was tuned on VOC's images of at most 500 pixels; memory grows with the fourth power.
MAX_SIDE = 512
MIN_PATCHES = 4
MAX_CLASSES = 254  # 0 is background, 255 unsure
_READING = ('LoadImageFromFile', 'LoadAnnotations', 'mmwsss.LoadImageLabels')


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
        model: A config whose model is :class:`mmwsss.models.CLIPES`: a path, the name of a shipped
            one (``'clip_es_voc'``, ``'clip_es_mini'``), or a loaded one.
        classes: Names, or ``{name: prompt}``, where the prompt may hold synonyms
            (``'person with clothes,people,human'``) or be a list of them. None: the config's.
        background: What is often seen beside the classes but is none of them. None: the config's.
            Names that are also classes are left out.
        templates: Sentences with ``{}``. None: the config's.
        clip: CLIP weights (a path, ``'openai'`` or ``'mini'``). None: the config's.
        device: None: an accelerator if there is one.
        crf: How maps become the mask; None: their argmax, without CRF.
        palette: ``(1 + C, 3)`` RGB colours, background first. None: VOC's colours.
        max_side: Larger images are shrunk for the model.
        original_size: Enlarge the results to the size of the image again. Otherwise image, maps
            and mask have the size at which the model saw it.

    Raises:
        FileNotFoundError: No such config or CLIP weights.
        ValueError: No class names, a name given twice, or a prompt that is too long for CLIP.

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
    ) -> None:
        self.cfg = (
            deepcopy(model) if isinstance(model, Config) else load_config(_find_config(model))
        )
        init_default_scope(self.cfg.get('default_scope', 'mmseg'))
        if clip is not None:
            self.cfg.model.backbone.checkpoint = str(clip)
        self.device = device or get_device()
        self.crf = crf
        self.max_side = max_side
        self.original_size = original_size
        self._given_cfg, self._given_palette = self.cfg, palette
        self.model: nn.Module | None = None
        steps = [t for t in self.cfg.test_pipeline if t['type'] not in _READING]
        self.pipeline = Compose(steps)
        self.set_classes(classes, background, templates)

    def set_classes(
        self,
        classes: ClassNames | None = None,
        background: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
    ) -> None:
        """Look for other classes from now on; see the class for the arguments."""
        cfg = deepcopy(self._given_cfg)
        text = cfg.model.text
        prompts = _prompts(_config_classes(cfg) if classes is None else classes)
        background = text.background_names if background is None else background
        text.class_names = list(prompts.values())
        text.background_names = [name for name in background if name not in prompts]
        text.templates = list(text.templates if templates is None else templates)
        if self.model is None or text != self.cfg.model.text:
            self.model = MODELS.build(cfg.model).to(self.device).eval()
        self.cfg = cfg
        self.classes = ('background', *prompts)
        self.palette = self._given_palette or voc_palette(len(self.classes))

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
            label_threshold: A class is predicted if its probability is above it.
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
            FileNotFoundError: No picture in the folder.
            ValueError: The one image cannot be read; labels that are no classes or do not fit the
                images; two files of one name if ``out_dir`` is given.
        """
        single = not isinstance(inputs, list | tuple) and not _is_folder(inputs)
        named = self._named(inputs)
        if out_dir:
            _check_different(name for name, _ in named)
        results = self.stream(inputs, image_labels, label_threshold, batch_size)
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
            ValueError: Labels that are no classes or do not fit the images.
        """
        named = self._named(inputs)
        labels = self._encoded(image_labels, [name for name, _ in named])
        for start in range(0, len(named), batch_size):
            chunk = slice(start, start + batch_size)
            items = [self._read(*pair) for pair in zip(named[chunk], labels[chunk], strict=True)]
            good = [item for item in items if isinstance(item, _Item)]
            results = iter(self._run(good, label_threshold))
            yield from (item if isinstance(item, Failure) else next(results) for item in items)

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

    def _named(self, inputs: ImageInput | Sequence[ImageInput]) -> list[tuple[str, ImageInput]]:
        if _is_folder(inputs):
            inputs = list_images(inputs)
        elif not isinstance(inputs, list | tuple):
            inputs = [inputs]
        return [
            (Path(source).stem if isinstance(source, str | os.PathLike) else f'{i:08d}', source)
            for i, source in enumerate(inputs)
        ]

    def _encoded(self, labels: LabelNames | None, names: list[str]) -> list[np.ndarray | None]:
        if labels is None:
            return [None] * len(names)
        if isinstance(labels, Mapping):
            missing = [name for name in names if name not in labels]
            if missing:
                raise ValueError(
                    f'{len(missing)} of {len(names)} images have no entry in the image labels: '
                    f'{", ".join(missing[:5])}'
                )
            labels = [labels[name] for name in names]
        elif len(names) == 1 and all(isinstance(label, str) for label in labels):
            labels = [labels]
        if len(labels) != len(names) or any(isinstance(label, str) for label in labels):
            raise ValueError(f'expected {len(names)} lists of class names, got {labels!r:.200}')
        return [encode_image_labels(list(label), self.classes[1:]) for label in labels]

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
    tokens = clip.encode(inputs).tokens[-1]
    visual = clip.visual
    last, _ = run_block(visual.transformer.resblocks[-1], tokens, half=clip.half_rounding)
    feature = F.normalize(visual.ln_post(last[:, 0]) @ visual.proj, dim=-1)
    logits = clip.logit_scale * feature @ text.embeddings.T
    return logits.softmax(dim=1)[:, : text.num_classes]


def read_class_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """``NAME`` or ``NAME=PROMPT`` of a command line -> ``{name: prompt}``.

    Raises:
        ValueError: A name is given twice.
    """
    pairs = [argument.partition('=') for argument in arguments]
    _check_different((name.strip() for name, _, _ in pairs), 'class name')
    return {name.strip(): prompt.strip() or name.strip() for name, _, prompt in pairs}


def _find_config(model: str | os.PathLike) -> Path:
    """A path, or the name of a config of ``configs/wsss``."""
    path, package = Path(model), Path(mmwsss.__file__).parent
    if path.suffix == '.py':
        return path
    folders = [root / 'configs' / 'wsss' for root in (package.parent, package / '.mim')]
    for folder in folders:
        if (folder / f'{path}.py').is_file():
            return folder / f'{path}.py'
    names = sorted(p.stem for folder in folders for p in folder.glob('clip_es_*.py'))
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


def _prompts(classes: ClassNames) -> dict[str, str]:
    """``{class name: prompt}`` in class order."""
    if isinstance(classes, str):
        raise ValueError(f'classes must be a list of names, not the string {classes!r}')
    names = [name.strip() for name in classes]
    if not names or '' in names:
        raise ValueError('give at least one class name, and no empty one')
    _check_different(names, 'class name')
    if len(names) > MAX_CLASSES:
        raise ValueError(f'masks of 8 bits hold {MAX_CLASSES} classes at most, got {len(names)}')
    if 'background' in names:
        raise ValueError("'background' is implied and must not be a class name")
    if not isinstance(classes, Mapping):
        return {name: name for name in names}
    words = [[value] if isinstance(value, str) else value for value in classes.values()]
    return {name: ','.join(value) for name, value in zip(names, words, strict=True)}


def _check_different(names: Iterable[str], what: str = 'file name') -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f'{what} given more than once: {", ".join(twice[:5])}')


def _is_folder(inputs: object) -> bool:
    return isinstance(inputs, str | os.PathLike) and os.path.isdir(inputs)
