"""The label rule against a plain one, the sweep against rule and matrix, and the operators."""

import numpy as np
import pytest
import torch

from mmwsss.ops.confusion import confusion_matrix
from mmwsss.ops.saliency import quantize, saliency_guided_label
from mmwsss.ops.saliency.operators import OPERATORS, gaussian_blur, rgb_to_lab
from mmwsss.ops.saliency.sweep import byte_thresholds, joint_histogram, sweep_confusions

NUM_CLASSES = 7
CUTS = (0, 1, 25, 26, 50, 51, 52, 76, 77, 127, 128, 254, 255)


def plain_label(maps, classes, saliency, tau, sal_thresh, ignore):
    """All channels and an argmax, as the published code has it; one image in numpy."""
    size = maps.shape[1:]
    scores = np.zeros((NUM_CLASSES, *size), np.float32)
    unit = [m / np.float32(255) if m.dtype == np.uint8 else m for m in (maps, saliency)]
    b = np.float32(unit[1] > np.float32(sal_thresh)) if sal_thresh > 0 else unit[1]
    scores[0] = 1 - b
    for c, a in zip(classes, unit[0], strict=True):
        scores[c + 1] = np.where(a < np.float32(tau), 0, a)
    label = scores.argmax(0).astype(np.uint8)
    if ignore:
        label[(b > 0) & (label == 0)] = 255
    return label


def random_case(seed, floats=False, count=3):
    """Maps whose bytes are mostly those where something changes, with many ties."""
    rng = np.random.default_rng(seed)
    values = rng.choice(CUTS, size=(count + 1, 11, 13)).astype(np.uint8)
    if floats:
        values = (np.float32(values) / 255 + rng.choice([0, 1e-3], values.shape)).clip(0, 1)
        values = values.astype(np.float32)
    classes = rng.permutation(NUM_CLASSES - 1)[:count]
    truth = rng.choice([*range(NUM_CLASSES), 255], size=(11, 13)).astype(np.uint8)
    return values[1:], classes, values[0], truth


@pytest.mark.parametrize('ignore', [False, True])
@pytest.mark.parametrize('sal_thresh', [0, 0.2, 0.5, 1])
@pytest.mark.parametrize('tau', [0, 0.1, 0.2, 0.5, 1])
def test_rule_is_an_argmax_over_all_channels(tau, sal_thresh, ignore):
    for seed in range(4):
        maps, classes, saliency, _ = random_case(seed, floats=seed % 2 == 1)
        label = saliency_guided_label(
            torch.from_numpy(maps)[None],
            torch.from_numpy(classes)[None],
            torch.from_numpy(saliency)[None],
            tau,
            sal_thresh,
            ignore,
        )
        expected = plain_label(maps, classes, saliency, tau, sal_thresh, ignore)
        np.testing.assert_array_equal(label[0].numpy(), expected)


def test_ties_with_the_threshold_differ_with_and_without_saliency():
    maps = torch.tensor([[[[50, 51, 52]]]], dtype=torch.uint8)
    salient, classes = torch.full((1, 1, 3), 255, dtype=torch.uint8), torch.tensor([[4]])
    assert saliency_guided_label(maps, classes, salient, 0.2).tolist() == [[[0, 5, 5]]]
    assert saliency_guided_label(maps, classes, None, 0.2).tolist() == [[[0, 0, 5]]]


def test_what_is_not_salient_is_background_whatever_the_activation():
    maps = torch.full((1, 1, 1, 2), 255, dtype=torch.uint8)
    saliency = torch.tensor([[[51, 52]]], dtype=torch.uint8)  # 0.2 is exactly 51
    label = saliency_guided_label(maps, torch.tensor([[0]]), saliency, ignore=True)
    assert label.tolist() == [[[0, 1]]]
    label = saliency_guided_label(0 * maps, torch.tensor([[0]]), saliency, ignore=True)
    assert label.tolist() == [[[0, 255]]]


