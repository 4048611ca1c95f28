from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample
from PIL import Image

from mmwsss.datasets.transforms.affinity import (
    FuseLowHighAlpha,
    LoadCAM,
    LoadCRFScores,
    PackAffinityInputs,
    RandomFlipScores,
    RandomPadCropScores,
)
from mmwsss.datasets.transforms.two_labels import FuseTwoLabels, LoadTwoLabels
from mmwsss.evaluation.writers import CAMStoreWriter
from mmwsss.ops.resize import upsample
from mmwsss.registry import DATASETS
from mmwsss.stores.label_file import write_label_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')
    np.random.seed(0)


def picture(height=20, width=28) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def sample(tmp_path):
    """A sample whose store, for maps and for scores, is the temporary folder."""
    return partial(make_sample, tmp_path)


def make_sample(store=Path(), labels=(3,), **changes) -> dict:
    image = picture()
    results = dict(
        img=image,
        img_path='images/a.jpg',
        img_shape=image.shape[:2],
        ori_shape=image.shape[:2],
        image_labels=np.array(labels),
        num_foreground=20,
        cam_path=str(store / 'a.npz'),
        score_path=str(store / 'a.npz'),
    )
    return {**results, **changes}


def with_scores(height=20, width=28) -> dict:
    """Scores that can be told from the image at every pixel."""
    results = make_sample()
    low = results['img'][..., :2].astype(np.float16)
    return dict(results, crf_low=low, crf_high=low + 1)


def write_crf(folder, labels=(3,), shape=(20, 28), channels=None, **arrays):
    channels = 1 + len(labels) if channels is None else channels
    scores = np.random.default_rng(1).random((channels, *shape)).astype(np.float16)
    content = dict(labels=np.array(labels, np.int16), low=scores, high=scores / 2, **arrays)
    np.savez(folder / 'a.npz', **content)
    return scores


def write_cam(folder, labels=(3,), size=(20, 28)):
    cam = np.random.default_rng(2).random((len(labels), 5, 7)).astype(np.float16)
    np.savez(folder / 'a.npz', labels=np.array(labels, np.int16), cam=cam, size=np.array(size))
    return cam


def test_crf_scores_are_those_of_the_store(tmp_path, sample):
    scores = write_crf(tmp_path)
    results = LoadCRFScores()(sample())
    np.testing.assert_array_equal(results['crf_low'], scores.transpose(1, 2, 0))
    np.testing.assert_array_equal(results['crf_high'], scores.transpose(1, 2, 0) / 2)


def test_reduced_crf_scores_are_brought_to_the_size_of_the_image(tmp_path, sample):
    scores = write_crf(tmp_path, shape=(5, 7))
    low = LoadCRFScores()(sample())['crf_low']
    expected = upsample(torch.from_numpy(scores).float(), (20, 28)).permute(1, 2, 0)
    np.testing.assert_allclose(low, expected.numpy(), atol=1e-6)


