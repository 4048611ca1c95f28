"""Large images are looked at window by window."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmwsss.apis import WSSSInferencer
from mmwsss.apis import windows as api
from mmwsss.apis.windows import class_presence
from mmwsss.datasets.mini import MiniDataset
from mmwsss.testing.tiny_clip import tiny_clip_state
from mmwsss.utils.images import fit_sides

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/wsss/clip_es_mini.py'
CLASSES = list(MiniDataset.METAINFO['classes'][1:])
SIDE = 64


def tiny(**options) -> WSSSInferencer:
    """CLIP-ES on a CLIP of a few thousand random weights."""
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.update(checkpoint=tiny_clip_state(), quick_gelu=True)
    return WSSSInferencer(cfg, ['cow', 'cat'], ['sky'], device='cpu', crf=None, **options)


@pytest.fixture(scope='module')
def windows() -> WSSSInferencer:
    return tiny(window=SIDE, stride=40)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_an_image_that_fits_is_what_it_is_without_windows(windows):
    image = noise(48, SIDE)
    got, plain = (i(image, ['cow', 'cat'])['predictions'] for i in (windows, tiny()))
    assert np.array_equal(got.cams, plain.cams)
    assert np.array_equal(got.mask, plain.mask)


def test_a_window_as_large_as_the_image_is_the_plain_result(windows, monkeypatch):
    """The road of windows, taken by an image that would not need it."""
    image = noise(48, SIDE)
    plain = windows(image, ['cow', 'cat'])['predictions']
    monkeypatch.setattr(windows, '_is_whole', lambda item: False)
    got = windows(image, ['cow', 'cat'])['predictions']
    # the whole image and its one window are the same view: the mean of two equal maps
    np.testing.assert_allclose(got.cams, plain.cams, atol=1e-5)
    assert (got.mask != plain.mask).mean() < 1e-3


BOXES = [(0, 0, 70, 100), *((y, x, SIDE, SIDE) for y in (0, 6) for x in (0, 36))]
PRESENCE = torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.5, 1.0], [0.0, 0.3], [0.7, 0.0]])


def views(image: np.ndarray) -> list[np.ndarray]:
    return [fit_sides(image[y : y + h, x : x + w], 32, SIDE) for y, x, h, w in BOXES]


@pytest.mark.parametrize('batch_size', [1, 3])
def test_merging_by_a_plain_formula(windows, batch_size, monkeypatch):
    """Views one by one, by the road of small images, of the classes that are present in each."""
    image, names = noise(70, 100), ['cow', 'cat']
    up, down = np.zeros((2, 70, 100)), np.zeros((2, 70, 100))
    for (y, x, h, w), view, share in zip(BOXES, views(image), PRESENCE.numpy(), strict=True):
        present = [name for name, r in zip(names, share, strict=True) if r > 0]
        if not present:
            continue
        maps = torch.from_numpy(windows(view, present)['predictions'].cams)
        maps = torch.nn.functional.interpolate(maps[None], (h, w), mode='bilinear')[0].numpy()
        for k, cam in zip(np.flatnonzero(share), maps, strict=True):
            up[k, y : y + h, x : x + w] += share[k] ** 2 * cam
            down[k, y : y + h, x : x + w] += share[k]
    monkeypatch.setattr(api, 'class_presence', lambda scores: PRESENCE)
    got = windows([image], [names], batch_size=batch_size)['predictions'][0]
    assert got.cams.shape == (2, 70, 100)
    # products of batches are rounded otherwise, and the maps of random weights are stretched
    atol = 1e-4 if batch_size == 1 else 1e-3
    np.testing.assert_allclose(got.cams, up / np.maximum(down, 1e-9), atol=atol)
    assert set(np.unique(got.mask)) <= {0, 1, 2}


def test_presence():
    scores = torch.tensor([[0.9, 0.02, 0.3], [0.05, 0.01, 0.004], [0.3, 0.0005, 0.006]])
    expected = torch.tensor([[1, 1, 1], [0.5, 0.5, 0], [1, 0, 0.06]])
    torch.testing.assert_close(class_presence(scores), expected)
    assert class_presence(torch.zeros(4, 0)).shape == (4, 0)


def test_labels_are_those_of_any_view(windows):
    image = noise(70, 100)
    alone = [windows(view, label_threshold=0)['predictions'].scores for view in views(image)]
    scores = np.max(alone, axis=0)
    threshold = float(scores.mean())
    got = windows(image, label_threshold=threshold)['predictions']
    np.testing.assert_allclose(got.scores, scores, atol=1e-5)
    assert got.labels.tolist() == np.flatnonzero(scores > threshold).tolist()
    none = windows(image, [])['predictions']
    assert none.cams.shape == (0, 70, 100)
    assert not none.mask.any()


def test_only_some_images_need_windows(windows):
    images = [noise(48, 60), noise(70, 100), noise(60, 48)]
    labels = [['cow'], ['cat'], ['cat']]
    out = windows(images, labels, batch_size=3, show_progress=False)['predictions']
    assert [r.mask.shape for r in out] == [(48, 60), (70, 100), (60, 48)]
    assert [r.label_names for r in out] == labels
    assert np.array_equal(out[2].cams, windows(images[2], ['cat'])['predictions'].cams)


def test_no_view_is_larger_than_a_window(windows, monkeypatch):
    seen = []
    predict = windows.model.predict

    def spy(inputs, samples):
        seen.extend(tuple(image.shape[-2:]) for image in inputs)
        assert len(samples) <= 2
        return predict(inputs, samples)

    monkeypatch.setattr(windows.model, 'predict', spy)
    windows([noise(200, 300)], [['cow']], batch_size=2)
    assert len(seen) > 4
    assert max(max(size) for size in seen) == SIDE


def test_images_are_kept_large_up_to_a_bound():
    small = tiny(window=SIDE, max_side=100, original_size=False)
    assert small(noise(150, 200), ['cow'])['predictions'].mask.shape == (75, 100)
    assert tiny(window=SIDE).max_side == 4096
    assert tiny().max_side == 512
    assert tiny(window=96).stride == 64


def test_windows_are_among_the_settings(windows):
    assert {key: windows.settings()[key] for key in ('window', 'stride')} == dict(
        window=SIDE, stride=40
    )
    assert 'window' not in tiny().settings()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(window=63), 'window must be a whole number in .64'),
        (dict(window=64.0), 'window must be'),
        (dict(stride=10), 'stride is that of windows'),
        (dict(window=64, stride=65), 'stride must be a whole number in .1, 64'),
        (dict(window=64, stride=0), 'stride must be'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)
