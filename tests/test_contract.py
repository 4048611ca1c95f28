"""What every method promises, tried on each mini config of ``configs/wsss``; a new one is found.

Two processes, a repeated ``predict`` stage and resuming are in ``test_tools`` and ``test_apis``.
"""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.data import Dataset

from mmwsss import register_all_modules
from mmwsss.datasets import mini_render
from mmwsss.datasets.cam_store import save_cam
from mmwsss.models import WSSSSegmentor
from mmwsss.registry import DATASETS, MODELS
from mmwsss.utils.images import read_rgb

CONFIGS = {
    path.stem: path for path in (Path(__file__).parents[1] / 'configs/wsss').glob('*_mini*.py')
}


@dataclasses.dataclass
class Method:
    """A mini config, its model with the weights it starts from, and two images of each split."""

    cfg: Config
    model: nn.Module
    train: Dataset | None
    test: Dataset
    test_cfg: dict = dataclasses.field(default_factory=dict)

    @property
    def settings(self) -> type:
        return self.model.settings_type

    def predict(self, data: dict | None = None, **test_cfg) -> list:
        """Predictions for fresh test data with the config's ``test_cfg`` and changes of it."""
        self.model.eval().test_cfg = {**self.test_cfg, **test_cfg}
        with torch.no_grad():
            return self.model.test_step(data or self.batch())

    def batch(self) -> dict:
        """Two test images of different sizes."""
        items = [self.test[i] for i in range(len(self.test))]
        other = next(x for x in items if x['inputs'].shape != items[0]['inputs'].shape)
        return pseudo_collate([items[0], other])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A working directory with a mini data set of a few images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('contract'))
        patch.setattr(mini_render, 'SPLITS', {'train': 4, 'val': 2})
        mini_render.write_mini('data/mini')
        register_all_modules()
        init_default_scope('mmseg')
        yield


@pytest.fixture(scope='module', params=sorted(CONFIGS))
def method(request, folder) -> Method:
    cfg = Config.fromfile(CONFIGS[request.param])
    datasets = {}
    for split in ('train', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            fill_stores(loader.dataset)
        datasets[split] = loader and DATASETS.build(loader.dataset)
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg.model))
    model.init_weights()
    return Method(cfg, model, **datasets, test_cfg=(cfg.model.get('test_cfg') or {}))


def fill_stores(dataset: dict) -> None:
    """Write what an earlier stage would have left, for every store that the data set names."""
    stores = {key: dataset[key] for key in ('cam_dir', 'score_dir') if dataset.get(key)}
    bare = {key: value for key, value in dataset.items() if key not in stores}
    images = DATASETS.build({**bare, 'pipeline': []}) if stores else []
    rng = np.random.default_rng(0)
    for key, store in stores.items():
        for info in images:
            image = Path(info['img_path'])
            size = read_rgb(image).shape[:2]
            path = Path(store, f'{image.stem}.npz')
            path.parent.mkdir(parents=True, exist_ok=True)
            write_stored(key, path, np.array(info['image_labels']), size, rng)


def write_stored(key: str, path: Path, labels, size: tuple[int, int], rng) -> None:
    cam = rng.random((len(labels), *size))
    if key == 'cam_dir':
        save_cam(path, labels, cam, size)
    else:
        low, high = (np.concatenate([np.full((1, *size), b), cam]) for b in (0.2, 0.6))
        np.savez(path, labels=np.int16(labels), low=np.float16(low), high=np.float16(high))


def with_labels(data: dict, *labels: tuple[int, ...] | None) -> dict:
    """The same images with other image labels, or without."""
    for sample, classes in zip(data['data_samples'], labels, strict=True):
        if classes is None:
            del sample.gt_image_labels
        else:
            sample.gt_image_labels.label = torch.zeros_like(sample.gt_image_labels.label)
            sample.gt_image_labels.label[list(classes)] = 1
    return data


def is_label_map(sample, name: str, size: tuple[int, int]) -> bool:
    data = sample.get(name).data
    return data.shape == (1, *size) and not data.is_floating_point()


def test_every_mini_config_is_found():
    assert {'weclip_mini', 'afa_mini', 'clip_es_mini', 'psa_mini_affinity'} <= set(CONFIGS)


def test_it_is_a_segmentor_of_this_package(method):
    assert isinstance(method.model, WSSSSegmentor)
    assert method.settings.__dataclass_params__.frozen