def test_a_crf_store_that_does_not_fit_is_refused(tmp_path, sample):
    load = LoadCRFScores()
    with pytest.raises(FileNotFoundError, match=r'a\.npz'):
        load(sample())
    write_crf(tmp_path, labels=(3, 5))
    with pytest.raises(ValueError, match=r'a\.npz holds the classes \[3, 5\].*labels are \[3\]'):
        load(sample())
    write_crf(tmp_path, shape=(20, 27))
    with pytest.raises(ValueError, match=r'low is 20 x 27 .* of 20 x 28'):
        load(sample())
    write_crf(tmp_path, channels=1)  # the background is missing
    with pytest.raises(ValueError, match=r'low has the shape \(1, 20, 28\)'):
        load(sample())
    (tmp_path / 'a.npz').write_bytes(b'PK\x03\x04 cut off')
    with pytest.raises(ValueError, match=r'a\.npz is truncated'):
        load(sample())


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(low=np.full((2, 20, 28), 1.5)), r'low range from 1.5 to 1.5, outside \[0, 1\]'),
        (dict(high=np.full((2, 20, 28), -0.1)), r'high range from -0.1'),
        (dict(high=np.full((2, 20, 28), np.nan)), r'high range from nan'),
        (dict(low=np.full((2, 20, 28), np.inf)), r'low range from inf'),
        (dict(low=np.ones((2, 20, 28), np.uint8)), r'low is uint8, expected floats'),
        (dict(labels=np.array([20])), r'labels \[20\] are not different foreground .* 0..19'),
        (dict(labels=np.array([-1])), r'labels \[-1\]'),
        (dict(labels=np.array([3.0])), r'labels are float64'),
        (dict(labels=np.array([[3]])), r'labels are int64 of shape \(1, 1\)'),
    ],
)
def test_crf_scores_out_of_range_are_named(tmp_path, change, message, sample):
    scores = np.full((2, 20, 28), 0.5, np.float16)
    np.savez(
        tmp_path / 'a.npz', **{**dict(labels=np.array([3]), low=scores, high=scores), **change}
    )
    results = sample()
    del results['image_labels']
    with pytest.raises(ValueError, match=rf'a\.npz: {message}'):
        LoadCRFScores()(results)


@pytest.mark.parametrize('prob', [-0.1, 1.1, float('nan')])
def test_probability_of_a_flip_lies_in_0_to_1(prob):
    with pytest.raises(ValueError, match='prob must be a number'):
        RandomFlipScores(prob)
    with pytest.raises(ValueError, match='pool must be a whole number'):
        FuseLowHighAlpha(pool=0)


def test_cams_are_those_of_the_store(tmp_path, sample):
    cam = write_cam(tmp_path)
    seed = LoadCAM()(sample())['seed_cam']
    np.testing.assert_array_equal(seed.cam, cam.astype(np.float32))
    assert seed.labels.tolist() == [3]


def test_what_the_writer_stores_is_read_again(tmp_path, sample):
    writer = CAMStoreWriter(str(tmp_path))
    cam = torch.rand(2, 20, 28)
    writer.process(
        None,
        [
            dict(
                img_path='images/a.jpg',
                ori_shape=(20, 28),
                pred_cam=dict(cam=cam, labels=torch.tensor([0, 7])),
            )
        ],
    )
    seed = LoadCAM()(sample(labels=(0, 7)))['seed_cam']
    torch.testing.assert_close(seed.cam, cam.half().float())
    assert seed.labels.tolist() == [0, 7]


def test_a_cam_store_that_does_not_fit_is_refused(tmp_path, sample):
    load = LoadCAM()
    write_cam(tmp_path, labels=(4,))
    with pytest.raises(ValueError, match=r'a\.npz holds the classes \[4\]'):
        load(sample())
    write_cam(tmp_path, size=(28, 20))
    with pytest.raises(ValueError, match=r'a\.npz belongs to an image of 28 x 20'):
        load(sample())
    write_cam(tmp_path, labels=(20,))
    with pytest.raises(ValueError, match=r'a\.npz: labels \[20\]'):
        load(sample(labels=(20,)))


def test_an_image_without_classes(tmp_path, sample):
    write_cam(tmp_path, labels=())
    assert LoadCAM()(sample(labels=()))['seed_cam'].cam.shape == (0, 5, 7)


def test_crop_and_flip_move_image_and_scores_together():
    chain = Compose([RandomPadCropScores(crop_size=24), RandomFlipScores(prob=0.5)])
    seen = set()
    for _ in range(30):
        results = chain(with_scores())
        image, low, high = (results[k] for k in ('img', 'crf_low', 'crf_high'))
        assert image.shape == (24, 24, 3)
        assert results['img_shape'] == results['pad_shape'] == (24, 24)
        inside = image.any(-1)
        assert inside.sum() == 20 * 24
        np.testing.assert_array_equal(low[inside], image[inside][:, :2])
        np.testing.assert_array_equal(high[inside], low[inside] + 1)
        assert not low[~inside].any()
        assert not high[~inside].any()
        seen.add(image.tobytes())
    assert len(seen) > 15


