"""The promises of every method, as functions that try them on a config.

A config of the mini data set is tried on six of its images; what an earlier stage would have left
is drawn at random. Nothing outside of the given folder is written.

Example:
    >>> from mmwsss.testing import check_contract
    >>> check_contract('configs/wsss/weclip_mini.py')

or, to see each check by itself, in a test file::

    @pytest.fixture(scope='module')
    def method(tmp_path_factory):
        return load_method('my_method_mini.py', tmp_path_factory.mktemp('contract'))

    @pytest.mark.parametrize('check', CHECKS, ids=lambda check: check.__name__)
    def test_contract(method, check):
        check(method)
"""

from __future__ import annotations

import copy
import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.structures import SegDataSample
from torch import nn

from mmwsss.models import TestSettings, WSSSSegmentor
from mmwsss.registry import DATASETS, MODELS
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils import register_all_modules
from mmwsss.utils.images import read_rgb

from .iteration import training_iteration
from .mini import few_mini_images
from .samples import multi_hot

STORES = ('cam_dir', 'score_dir')


class ContractError(AssertionError):
    """A method breaks a promise that every method gives."""


@dataclasses.dataclass
class Method:
    """A config, its model with the weights it starts from, and its data sets.

    Attributes:
        cfg: The whole config.
        model: Built from ``cfg.model``.
        train: None for methods that are not trained.
        test: Must hold two images of different sizes.
    """

    cfg: Config
    model: nn.Module
    train: Sequence | None
    test: Sequence

    @property
    def name(self) -> str:
        """Class of the model, for messages."""
        return type(self.model).__name__

    @property
    def settings(self) -> type[TestSettings]:
        """What ``test_cfg`` may hold."""
        return self.model.settings_type

    @property
    def test_cfg(self) -> Mapping[str, Any]:
        """``test_cfg`` of the config."""
        return self.cfg.model.get('test_cfg') or {}

    def predict(self, data: dict | None = None, **test_cfg: Any) -> list[SegDataSample]:
        """Predictions, of :meth:`batch` without data, with changes of the config's ``test_cfg``."""
        self.model.eval().test_cfg = {**self.test_cfg, **test_cfg}
        with torch.no_grad():
            return self.model.test_step(data or self.batch())

    def batch(self) -> dict:
        """Two test images of different sizes, loaded anew."""
        first = self.test[0]
        for index in range(1, len(self.test)):
            other = self.test[index]
            if other['inputs'].shape != first['inputs'].shape:
                return pseudo_collate([first, other])
        raise ValueError('the images of test_dataloader have one size: the checks need two')


def load_method(config: str | Path, folder: str | Path) -> Method:
    """Build the model and the data sets of a config.

    Args:
        config: Of any class of this package, with data that are there; those of the mini data set
            are written.
        folder: Where the images and the stand-ins for files of earlier stages are written.
    """
    register_all_modules()
    cfg, datasets = Config.fromfile(config), {}
    for split in ('train', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        for dataset in leaves(loader.dataset) if loader else ():
            if dataset.type == 'mmwsss.MiniDataset':
                dataset.data_root = str(few_mini_images(Path(folder) / 'mini'))
            fill_stores(dataset, Path(folder) / Path(config).stem / split)
        datasets[split] = loader and DATASETS.build(loader.dataset)
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg.model))
    model.init_weights()
    return Method(cfg, model, **datasets)


def check_contract(config: str | Path) -> None:
    """Try all :data:`CHECKS` on a config.

    Args:
        config: See :func:`load_method`.

    Raises:
        ContractError: The first promise that is broken; also what the model itself raises.
    """
    with tempfile.TemporaryDirectory() as folder:
        method = load_method(config, folder)
        for check in CHECKS:
            check(method)


def leaves(dataset: Mapping) -> list[Mapping]:
    """Configs of the data sets inside of wrappers that repeat or join them."""
    inner = dataset.get('datasets', [dataset['dataset']] if 'dataset' in dataset else [])
    return [leaf for part in inner for leaf in leaves(part)] or [dataset]