def test_padded_classes_and_images_without_a_class():
    maps = torch.rand(3, 2, 4, 5)
    classes = torch.tensor([[3, 1], [2, -1], [-1, -1]])
    salient = torch.ones(3, 4, 5)
    label = saliency_guided_label(maps, classes, salient, 0.3, ignore=True)
    for image, used in ((0, 2), (1, 1)):
        alone = saliency_guided_label(
            maps[image : image + 1, :used],
            classes[image : image + 1, :used],
            salient[:1],
            0.3,
            ignore=True,
        )
        assert torch.equal(label[image], alone[0])
    assert (label[2] == 255).all()
    none = saliency_guided_label(maps[:, :0], classes[:, :0], salient)
    assert none.dtype == torch.uint8 and (none == 0).all()


def test_rule_refuses_what_cannot_be():
    maps, classes, saliency = torch.rand(1, 2, 3, 3), torch.tensor([[0, 1]]), torch.rand(1, 3, 3)
    with pytest.raises(ValueError, match='does not fit classes'):
        saliency_guided_label(maps, classes[:, :1], saliency)
    with pytest.raises(ValueError, match='saliency of shape'):
        saliency_guided_label(maps, classes, saliency[:, :2])
    with pytest.raises(ValueError, match='needs saliency'):
        saliency_guided_label(maps, classes, None, ignore=True)
    with pytest.raises(ValueError, match=r'-1 or 0\.\.253'):
        saliency_guided_label(maps, classes + 253, saliency)


def test_quantize_rounds_half_to_even():
    values = torch.tensor([0, 0.5, 1.5, 2.5, 254.4, 255]) / 255
    assert quantize(values).tolist() == [0, 0, 2, 2, 254, 255]
    assert torch.equal(quantize(byte_thresholds()), torch.arange(256, dtype=torch.uint8))


@pytest.mark.parametrize('floats', [False, True])
@pytest.mark.parametrize('mode', ['binary', 'soft', 'none'])
@pytest.mark.parametrize('ignore', [False, True])
def test_sweep_is_the_rule_followed_by_the_matrix(mode, floats, ignore):
    if mode == 'none' and ignore:
        pytest.skip('nothing to ignore')
    taus = [0, 0.1, 0.2, 0.3, 0.5, 1, 1.5]
    thresholds = [0.1, 0.2, 0.5, 0.999, 1.0] if mode == 'binary' else []
    total = torch.zeros(
        NUM_CLASSES, NUM_CLASSES, len(taus) + 1, (len(thresholds) or 1) + 1, dtype=torch.int64
    )
    expected = torch.zeros(
        len(taus), len(thresholds) or 1, NUM_CLASSES, NUM_CLASSES + 1, dtype=torch.int64
    )
    for seed in range(5):
        arrays = random_case(seed, floats, count=seed % 4)
        maps, classes, saliency, truth = map(torch.from_numpy, arrays)
        saliency = None if mode == 'none' else saliency
        rows, columns, counts = joint_histogram(
            maps, classes, saliency, truth, taus, thresholds, mode == 'soft', NUM_CLASSES
        )
        total[rows[:, None], columns] += counts
        for i, tau in enumerate(taus):
            for j, s in enumerate(thresholds or [0.0]):
                given = None if saliency is None else saliency[None]
                label = saliency_guided_label(maps[None], classes[None], given, tau, s, ignore)
                expected[i, j] += confusion_matrix(label[0], truth, NUM_CLASSES)
    assert torch.equal(sweep_confusions(total, ignore), expected)


