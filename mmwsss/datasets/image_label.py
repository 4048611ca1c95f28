"""Datasets with image-level labels."""

import os
import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmwsss.registry import DATASETS

from .label_file import encode_image_labels, read_label_file


def image_id(path: str) -> str:
    """File name without extension."""
    return osp.splitext(osp.basename(path))[0]


@DATASETS.register_module()
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

    Every sample gets ``image_labels`` (sorted int64 ``(K,)``, 0-based indices of the foreground
    classes, that is the index in ``classes`` minus 1) and ``num_foreground``. An empty list of
    labels is allowed: an image that shows background only.

    Args:
        label_file: JSON file ``{image id: [foreground class name, ...]}``, relative to
            ``data_root``. It may cover more images than the split. None: no image labels (for
            evaluation of segmentation masks).
        mask_dir: Folder of label maps ``<image id><seg_map_suffix>`` for every image of the split,
            relative to the working directory, such as the pseudo masks of an earlier stage. It
            takes the place of ``data_prefix['seg_map_path']``.
        skip_dir: Folder, relative to the working directory; images for which it holds a file
            ``<image id>.*`` are left out. It lets an interrupted run that writes one file per
            image go on.
        kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: Split list, label file, image folder, first image or a mask of
            ``mask_dir`` missing.
        ValueError: Empty split, images without entry in the label file, unknown class name,
            no label at all in the split, or classes that do not begin with 'background'.
    """

    def __init__(
        self,
        *args: Any,
        label_file: str | None = None,
        mask_dir: str | None = None,
        skip_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.label_file, self.mask_dir, self.skip_dir = label_file, mask_dir, skip_dir
        super().__init__(*args, **kwargs)

    def _join_prefix(self) -> None:
        super()._join_prefix()
        if self.label_file is not None:
            self.label_file = osp.join(self.data_root, self.label_file)
        if self.mask_dir is not None:
            self.data_prefix['seg_map_path'] = osp.abspath(self.mask_dir)

    def load_data_list(self) -> list[dict]:
        """List the images of the split and add their labels."""
        classes = self._checked_classes()
        self._check_paths()
        data_list = super().load_data_list()
        # A blank line in a split list gives an image that is called only '.jpg'.
        data_list = [
            info for info in data_list if osp.basename(info['img_path']) != self.img_suffix
        ]
        if not data_list:
            where = f'The split list {self.ann_file}' if self.ann_file else 'The image folder'
            raise ValueError(
                f'{where} names no image (image folder {self.data_prefix.get("img_path")}, '
                f'img_suffix {self.img_suffix!r}). Correct ann_file, data_prefix or img_suffix.'
            )
        self._check_first_image(data_list[0]['img_path'])
        if self.mask_dir is not None:
            self._check_masks(data_list)
        if self.label_file is not None:
            self._add_labels(data_list, classes[1:])
        if self.skip_dir is not None and osp.isdir(self.skip_dir):
            done = {osp.splitext(name)[0] for name in os.listdir(self.skip_dir)}
            data_list = [i for i in data_list if image_id(i['img_path']) not in done]
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
                f'Cannot prepare image {files}: {type(error).__name__}: {error}. Repair or replace '
                f'the file, or remove the image from the split list {self.ann_file or "(none)"}.'
            ) from error

    def _checked_classes(self) -> Sequence[str]:
        classes = self._metainfo.get('classes') or ()
        if len(classes) < 2 or classes[0] != 'background':
            raise ValueError(
                f"{type(self).__name__}: metainfo['classes'] must be 'background' followed by the "
                f'foreground classes, got {tuple(classes)}. Give metainfo=dict(classes='
                "('background', ...)) in the dataset config."
            )
        return classes

    def _check_paths(self) -> None:
        if self.ann_file and not osp.exists(self.ann_file):
            raise FileNotFoundError(
                f'Split list {self.ann_file} does not exist. Correct `ann_file` or `data_root`; '
                'it is a text file with one image id per line.'
            )
        folder = self.data_prefix.get('img_path')
        if not folder or not osp.isdir(folder):
            raise FileNotFoundError(
                f'Image folder {folder} does not exist. Correct `data_root` or '
                '`data_prefix.img_path`.'
            )

    def _check_first_image(self, path: str) -> None:
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'{path}, the first image of {self.ann_file}, does not exist. Correct `data_root`, '
                f'`data_prefix.img_path` or `img_suffix` (now {self.img_suffix!r}).'
            )

    def _check_masks(self, data_list: list[dict]) -> None:
        present = set(os.listdir(self.mask_dir)) if osp.isdir(self.mask_dir) else set()
        missing = [n for i in data_list if (n := osp.basename(i['seg_map_path'])) not in present]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(data_list)} images of the split '
                f'{self.ann_file or "(whole folder)"} have no mask in {self.mask_dir}: '
                f'{", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}. Write the pseudo '
                'masks of the whole split first (test.py of the stage before), or correct '
                '`mask_dir`.'
            )

    def _add_labels(self, data_list: list[dict], foreground: Sequence[str]) -> None:
        labels = read_label_file(self.label_file)
        missing = [key for info in data_list if (key := image_id(info['img_path'])) not in labels]
        if missing:
            raise ValueError(
                f'Label file {self.label_file} has no entry for {len(missing)} of '
                f'{len(data_list)} images of the split {self.ann_file or "(whole folder)"}: '
                f'{", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}. Make the label '
                'file again so that it covers the split, or remove these ids from the split.'
            )
        encoded = self._encode(labels, foreground)
        paths: dict[str, str] = {}
        for info in data_list:
            key = image_id(info['img_path'])
            if paths.setdefault(key, info['img_path']) != info['img_path']:
                raise ValueError(
                    f'Images {paths[key]} and {info["img_path"]} have the same image id {key!r}. '
                    'Ids are file names without folder and extension; rename one of them.'
                )
            info['image_labels'] = encoded[key]
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