def fill_stores(dataset: dict, folder: Path) -> None:
    """Let every store that a data set reads lie in ``folder``, with something for each image."""
    stores = [key for key in STORES if dataset.get(key)]
    bare = {key: value for key, value in dataset.items() if key not in stores}
    images = DATASETS.build({**bare, 'pipeline': []}) if stores else ()
    rng = np.random.default_rng(0)
    two_labels = any('LoadTwoLabels' in step['type'] for step in dataset.get('pipeline') or ())
    for key in stores:
        dataset[key] = str(folder / key)
        (folder / key).mkdir(parents=True)
        for info in images:
            path = folder / key / f'{Path(info["img_path"]).stem}.npz'
            size = read_rgb(info['img_path']).shape[:2]
            labels = np.array(info['image_labels'])
            if key == 'score_dir' and two_labels:
                write_two_labels(path, labels, size, rng)
            else:
                write_stored(key, path, labels, size, rng)


def write_stored(
    key: str, path: Path, labels: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> None:
    """Write random maps, or scores, of the classes ``labels`` in the format of a store."""
    cam = rng.random((len(labels), *size))
    if key == 'cam_dir':
        save_cam(path, labels, cam, size)
    else:
        low, high = (np.concatenate([np.full((1, *size), b), cam]) for b in (0.2, 0.6))
        scores = dict(low=np.float16(low), high=np.float16(high), scores=np.float16(high))
        np.savez(path, labels=np.int16(labels), **scores)


def write_two_labels(
    path: Path, labels: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> None:
    """Write two random label maps of the classes ``labels``, for ``LoadTwoLabels``."""
    low, high = rng.choice([0, *(labels + 1)], (2, *size)).astype(np.uint8)
    np.savez(path, labels=np.int16(labels), low=low, high=high)


# ---------------------------------------------------------------------------------------------
# the checks


def is_a_segmentor_of_this_package(method: Method) -> None:
    """It inherits the one road to predictions, and settings that are checked."""
    require(isinstance(method.model, WSSSSegmentor), f'{method.name} is no WSSSSegmentor')
    checked = issubclass(method.settings, TestSettings)
    require(checked, f'{method.settings.__name__}, its settings_type, is no TestSettings')


def trains(method: Method) -> None:
    """Losses and gradients of the first and of the last iteration are finite.

    Between these every phase of a method has begun.
    """
    if method.train is None:
        with refused(NotImplementedError, 'not trained', f'{method.name}.loss'):
            method.model.loss(None, [])
    else:
        training_steps(method, (0, method.cfg.train_cfg.max_iters - 1), half=False)


def trains_in_mixed_precision(method: Method) -> None:
    """As :func:`trains`, the last iteration under autocast."""
    if method.train is not None:
        training_steps(method, (method.cfg.train_cfg.max_iters - 1,), half=True)


def training_steps(method: Method, iterations: Sequence[int], half: bool) -> None:
    """Steps of SGD at the given iterations, on the first two images."""
    model = method.model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3)
    with training_iteration() as at:
        for iteration in iterations:
            at(iteration)
            data = pseudo_collate([method.train[0], method.train[1]])
            data = model.data_preprocessor(data, True)
            with torch.autocast('cpu', dtype=torch.bfloat16, enabled=half):
                losses = model(**data, mode='loss')
            where = f'{method.name} in iteration {iteration}'
            named = any(name.startswith('loss_') or '.loss_' in name for name in losses)
            require(named, f'{where}: no loss_* in {sorted(losses)}')
            total, logged = model.parse_losses(losses)
            finite = all(value.isfinite().all() for value in logged.values())
            require(finite, f'{where}: not finite: {logged}')
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            check_gradients(where, trained)


def check_gradients(where: str, trained: Sequence[nn.Parameter]) -> None:
    """A step has left gradients that are finite and not all zero, and weights that are finite."""
    grads = [p.grad for p in trained if p.grad is not None]
    require(all(g.isfinite().all() for g in grads), f'{where}: gradients are not finite')
    require(any(g.any() for g in grads), f'{where}: all gradients are zero')
    require(all(p.isfinite().all() for p in trained), f'{where}: weights are not finite')


def seg_never_looks_at_image_labels(method: Method) -> None:
    """``predict='seg'`` gives the same masks, and no maps, for other image labels and for none."""
    if 'seg' not in method.settings.predict_choices:
        with refused(ValueError, 'predict must be one of cam', "predict='seg'"):
            method.predict(predict='seg')
        return
    seg = dict(predict='seg', maps=method.settings.maps)
    first = method.predict(with_labels(method.batch(), (0,), (1, 2)), **seg)
    for labels in (((3,), ()), (None, None)):
        other = method.predict(with_labels(method.batch(), *labels), **seg)
        for a, b in zip(first, other, strict=True):
            same = torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
            require(same, f"{method.name}: predict='seg' depends on the image labels")
            maps = 'pred_cam' in a or 'pred_cam' in b
            require(not maps, f"{method.name}: predict='seg' gives pred_cam unasked")
            require_label_map(method, a, 'pred_sem_seg')
            require_size(method, a, 'seg_logits', a.seg_logits.data)


def cam_fills_maps_and_pseudo_masks(method: Method) -> None:
    """``predict='cam'``: maps in [0, 1] and masks of the classes in the image labels.

    Both at ``ori_shape``, also if that is not the size of the input; refined and plain ones.
    """
    for maps in ('refined', 'plain'):
        if maps not in method.settings.maps_choices:
            with refused(ValueError, 'maps must be one of plain', f'maps={maps!r}'):
                method.predict(predict='cam', maps=maps)
            continue
        for factor in (1, 1.5):
            data = method.batch()
            for sample in data['data_samples']:
                size = tuple(round(side * factor) for side in sample.ori_shape[:2])
                sample.set_metainfo(dict(ori_shape=size))
            for sample in method.predict(data, predict='cam', maps=maps):
                check_maps(method, sample)


def check_maps(method: Method, sample: SegDataSample) -> None:
    """Maps and pseudo mask of one sample are those that its image labels allow."""
    labels = sample.gt_image_labels.label.nonzero().flatten()
    require(len(labels) > 0, 'the images of the test must show some class')
    cam = sample.pred_cam.cam
    same = torch.equal(sample.pred_cam.labels, labels) and len(cam) == len(labels)
    require(same, f'{method.name}: pred_cam is not of the classes {labels.tolist()}')
    require_size(method, sample, 'pred_cam', cam)
    inside = bool(cam.isfinite().all() and cam.min() >= 0 and cam.max() <= 1)
    require(inside, f'{method.name}: pred_cam is not in [0, 1]')
    require_label_map(method, sample, 'pred_pseudo_mask')
    mask = sample.pred_pseudo_mask.data
    same = torch.equal(mask, sample.pred_sem_seg.data)
    require(same, f"{method.name}: predict='cam' gives two different masks")
    others = set(mask.unique().tolist()) - {0, 255, *(labels + 1).tolist()}
    require(not others, f'{method.name}: the pseudo mask has classes {others} that are not there')


def pictures_get_maps_beside_the_segmentation(method: Method) -> None:
    """``with_cam=True`` adds maps and pseudo masks to what is predicted anyway."""
    predict = method.settings.predict_choices[0]
    for sample in method.predict(with_cam=True, predict=predict, maps=method.settings.maps):
        require_size(method, sample, 'pred_cam', sample.pred_cam.cam)
        require_label_map(method, sample, 'pred_pseudo_mask')
        require_label_map(method, sample, 'pred_sem_seg')


def refuses_a_wrong_test_cfg(method: Method) -> None:
    """Unknown keys and values of ``test_cfg`` are refused when the model is built."""
    for wrong, message in (
        (dict(predcit='cam'), "did you mean 'predict'"),
        (dict(with_cams=True), "did you mean 'with_cam'"),
        (dict(mode='cam'), "is now test_cfg.predict: say predict='cam'"),
        (dict(predict='masks'), 'test_cfg.predict must be one of'),
        (dict(maps='gradcam'), 'test_cfg.maps must be one of'),
    ):
        model = copy.deepcopy(method.cfg.model)
        model.test_cfg = {**method.test_cfg, **wrong}
        with refused(ValueError, message, f'test_cfg={wrong}'):
            MODELS.build(model)
    for field in dataclasses.fields(method.settings):
        wrong = {f'{field.name}_': None}
        with refused(ValueError, f'key of test_cfg of {method.name}', f'test_cfg={wrong}'):
            method.predict(**wrong)


def an_image_is_predicted_alike_alone_and_in_a_batch(method: Method) -> None:
    """A batch of two sizes gives each image what it gets alone."""
    together = method.predict()
    for i, sample in enumerate(together):
        data = method.batch()
        one = {key: data[key][i : i + 1] for key in ('inputs', 'data_samples')}
        alone = method.predict(one)[0]
        require_label_map(method, sample, 'pred_sem_seg')
        share = (sample.pred_sem_seg.data == alone.pred_sem_seg.data).float().mean()
        require(share > 0.999, f'{method.name}: {1 - share:.1%} of a mask depend on the batch')
        if 'pred_cam' in sample:
            same = torch.allclose(sample.pred_cam.cam, alone.pred_cam.cam, atol=1e-4, rtol=1e-4)
            require(same, f'{method.name}: pred_cam depends on the batch')


CHECKS: tuple[Callable[[Method], None], ...] = (
    is_a_segmentor_of_this_package,
    trains,
    trains_in_mixed_precision,
    seg_never_looks_at_image_labels,
    cam_fills_maps_and_pseudo_masks,
    pictures_get_maps_beside_the_segmentation,
    refuses_a_wrong_test_cfg,
    an_image_is_predicted_alike_alone_and_in_a_batch,
)
"""What every method promises; each function raises :class:`ContractError`."""


# ---------------------------------------------------------------------------------------------
# their parts


def require(kept: bool, message: str) -> None:
    """Raise ContractError with the message unless a promise is kept."""
    if not kept:
        raise ContractError(message)


def require_size(method: Method, sample: SegDataSample, name: str, maps: torch.Tensor) -> None:
    """Maps ``(..., H, W)`` of a sample must have its ``ori_shape``."""
    expected, found = tuple(sample.ori_shape[:2]), tuple(maps.shape[-2:])
    require(expected == found, f'{method.name}: {name} has size {found}, ori_shape is {expected}')


def require_label_map(method: Method, sample: SegDataSample, name: str) -> None:
    """A field of a sample must be a label map ``(1, *ori_shape)`` of whole numbers."""
    require(name in sample, f'{method.name}: there is no {name}')
    data = sample.get(name).data
    whole = data.ndim == 3 and len(data) == 1 and not data.is_floating_point()
    require(whole, f'{method.name}: {name} is no label map: {tuple(data.shape)}, {data.dtype}')
    require_size(method, sample, name, data)


@contextmanager
def refused(error: type[Exception], message: str, what: str) -> Iterator[None]:
    """Whatever is done inside must raise ``error`` with a message that matches."""
    try:
        yield
    except error as raised:
        found = re.search(message, str(raised))
        require(bool(found), f'{what} is refused, but not by {message!r}: {raised}')
    else:
        raise ContractError(f'{what} is accepted')


def with_labels(data: dict, *labels: Sequence[int] | None) -> dict:
    """The same images with other image labels, or without."""
    for sample, classes in zip(data['data_samples'], labels, strict=True):
        if classes is None:
            del sample.gt_image_labels
        else:
            count = len(sample.gt_image_labels.label)
            classes = [label % count for label in classes]
            sample.gt_image_labels.label = multi_hot(classes, num_classes=count)[0]
    return data
