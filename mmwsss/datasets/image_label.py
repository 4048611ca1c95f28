"""Datasets with image-level labels."""

import logging
import os
import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset

from mmwsss.registry import DATASETS
from mmwsss.utils.arguments import FLAG, TEXT, checked
from mmwsss.utils.checks import check_choice, check_look_different, some, spelling_hint
from mmwsss.utils.images import IMAGE_SUFFIXES, unwritable_name
from mmwsss.utils.io import check_class_count, check_some_class, is_whole
from mmwsss.utils.text import read_lines

from ..stores.label_file import encode_image_labels, read_label_file
from .converters.common import check_class_names, read_id_list

# What earlier stages leave for every image: argument of the data set -> suffix of the files.
STORES = {'cam_dir': '.npz', 'score_dir': '.npz', 'saliency_dir': '.png'}


class Split(NamedTuple):
    """Where a data set keeps a split, relative to ``data_root``.

    Attributes:
        ann_file: The split list.
        images: Folder of the images.
        masks: Folder of the true masks; None if the data set has none for this split.
    """

    ann_file: str
    images: str
    masks: str | None = None


def image_id(path: str) -> str:
    """File name without extension."""
    return osp.splitext(osp.basename(path))[0]


@DATASETS.register_module()
@checked(
    ann_file=TEXT,
    split=TEXT,
    masks=FLAG,
    ids=TEXT,
    label_file=TEXT,
    mask_dir=TEXT,
    cam_dir=TEXT,
    score_dir=TEXT,
    saliency_dir=TEXT,
)
class ImageLabelDataset(BaseSegDataset):
    """Images with image-level labels (and, for evaluation, masks).

    Everything that can be wrong with the split and the label file is found when the dataset
    is built, not after hours of training. Own classes are given in the config::

        dict(
            type='mmwsss.ImageLabelDataset',
            metainfo=dict(classes=('background', 'cat', 'dog')),
            data_root='data/pets',
            data_prefix=dict(img_path='images'),
            ann_file='train.txt',
            label_file='image_labels.json',
        )

    ``ann_file`` holds one image id per line; without it all images of the folder, and of its
    subfolders, with ``img_suffix`` are taken. ``classes`` may be a file with a name per line; the
    background need not be in it.

    Every sample gets ``num_classes``, background included, and, with a label file,
    ``image_labels`` (sorted int64 ``(K,)``, 0-based indices of the foreground classes, that is the
    index in ``classes`` minus 1) and ``num_foreground``. An empty list of labels is allowed: an
    image that shows background only.

    Where the pipeline says ``LoadImageFromFile`` or ``LoadAnnotations`` without a scope,
    :class:`mmwsss.datasets.transforms.LoadImageFromFile` and its ``LoadAnnotations`` read.

    Args:
        ann_file: Split list, relative to ``data_root``; see above.
        data_prefix: ``img_path`` and, where masks are read, ``seg_map_path``, relative to
            ``data_root``.
        split: Name of a split in :attr:`SPLITS`, which says where its list, images and masks lie,
            instead of ``ann_file`` and ``data_prefix``.
        masks: Whether the true masks are in reach. True: those of the split, or of
            ``data_prefix``. False: none. None: only those that ``data_prefix`` names.
        ids: A list of image ids, relative to the working directory: only these images of the split.
        label_file: JSON file ``{image id: [foreground class name, ...]}``, relative to
            ``data_root``. It may cover more images than the split. None: no image labels (for
            evaluation of segmentation masks).
        mask_dir: Folder of label maps ``<image id><seg_map_suffix>`` for every image of the split,
            relative to the working directory, such as the pseudo masks of an earlier stage. It
            takes the place of ``data_prefix['seg_map_path']``.
        cam_dir: CAM store of an earlier stage, relative to the working directory; samples get
            ``cam_path``, which :class:`mmwsss.datasets.transforms.LoadCAM` reads.
        score_dir: Store of CRF scores, likewise: ``score_path``, for
            :class:`mmwsss.datasets.transforms.LoadCRFScores`.
        saliency_dir: Saliency maps ``<image id>.png``, likewise: ``saliency_path``.
        pipeline: Transforms.
        kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: Split list, label file, image folder, an image, a mask of ``mask_dir`` or
            ``data_prefix['seg_map_path']``, or a file of ``cam_dir``, ``score_dir`` or
            ``saliency_dir`` missing (counted and named).
        ValueError: Unknown split; arguments that contradict each other; empty split, images listed
            twice, of one id or without entry in the label file, ids that the split does not have,
            unknown class name, no label at all in the split, classes that do not begin with
            'background' or are not different, masks of 0 and 255 only, or files of ``mask_dir`` or
            a store that are empty or cut off.
    """

    SPLITS: ClassVar[Mapping[str, Split]] = {}

    def __init__(
        self,
        ann_file: str = '',
        *,
        data_prefix: Mapping[str, str | None] | None = None,
        split: str | None = None,
        masks: bool | None = None,
        ids: str | None = None,
        label_file: str | None = None,
        mask_dir: str | None = None,
        cam_dir: str | None = None,
        score_dir: str | None = None,
        saliency_dir: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        **kwargs: Any,
    ) -> None:
        self.ids, self.label_file, self.mask_dir = ids, label_file, mask_dir
        given = (cam_dir, score_dir, saliency_dir)
        self.stores = dict(zip(STORES, given, strict=True))
        if masks and mask_dir is not None:
            raise ValueError(
                f'{self._name}: masks=True are the true masks, mask_dir={mask_dir!r} are others. '
                'Say mask_dir=None for the true ones, masks=None for the others.'
            )
        if split is not None:
            ann_file, data_prefix = self._of_split(split, masks, ann_file, data_prefix)
        elif masks is not None:
            data_prefix = self._own_prefix(masks, data_prefix)
        if data_prefix is not None:
            kwargs['data_prefix'] = dict(data_prefix)
        super().__init__(ann_file, pipeline=[_our_reader(step) for step in pipeline], **kwargs)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _of_split(
        self, split: str, masks: bool | None, ann_file: str, data_prefix: Mapping | None
    ) -> tuple[str, dict[str, str]]:
        """``ann_file`` and ``data_prefix`` of a split, which must not be given as well."""
        if split not in self.SPLITS and not self.SPLITS:
            raise ValueError(
                f'{self._name} has no split {split!r}: own data are named by ann_file and '
                'data_prefix. Say split=None, also where a config inherits a split.'
            )
        check_choice(f'split of {self._name}', split, self.SPLITS)
        place = self.SPLITS[split]
        if ann_file:
            same = [name for name, other in self.SPLITS.items() if other.ann_file == ann_file]
            remedy = (
                f'Say split={same[0]!r} alone'
                if same
                else 'Say ids=LIST (relative to the working directory) for a part of the split, or '
                'split=None and data_prefix for data of your own'
            )
            raise ValueError(
                f'{self._name}: split={split!r} and ann_file={ann_file!r} both name the images. '
                f'{remedy}.'
            )
        if data_prefix:
            raise ValueError(
                f'{self._name}: split={split!r} and data_prefix={dict(data_prefix)} both name '
                'folders. Say split=None and ann_file for data of your own, masks=True for the '
                'true masks of the split, or mask_dir for others.'
            )
        if not masks:
            return place.ann_file, dict(img_path=place.images)
        if place.masks is None:
            having = [name for name, other in self.SPLITS.items() if other.masks is not None]
            raise ValueError(
                f'{self._name}: masks=True, but there are no true masks of split {split!r}, only '
                f'of {", ".join(having)}'
            )
        return place.ann_file, dict(img_path=place.images, seg_map_path=place.masks)

    def _own_prefix(self, masks: bool, data_prefix: Mapping | None) -> dict[str, str | None]:
        """``data_prefix`` of own data, which must agree with ``masks``."""
        prefix = dict(data_prefix or {'img_path': ''})
        named = prefix.get('seg_map_path') is not None
        if masks != named:
            raise ValueError(
                f'{self._name}: masks={masks}, but data_prefix.seg_map_path is '
                f'{prefix.get("seg_map_path")!r}. Correct one of them.'
            )
        return prefix

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | None = None) -> dict:
        classes = (metainfo or {}).get('classes')
        if isinstance(classes, str):
            names = tuple(read_lines(classes, 'Class list'))
            if names[0] != 'background':
                names = ('background', *names)
            metainfo = {**metainfo, 'classes': names}
        return super()._load_metainfo(metainfo)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        if self.label_file is not None:
            self.label_file = osp.join(self.data_root, self.label_file)

    def load_data_list(self) -> list[dict]:
        """List the images of the split and add their labels."""
        classes = self._checked_classes()
        self._check_folder()
        if self.mask_dir is not None:
            self.data_prefix['seg_map_path'] = osp.abspath(self.mask_dir)
        data_list = [self._sample(name, len(classes)) for name in self._image_names()]
        self._check_images(data_list)
        if self._needs_masks():
            self._check_masks(data_list)
        self._check_stores(data_list)
        if self.label_file is not None:
            self._add_labels(data_list, classes[1:])
        return data_list

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline; whatever fails in it names the files of the sample."""
        info = self.get_data_info(idx)
        files = info['img_path']
        if 'seg_map_path' in info:
            files += f' (mask {info["seg_map_path"]})'
        try:
            return self.pipeline(info)
        except Exception as error:
            raise RuntimeError(
                f'Cannot prepare image {files}: {type(error).__name__}: {error}'
            ) from error

    def _checked_classes(self) -> Sequence[str]:
        classes = self._metainfo.get('classes') or ()
        named = all(isinstance(name, str) for name in classes)
        if len(classes) < 2 or classes[0] != 'background' or not named:
            raise ValueError(
                f"{type(self).__name__}: metainfo['classes'] must be 'background' followed by the "
                f'foreground classes, got {tuple(classes)}. Give metainfo=dict(classes='
                "('background', ...)) in the dataset config."
            )
        check_class_count(len(classes), f"{type(self).__name__}: metainfo['classes']")
        check_class_names(classes[1:], f"{type(self).__name__}: metainfo['classes']")
        return classes

    def _check_folder(self) -> None:
        folder = self.data_prefix.get('img_path')
        if not folder or not osp.isdir(folder):
            raise FileNotFoundError(
                f'Image folder {folder} does not exist. Correct `data_root` or '
                '`data_prefix.img_path`.'
            )

    def _image_names(self) -> list[str]:
        """Images of the split, or those of ``ids``, relative to their folder, without suffix."""
        names = self._split_names()
        if self.ids is None:
            return names
        chosen = set(read_id_list(self.ids))
        keys = {name: image_id(name + self.img_suffix) for name in names}
        if missing := sorted(chosen - set(keys.values())):
            raise ValueError(
                f'{len(missing)} of {len(chosen)} ids of {self.ids} are not in the split '
                f'{self._split}: {some(missing)}{spelling_hint(missing, keys.values())}'
            )
        return [name for name, key in keys.items() if key in chosen]

    def _split_names(self) -> list[str]:
        if self.ann_file:
            if not osp.isfile(self.ann_file):
                raise FileNotFoundError(
                    f'Split list {self.ann_file} does not exist. Correct `ann_file` or '
                    '`data_root`; it is a text file with one image id per line.'
                )
            return read_id_list(self.ann_file)
        names = _find_images(self.data_prefix['img_path'], self.img_suffix)
        if not names:
            raise ValueError(
                f'The image folder {self.data_prefix["img_path"]} holds no image '
                f'(img_suffix {self.img_suffix!r}). Correct ann_file, data_prefix or img_suffix.'
            )
        return names

    def _sample(self, name: str, num_classes: int) -> dict:
        info = dict(
            img_path=osp.join(self.data_prefix['img_path'], name + self.img_suffix),
            label_map=self.label_map,
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
            num_classes=num_classes,
        )
        if self.data_prefix.get('seg_map_path') is not None:
            mask = osp.join(self.data_prefix['seg_map_path'], name + self.seg_map_suffix)
            info['seg_map_path'] = mask
        for key, folder in self.stores.items():
            if folder is not None:
                path = osp.join(folder, image_id(info['img_path']) + STORES[key])
                info[f'{key.removesuffix("_dir")}_path'] = path
        return info

    def _needs_masks(self) -> bool:
        masks, images = (self.data_prefix.get(key) for key in ('seg_map_path', 'img_path'))
        # MMSegmentation's defaults put both into data_root, whether there are masks or not.
        apart = masks is not None and osp.normpath(masks) != osp.normpath(images)
        return apart or any(
            isinstance(step, LoadAnnotations) and not getattr(step, 'optional', False)
            for step in self.pipeline.transforms
        )

    def _check_images(self, data_list: list[dict]) -> None:
        paths: dict[str, str] = {}
        for info in data_list:
            key = image_id(info['img_path'])
            if paths.setdefault(key, info['img_path']) != info['img_path']:
                raise ValueError(
                    f'Images {paths[key]} and {info["img_path"]} have the same image id {key!r}. '
                    'Ids are file names without folder and extension; rename one of them.'
                )
        check_look_different(f'The split {self._split}', paths)
        missing = _missing([info['img_path'] for info in data_list], self.img_suffix)
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(data_list)} images of the split {self._split} do not '
                f'exist: {some(missing)}. Correct `data_root`, `data_prefix.img_path` or '
                f'`img_suffix` (now {self.img_suffix!r}), or take these ids out of the split list.'
            )

    def _check_masks(self, data_list: list[dict]) -> None:
        if 'seg_map_path' not in data_list[0]:
            raise ValueError(
                'the pipeline loads masks (LoadAnnotations), but neither `mask_dir` nor '
                '`data_prefix.seg_map_path` (with a split: masks=True) says where they are'
            )
        paths = [info['seg_map_path'] for info in data_list]
        missing = _missing(paths, self.seg_map_suffix)
        if missing:
            remedy = (
                'Write the pseudo masks of the whole split first (test.py of the stage before), '
                'or correct `mask_dir`'
                if self.mask_dir is not None
                else 'Correct `data_prefix.seg_map_path`, or leave it out where no mask is read'
            )
            raise FileNotFoundError(
                f'{len(missing)} of {len(data_list)} images of the split {self._split} have no '
                f'mask in {self.data_prefix["seg_map_path"]}: {some(missing)}. {remedy} '
                f'(seg_map_suffix is {self.seg_map_suffix!r}).'
            )
        if self.mask_dir is not None:
            _check_whole(paths, f'mask_dir {self.mask_dir}')
        check_some_class(paths)

    def _check_stores(self, data_list: list[dict]) -> None:
        """Every image has its file in the stores."""
        for key, folder in self.stores.items():
            paths = [info[f'{key.removesuffix("_dir")}_path'] for info in data_list if folder]
            missing = _missing(paths, STORES[key])
            if missing:
                raise FileNotFoundError(
                    f'{len(missing)} of {len(paths)} images of the split {self._split} have no '
                    f'file in {folder}: {some(missing)}. Run the stage that writes it for the '
                    f'whole split first, or correct `{key}` of the data set.'
                )
            _check_whole(paths, f'{key} {folder}')

    @property
    def _split(self) -> str:
        return self.ann_file or '(whole folder)'

    def _add_labels(self, data_list: list[dict], foreground: Sequence[str]) -> None:
        labels = read_label_file(self.label_file)
        missing = [key for info in data_list if (key := image_id(info['img_path'])) not in labels]
        if missing:
            raise ValueError(
                f'Label file {self.label_file} has no entry for {len(missing)} of '
                f'{len(data_list)} images of the split {self._split}: {some(missing)}'
                f'{spelling_hint(missing, labels)}. Make the label file again so that it covers '
                'the split, or remove these ids from the split.'
            )
        encoded = self._encode(labels, foreground)
        for info in data_list:
            info['image_labels'] = encoded[image_id(info['img_path'])]
            info['num_foreground'] = len(foreground)
        if not any(info['image_labels'].size for info in data_list):
            raise ValueError(
                f'Label file {self.label_file}: not one of the {len(data_list)} images of the '
                'split has a foreground class, so there is nothing to learn. Make the label file '
                'again and check the class list that the converter was given.'
            )

    def _encode(
        self, labels: dict[str, list[str]], foreground: Sequence[str]
    ) -> dict[str, np.ndarray]:
        encoded = {}
        for key, names in labels.items():
            try:
                encoded[key] = encode_image_labels(names, foreground)
            except ValueError as error:
                raise ValueError(
                    f'Label file {self.label_file}, image {key!r}: {error}. Correct the label '
                    "file or metainfo['classes']."
                ) from error
        return encoded


def _our_reader(step: dict | Callable) -> dict | Callable:
    """A transform that reads as mmwsss does, if it is MMSegmentation's reader without a scope."""
    names = ('LoadImageFromFile', 'LoadAnnotations')
    if not isinstance(step, Mapping) or step.get('type') not in names:
        return step
    settings = {key: value for key, value in step.items() if key != 'imdecode_backend'}
    return {**settings, '_scope_': 'mmwsss'}