@pytest.mark.parametrize(('prob', 'flipped'), [(0.0, False), (1.0, True)])
def test_flip_probability(prob, flipped):
    results = RandomFlipScores(prob)(with_scores())
    expected = picture()[:, ::-1] if flipped else picture()
    np.testing.assert_array_equal(results['img'], expected)


def test_fusion_and_packing(sample):
    results = sample(img=picture(16, 24), img_shape=(16, 24), ori_shape=(16, 24))
    results['crf_low'] = np.zeros((16, 24, 2), np.float16)
    results['crf_high'] = np.zeros((16, 24, 2), np.float16)
    results['crf_low'][:, :16] = (0.2, 0.8)  # foreground
    results['crf_high'][:, :8] = (0.1, 0.9)
    results['crf_high'][:, 8:16] = (0.9, 0.1)  # background for the high exponent: it wins
    packed = Compose([FuseLowHighAlpha(pool=8), PackAffinityInputs()])(results)
    label = packed['data_samples'].gt_affinity_label.data
    assert label.tolist() == [[[1, 0, 255], [1, 0, 255]]]
    assert isinstance(packed['data_samples'], SegDataSample)
    assert 'gt_sem_seg' not in packed['data_samples']
    np.testing.assert_array_equal(packed['inputs'].permute(1, 2, 0), picture(16, 24))


def test_the_seed_decides_the_draws(tmp_path, sample):
    write_crf(tmp_path)
    chain = Compose(
        [
            LoadCRFScores(),
            RandomPadCropScores(crop_size=16),
            RandomFlipScores(),
            FuseLowHighAlpha(),
        ]
    )

    def run(seed):
        np.random.seed(seed)
        results = chain(sample())
        return results['img'].tobytes(), results['gt_affinity_label'].data.tolist()

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize('kind', [LoadCAM, LoadCRFScores])
def test_the_data_set_says_where_the_store_is(sample, kind):
    results = {key: value for key, value in sample().items() if not key.endswith('_path')}
    with pytest.raises(ValueError, match=r'give the data set .* (cam|score)_dir'):
        kind()(results)


@pytest.mark.parametrize(
    ('config', 'key', 'loader'),
    [
        ('psa_voc_affinity', 'score_dir', 'train_dataloader'),
        ('psa_voc_affinity', 'cam_dir', 'val_dataloader'),
        ('psa_voc_affinity_vgg16', 'cam_dir', 'test_dataloader'),
        ('psa_mini_affinity', 'score_dir', 'train_dataloader'),
        ('psa_mini_affinity', 'cam_dir', 'test_dataloader'),
    ],
)
def test_a_store_that_a_child_config_names_is_the_one_that_is_read(tmp_path, config, key, loader):
    child = tmp_path / 'child.py'
    base = ROOT / f'configs/wsss/{config}.py'
    child.write_text(f'_base_ = {str(base)!r}\n{loader} = dict(dataset=dict({key}="elsewhere"))')
    dataset = Config.fromfile(child)[loader].dataset
    assert dataset[key] == 'elsewhere'
    assert not any('store' in step for step in dataset.pipeline)


