"""Any trained network, for one image after the other: its masks, and its maps or probabilities."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..models.utils.class_check import check_classes
from ..ops.multi_view.windows import Box, merge_window_maps
from ..registry import DATASETS, MODELS

# Steps of a test pipeline in whose place an image is given.
READING = (
    'LoadImageFromFile', 'LoadAnnotations', 'mmwsss.LoadImageFromFile', 'mmwsss.LoadAnnotations',
    'mmwsss.LoadImageLabels',
)  # fmt: skip


def load_network(
    cfg: Config, weights: str | os.PathLike, device: str, with_cam: bool = False
) -> tuple[nn.Module, dict]:
    """A model with its weights, and the classes and palette of its data set.

    Args:
        cfg: Its config; is not modified.
        weights: Checkpoint, which has to hold exactly the weights of the model.
        device: Where to put it.
        with_cam: Let it make maps for images with labels, if it can.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: It is none or that of another model, or nothing says what the classes are.
    """
    if not Path(weights).is_file():
        raise FileNotFoundError(f'checkpoint {weights} does not exist')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = MODELS.build(deepcopy(cfg.model))
    choices = getattr(getattr(model, 'settings', None), 'predict_choices', ())
    if with_cam and 'cam' in choices:
        model.test_cfg = {**model.test_cfg, 'with_cam': True}
    try:
        loaded = load_checkpoint(model, str(weights), map_location='cpu', strict=True)
    except RuntimeError as error:
        raise ValueError(f'{weights} does not fit the model of the config: {error}') from error
    said = loaded.get('meta', {})
    if not cfg.get('trained'):  # a folder of save_pretrained, whose config holds the classes
        check_classes(weights, said, _metainfo(cfg).get('classes'), cfg.filename or '')
    return model.to(device).eval(), _trained_meta(said, cfg)


def _trained_meta(said: Mapping, cfg: Config) -> dict:
    """Classes and palette of a checkpoint, those it does not say from the config."""
    given = {key.lower(): value for key, value in (said.get('dataset_meta') or {}).items()}
    known = {key: given[key] for key in ('classes', 'palette') if given.get(key) is not None}
    meta = {**_metainfo(cfg), **known}
    missing = {'classes', 'palette'} - set(meta)
    if missing:
        raise ValueError(
            f'neither the checkpoint nor the data set {cfg.test_dataloader.dataset.type} of the '
            f'config says its {" and ".join(sorted(missing))}: add metainfo=dict(classes=..., '
            'palette=...)'
        )
    return meta


def _metainfo(cfg: Config) -> dict:
    dataset = cfg.test_dataloader.dataset
    return DATASETS.get(dataset.type)._load_metainfo(dataset.get('metainfo'))


class TrainedNetwork:
    """A network that segments images of any size, whole or window by window.

    Without image labels it segments. With them, networks of this package that make maps give
    these; whether the mask follows the labels, too, is for ``test_cfg.predict`` to say. All others
    have the probabilities of the classes in the place of maps.

    Args:
        cfg: Config with ``model`` and ``test_pipeline``.
        weights: Checkpoint.
        device: Where it runs.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_network`; it needs files of earlier stages.
    """

    def __init__(self, cfg: Config, weights: str | os.PathLike, device: str) -> None:
        if 'model' not in cfg or 'test_pipeline' not in cfg:
            raise ValueError(f'{cfg.filename} has no model or no test_pipeline')
        steps = [step for step in cfg.test_pipeline if step['type'] not in READING]
        files = [step['type'] for step in steps if 'Load' in step['type']]
        if files:
            raise ValueError(
                f'{cfg.filename} cannot be used on images alone: its test_pipeline also reads what '
                f'an earlier stage has made ({", ".join(files)})'
            )
        self.model, meta = load_network(cfg, weights, device, with_cam=True)
        self.device = device
        self.classes = tuple(meta['classes'])
        self.palette = [list(colour) for colour in meta['palette']]
        self.pipeline = Compose(steps)
        self._settings = dict(getattr(self.model, 'test_cfg', None) or {})

    @property
    def _choices(self) -> Sequence[str]:
        return getattr(getattr(self.model, 'settings', None), 'predict_choices', ())

    @torch.no_grad()
    def __call__(
        self, image: np.ndarray, labels: np.ndarray | None, boxes: Sequence[Box] = ()
    ) -> tuple[np.ndarray, Tensor, np.ndarray]:
        """Segment an image.

        Args:
            image: uint8 RGB ``(H, W, 3)``.
            labels: 0-based foreground classes ``(K,)``; None: unknown.
            boxes: Windows that are segmented one by one, and their scores averaged; empty: the
                whole image at once. See :meth:`check_labels_in_windows`.

        Returns:
            Labels ``(K,)``, those given or those in the mask; maps ``(K, H, W)`` in [0, 1]; mask
            uint8 ``(H, W)``.

        Raises:
            ValueError: The model cannot be used without labels, or not with windows.
        """
        size = image.shape[:2]
        if not boxes:
            sample = self._predict(image, labels)
            mask = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
            if labels is not None and 'pred_cam' in sample:
                return sample.pred_cam.labels.cpu().numpy(), sample.pred_cam.cam.float().cpu(), mask
            scores = sample.seg_logits.data.float().cpu() if 'seg_logits' in sample else None
        else:
            scores = merge_window_maps(
                (self._window(image, box) for box in boxes), self._num_scores, size
            )
            mask = scores.argmax(dim=0).numpy().astype(np.uint8)
        labels = np.setdiff1d(mask, [0, 255]).astype(np.int64) - 1 if labels is None else labels
        if scores is None:
            return labels[:0], torch.zeros(0, *size), mask
        shares = probabilities(scores, getattr(self.model, 'gives_logits', True))
        return labels, shares[torch.from_numpy(labels) + 1], mask

    def check_labels_in_windows(self) -> None:
        """Raise ValueError if the network makes maps for image labels: windows have none of them.

        Each window would get a map of every label, whether it shows the class or not.
        """
        if 'cam' in self._choices:
            raise ValueError(
                f'the maps that {type(self.model).__name__} makes for image labels are of whole '
                'images: leave window out, or the image labels'
            )

    @property
    def _num_scores(self) -> int:
        return len(self.classes)

    def _window(self, image: np.ndarray, box: Box) -> tuple[Box, Tensor, Tensor]:
        top, left, high, wide = box
        sample = self._predict(image[top : top + high, left : left + wide], None)
        scores = sample.seg_logits.data.float().cpu() if 'seg_logits' in sample else torch.zeros(0)
        if len(scores) != self._num_scores:
            raise ValueError(
                f'{type(self.model).__name__} gives {len(scores)} scores for {self._num_scores} '
                'classes: its windows cannot be averaged, leave window out'
            )
        return box, scores, torch.ones(len(scores))

    def _predict(self, image: np.ndarray, labels: np.ndarray | None) -> SegDataSample:
        self._choose(labels)
        size = image.shape[:2]
        img = np.ascontiguousarray(image[..., ::-1])
        packed = self.pipeline(dict(img=img, img_path='', ori_shape=size, img_shape=size))
        if labels is not None:
            hot = torch.zeros(len(self.classes) - 1)
            hot[torch.from_numpy(labels)] = 1
            packed['data_samples'].gt_image_labels = LabelData(label=hot)
        data = {key: [value] for key, value in packed.items()}
        return self.model.test_step(data)[0]

    def _choose(self, labels: np.ndarray | None) -> None:
        """Let a model that is set to follow image labels segment where there are none."""
        if self._settings.get('predict', _default(self.model)) != 'cam' or not self._choices:
            return
        if labels is None and 'seg' not in self._choices:
            raise ValueError(f'{type(self.model).__name__} needs image labels')
        predict = 'cam' if labels is not None else 'seg'
        self.model.test_cfg = {**self._settings, 'predict': predict}


def _default(model: nn.Module) -> str:
    return getattr(type(getattr(model, 'settings', None)), 'predict', 'seg')


def probabilities(scores: Tensor, logits: bool = True) -> Tensor:
    """Scores of a network as values in [0, 1], background first.

    Args:
        scores: ``(C, H, W)``. One channel alone is that of the one class.
        logits: Whether they are logits. Others stay what they are: probabilities, a CRF's
            posterior, maps.

    Returns:
        ``(C, H, W)``, at least two channels.
    """
    if len(scores) == 1:
        scores = scores.sigmoid() if logits else scores
        return torch.cat([1 - scores, scores])
    return scores.softmax(dim=0) if logits else scores