@pytest.mark.parametrize('half', [False, True], ids=['float32', 'autocast'])
def test_training_steps_are_finite(method, half):
    """The first and the last iteration, between which every phase of the method has begun."""
    model = method.model.train()
    if method.train is None:
        with pytest.raises(NotImplementedError, match='not trained'):
            model.loss(None, [])
        return
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=1e-3)
    hub = MessageHub.get_current_instance()
    last = method.cfg.train_cfg.max_iters - 1
    for iteration in (last,) if half else (0, last):
        hub.update_info('iter', iteration)
        data = model.data_preprocessor(pseudo_collate([method.train[0], method.train[1]]), True)
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=half):
            losses = model(**data, mode='loss')
        total, logged = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        assert any(name.startswith('loss_') or '.loss_' in name for name in losses)
        assert all(torch.isfinite(value).all() for value in logged.values()), logged
        grads = {name: p.grad for name, p in trained.items() if p.grad is not None}
        assert all(grad.isfinite().all() for grad in grads.values())
        assert any(grad.any() for grad in grads.values())
    hub.update_info('iter', 0)
    assert all(p.isfinite().all() for p in model.parameters())


def test_seg_is_unchanged_when_image_labels_change(method):
    if 'seg' not in method.settings.predict_choices:
        with pytest.raises(ValueError, match='predict must be one of cam'):
            method.predict(predict='seg')
        return
    seg = dict(predict='seg', maps=method.settings.maps)
    first = method.predict(with_labels(method.batch(), (0,), (1, 2)), **seg)
    for labels in (((3,), ()), (None, None)):
        other = method.predict(with_labels(method.batch(), *labels), **seg)
        for a, b in zip(first, other, strict=True):
            assert torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
            assert 'pred_cam' not in a and 'pred_cam' not in b
            assert is_label_map(a, 'pred_sem_seg', a.ori_shape[:2])
            assert a.seg_logits.data.shape[-2:] == a.ori_shape[:2]


@pytest.mark.parametrize('maps', ['refined', 'plain'])
@pytest.mark.parametrize('factor', [1, 1.5], ids=['same size', 'other ori_shape'])
def test_cam_fills_maps_and_pseudo_masks(method, maps, factor):
    if maps not in method.settings.maps_choices:
        with pytest.raises(ValueError, match='maps must be one of plain'):
            method.predict(predict='cam', maps=maps)
        return
    data = method.batch()
    for sample in data['data_samples']:
        size = tuple(round(side * factor) for side in sample.ori_shape[:2])
        sample.set_metainfo(dict(ori_shape=size))
    for sample in method.predict(data, predict='cam', maps=maps):
        labels = sample.gt_image_labels.label.nonzero().flatten()
        cam = sample.pred_cam.cam
        assert torch.equal(sample.pred_cam.labels, labels) and len(labels)
        assert cam.shape == (len(labels), *sample.ori_shape)
        assert cam.isfinite().all() and cam.min() >= 0 and cam.max() <= 1
        assert is_label_map(sample, 'pred_pseudo_mask', sample.ori_shape)
        assert torch.equal(sample.pred_pseudo_mask.data, sample.pred_sem_seg.data)
        allowed = {0, 255, *(labels + 1).tolist()}
        assert set(sample.pred_pseudo_mask.data.unique().tolist()) <= allowed


def test_pictures_get_maps_beside_the_segmentation(method):
    predict = method.settings.predict_choices[0]
    seg = dict(predict=predict, maps=method.settings.maps)
    for sample in method.predict(with_cam=True, **seg):
        size = sample.ori_shape[:2]
        assert sample.pred_cam.cam.shape[-2:] == size
        assert is_label_map(sample, 'pred_pseudo_mask', size)
        assert is_label_map(sample, 'pred_sem_seg', size)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(predcit='cam'), "did you mean 'predict'"),
        (dict(with_cams=True), "did you mean 'with_cam'"),
        (dict(mode='cam'), "is now test_cfg.predict: say predict='cam'"),
        (dict(predict='masks'), 'test_cfg.predict must be one of'),
        (dict(maps='gradcam'), 'test_cfg.maps must be one of'),
    ],
)
def test_a_wrong_test_cfg_is_refused_when_the_model_is_built(method, wrong, message):
    model = copy.deepcopy(method.cfg.model)
    model.test_cfg = {**method.test_cfg, **wrong}
    with pytest.raises(ValueError, match=message):
        MODELS.build(model)


def test_misspelt_keys_of_the_method_itself(method):
    for key in dataclasses.fields(method.settings):
        with pytest.raises(ValueError, match=f'key of test_cfg of {type(method.model).__name__}'):
            method.predict(**{f'{key.name}_': None})


def test_a_batch_of_two_sizes_is_each_image_alone(method):
    together = method.predict()
    for i, sample in enumerate(together):
        data = method.batch()
        alone = method.predict(dict(inputs=data['inputs'][i : i + 1],
                                    data_samples=data['data_samples'][i : i + 1]))[0]  # fmt: skip
        assert sample.pred_sem_seg.data.shape == (1, *sample.ori_shape[:2])
        assert (sample.pred_sem_seg.data == alone.pred_sem_seg.data).float().mean() > 0.999
        if 'pred_cam' in sample:
            torch.testing.assert_close(
                sample.pred_cam.cam, alone.pred_cam.cam, atol=1e-4, rtol=1e-4
            )