@pytest.mark.parametrize(
    'name', ['psa_voc_affinity', 'psa_voc_affinity_vgg16', 'psa_coco_affinity']
)
def test_shipped_configs_read_their_stores(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(ROOT / f'configs/wsss/{name}.py')
    modes = [mode for mode in ('train', 'val', 'test') if config[f'{mode}_dataloader']]
    loaders = [config[f'{mode}_dataloader'].dataset for mode in modes]
    mask = np.full((20, 28), 4, np.uint8)
    for dataset in loaders:
        root, place = Path(dataset.data_root), DATASETS.get(dataset.type).SPLITS[dataset.split]
        for path in (place.images, place.masks or '', Path(place.ann_file).parent):
            (root / path).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture()).save(root / place.images / 'a.jpg')
        (root / place.ann_file).write_text('a\n')
        if place.masks:
            Image.fromarray(mask).save(root / place.masks / 'a.png')
    foreground = DATASETS.get(dataset.type).METAINFO['classes'][1:]
    write_label_file(root / dataset.label_file, {'a': [foreground[3]]})
    stores = (loaders[0].score_dir, write_crf), (loaders[1].cam_dir, write_cam)
    assert loaders[-1].cam_dir == loaders[1].cam_dir
    for store, write in stores:
        Path(store).mkdir(parents=True)
        write(Path(store))

    samples = {mode: DATASETS.build(loader)[0] for mode, loader in zip(modes, loaders, strict=True)}
    train, test = samples['train'], samples['test']
    assert train['inputs'].shape == (3, 448, 448)
    assert train['data_samples'].gt_affinity_label.data.shape == (1, 56, 56)
    for packed in list(samples.values())[1:]:
        assert packed['inputs'].shape == (3, 20, 28)
        assert packed['data_samples'].seed_cam.labels.tolist() == [3]
    if 'val' in samples:
        assert (samples['val']['data_samples'].gt_sem_seg.data == 4).all()
    for packed in (train, test):
        assert 'gt_sem_seg' not in packed['data_samples']


def write_two(folder, low, high, labels=(3,)):
    np.savez(folder / 'a.npz', labels=np.array(labels, np.int16), low=low, high=high)


@pytest.mark.parametrize('pad_label', [0, 255])
def test_two_label_maps_become_one(tmp_path, sample, pad_label):
    """Cropped and mirrored with the image, then the first pixel of each cell."""
    low = np.zeros((20, 28), np.uint8)
    low[:, 16:] = 4
    high = np.zeros_like(low)
    high[:, 8:] = 4
    write_two(tmp_path, low, high)
    results = LoadTwoLabels()(sample())
    assert results['crf_low'].shape == results['crf_high'].shape == (20, 28)
    image = results['img']
    results = RandomPadCropScores((24, 32), pad_label)(results)
    box = results['img'].any(-1)  # no pixel of the picture is black
    assert box.sum() == 20 * 28
    for key, label in (('crf_low', low), ('crf_high', high)):
        assert np.array_equal(results[key][box].reshape(20, 28), label)
        assert (results[key][~box] == pad_label).all()
    results = RandomFlipScores(1.0)(results)
    assert np.array_equal(results['img'][:, ::-1][box].reshape(20, 28, 3), image)
    both = results['crf_low'], results['crf_high']
    results = FuseTwoLabels(8)(results)
    label = results['gt_affinity_label'].data
    assert 'crf_low' not in results and label.dtype == torch.int64 and label.shape == (1, 3, 4)
    for y, x in np.ndindex(3, 4):
        first, second = (int(one[8 * y, 8 * x]) for one in both)
        assert label[0, y, x] == (first or (255 if second else 0))
    assert {0, 4, 255} <= set(label.flatten().tolist())


def test_two_label_maps_of_another_kind(tmp_path, sample):
    good = np.zeros((20, 28), np.uint8)
    for low, labels, message in (
        (good[1:], (3,), r'low is uint8 \(19, 28\), expected a label map uint8 \(20, 28\)'),
        (good.astype(np.float16), (3,), 'scores are read by LoadCRFScores'),
        (good + 3, (3,), r'low holds the labels \[3\]'),
        (good, (4,), r'holds the classes \[4\], but the image labels are \[3\]'),
    ):
        write_two(tmp_path, low, good, labels)
        with pytest.raises(ValueError, match=message):
            LoadTwoLabels()(sample())
    with pytest.raises(ValueError, match='fused by FuseLowHighAlpha'):
        FuseTwoLabels()(with_scores())
    with pytest.raises(ValueError, match='pad_label must be'):
        RandomPadCropScores(32, pad_label=1)