def _find_images(folder: str, suffix: str) -> list[str]:
    """Names without suffix, relative to ``folder``, sorted; subfolders too, nothing hidden.

    Pictures of another suffix and broken links are counted in a warning.
    """
    found, left_out, visited = [], [], set()
    for root, folders, files in os.walk(folder, followlinks=True):
        visited.add(osp.realpath(root))
        paths = {name: osp.join(root, name) for name in folders + files if name[0] != '.'}
        # A link to a folder above would be followed for ever.
        folders[:] = [n for n in folders if n in paths and osp.realpath(paths[n]) not in visited]
        for name in paths.keys() & set(files):
            written = unwritable_name(name.removesuffix(suffix)) is None
            if name.endswith(suffix) and osp.isfile(paths[name]) and written:
                found.append(osp.relpath(paths[name], folder))
            elif name.endswith(suffix) or name.lower().endswith(IMAGE_SUFFIXES):
                left_out.append(name)
    if left_out:
        print_log(
            f'{folder}: {len(left_out)} pictures are left out, because their suffix is not '
            f'img_suffix {suffix!r}, they are broken links, or their names cannot stand in a list '
            f'of ids: {some(sorted(left_out))}',
            'current',
            logging.WARNING,
        )
    return [name.removesuffix(suffix) for name in sorted(found)]