def test_all_65536_pairs_in_one_pass():
    maps, classes, saliency, truth = map(torch.from_numpy, random_case(0))
    every = byte_thresholds()
    rows, columns, counts = joint_histogram(
        maps, classes, saliency, truth, every, every[1:], num_classes=NUM_CLASSES
    )
    total = torch.zeros(NUM_CLASSES, NUM_CLASSES, 257, 256, dtype=torch.int64)
    total[rows[:, None], columns] += counts
    matrices = sweep_confusions(total)
    assert matrices.shape[:2] == (256, 255)
    for m, s in ((0, 1), (26, 51), (128, 254), (255, 52), (77, 128)):
        label = saliency_guided_label(
            maps[None], classes[None], saliency[None], every[m].item(), every[s].item()
        )
        expected = confusion_matrix(label[0], truth, NUM_CLASSES)
        assert torch.equal(matrices[m, s - 1], expected)


def test_sweep_refuses_what_cannot_be():
    maps, classes, saliency, truth = map(torch.from_numpy, random_case(0))

    def run(**changes):
        given = dict(activation=maps, classes=classes, saliency=saliency, truth=truth)
        given |= dict(taus=[0, 0.5], sal_thresholds=[0.2], num_classes=NUM_CLASSES)
        return joint_histogram(**(given | changes))

    with pytest.raises(ValueError, match='increasing'):
        run(taus=[0.5, 0.5])
    with pytest.raises(ValueError, match='from above 0'):
        run(sal_thresholds=[0, 0.5])
    with pytest.raises(ValueError, match='belong to binary'):
        run(saliency=None)
    with pytest.raises(ValueError, match='does not fit'):
        run(truth=truth[1:])
    with pytest.raises(ValueError, match='not different foreground'):
        run(classes=torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match='not different foreground'):
        run(classes=torch.tensor([0, 1, NUM_CLASSES - 1]))


def two_grounds():
    """A small red disc on green with some noise, beside an image of one colour."""
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing='ij')
    disc = (y - 30) ** 2 + (x - 40) ** 2 < 8**2
    image = torch.where(disc, torch.tensor([230.0, 90, 90])[:, None, None], 0)
    image = torch.where(disc, image, torch.tensor([40.0, 160, 60])[:, None, None])
    noise = torch.randint(-15, 16, image.shape, generator=torch.Generator().manual_seed(0))
    return torch.stack([image + noise, torch.full_like(image, 90)]), disc


@pytest.mark.parametrize('name', OPERATORS)
def test_operators_find_what_stands_out(name):
    images, disc = two_grounds()
    maps = OPERATORS[name](images)
    assert maps.shape == (2, 60, 80) and maps.dtype == torch.float32
    assert maps[0].min() == 0 and maps[0].max() == pytest.approx(1, abs=1e-5)
    assert maps[0][disc].mean() > 2 * maps[0][~disc].mean()
    assert (maps[1] == 0).all()
    assert torch.equal(OPERATORS[name](images.byte()), maps)
    torch.testing.assert_close(OPERATORS[name](images[:1]), maps[:1])


def test_lab_of_known_colours():
    colours = torch.tensor([[255.0, 255, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]])
    lab = rgb_to_lab(colours.t().reshape(1, 3, 1, 4))[0, :, 0].t()
    known = torch.tensor([[100, 0, 0], [53.24, 80.09, 67.2], [32.3, 79.19, -107.86], [0, 0, 0]])
    torch.testing.assert_close(lab, known, atol=0.05, rtol=0)


def test_symmetric_surround_against_windows():
    image = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(0)) * 255
    lab = rgb_to_lab(image)[0]
    smooth = gaussian_blur(lab[None], 1.0)[0]
    expected = torch.zeros(6, 7)
    for y in range(6):
        for x in range(7):
            ry, rx = min(y, 5 - y), min(x, 6 - x)
            window = lab[:, y - ry : y + ry + 1, x - rx : x + rx + 1]
            expected[y, x] = (window.mean((1, 2)) - smooth[:, y, x]).norm()
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    torch.testing.assert_close(
        OPERATORS['maximum_symmetric_surround'](image)[0], expected, atol=1e-4, rtol=0
    )