def _missing(paths: Sequence[str], suffix: str) -> list[str]:
    """Names of the files that are not there, with what is there under another suffix.

    Every folder is listed once.
    """
    folders = {folder: _files(folder) for folder in {osp.dirname(path) for path in paths}}
    missing = [path for path in paths if osp.basename(path) not in folders[osp.dirname(path)]]
    return [_beside(path, suffix, folders[osp.dirname(path)]) for path in missing[:5]] + [
        osp.basename(path) for path in missing[5:]
    ]


def _check_whole(paths: Sequence[str], what: str) -> None:
    """Raise ValueError, counting and naming them, for results of a stage that were cut off."""
    broken = [path for path in paths if not is_whole(path)]
    if broken:
        raise ValueError(
            f'{len(broken)} of {len(paths)} files of {what} are empty or cut off: {some(broken)}. '
            'Remove them and run again the stage that writes them.'
        )


def _files(folder: str) -> set[str]:
    if not osp.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}


def _beside(path: str, suffix: str, present: set[str]) -> str:
    name = osp.basename(path)
    stem = name.removesuffix(suffix)
    others = sorted(other for other in present if stem in (other, osp.splitext(other)[0]))
    if osp.lexists(path):
        return f'{name} (a broken link, or no regular file)'
    if others:
        return f'{name} (there is {", ".join(others)})'
    return name + spelling_hint([name], present)
