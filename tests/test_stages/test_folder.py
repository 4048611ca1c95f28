"""Dense CRF on folders: results, resuming, and bad input."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmwsss.datasets.mini_render import render_mini
from mmwsss.ops.dense_crf import dense_crf, refine_labels
from mmwsss.ops.resize import upsample
from mmwsss.stages import (
    LowHighFromCAMs,
    MasksFromCAMs,
    MasksFromMasks,
    ScoresFromCAMs,
    TwoLabelsFromCAMs,
    run_folder,
)
from mmwsss.stores.cam_store import save_cam
from mmwsss.stores.score_store import load_scores
from mmwsss.utils.io import read_mask, write_mask

IDS = ('a', 'b', 'c')


@pytest.fixture
def folders(tmp_path):
    """Three images, their masks, and maps at half the size of the image."""
    for name in ('images', 'cams', 'masks'):
        (tmp_path / name).mkdir()
    for i, name in enumerate(IDS):
        image, mask, _ = render_mini('val', i)
        Image.fromarray(image).save(tmp_path / f'images/{name}.png')
        write_mask(tmp_path / f'masks/{name}.png', mask.astype(np.uint8))
        labels = np.unique(mask[mask > 0]) - 1
        maps = np.stack([(mask == k + 1).astype(np.float32) for k in labels])[:, ::2, ::2]
        save_cam(tmp_path / f'cams/{name}.npz', labels, maps * 0.8, mask.shape)
    return tmp_path


def expected_posterior(folder, name, power, preset='psa'):
    with np.load(folder / f'cams/{name}.npz') as file:
        cam, labels = torch.from_numpy(file['cam'].astype(np.float32)), file['labels']
    image = np.array(Image.open(folder / f'images/{name}.png'))
    cam = upsample(cam, image.shape[:2])
    scores = torch.cat([(1 - cam.amax(0, keepdim=True)) ** power, cam])
    return dense_crf(torch.from_numpy(image), scores, preset=preset), labels


@pytest.mark.parametrize('processes', [1, 2])
def test_masks_from_cams(folders, processes):
    work = MasksFromCAMs(power=2, crf=dict(preset='psa'))
    out = folders / 'out'
    assert run_folder(work, folders / 'cams', folders / 'images', out, None, processes) == 3
    for name in IDS:
        posterior, labels = expected_posterior(folders, name, 2)
        keys = np.concatenate([[0], labels + 1])
        assert np.array_equal(read_mask(out / f'{name}.png'), keys[posterior.argmax(0)])


def test_classes_beyond_the_colours_are_refused(folders):
    colours = [[0, 0, 0], [9, 9, 9]]
    work = MasksFromCAMs(crf=dict(preset='psa', iterations=0), palette=colours)
    image, source = np.zeros((8, 8, 3), np.uint8), folders / 'cams/d.npz'
    save_cam(source, np.array([1]), np.ones((1, 4, 4), np.float32), (8, 8))
    with pytest.raises(ValueError, match=r'd\.npz: labels \[1\] are not .* classes from 0\.\.0'):
        work(image, source, folders / 'd.png')
    two = TwoLabelsFromCAMs(num_labels=2, crf=dict(preset='psa', iterations=0))
    with pytest.raises(ValueError, match=r'd\.npz: labels \[1\] are not'):
        two(image, source, folders / 'd.npz')
    save_cam(source, np.array([0]), np.ones((1, 4, 4), np.float32), (8, 8))
    work(image, source, folders / 'd.png')
    assert (read_mask(folders / 'd.png') == 1).all()


def test_constant_background(folders):
    """A background above all maps leaves nothing; one below all foreground keeps it."""
    for background, kept in ((0.99, False), (0.3, True)):
        out = folders / f'out{background}'
        work = MasksFromCAMs(background=background, crf=dict(preset='psa', iterations=0))
        run_folder(work, folders / 'cams', folders / 'images', out, ['a'])
        assert (read_mask(out / 'a.png') > 0).any() == kept


def test_unsure_pixels_are_ignored(folders):
    work = MasksFromCAMs(power=2, confidence=0.9, crf=dict(preset='psa', iterations=0))
    run_folder(work, folders / 'cams', folders / 'images', folders / 'out', ['a'])
    sure = MasksFromCAMs(power=2, crf=dict(preset='psa', iterations=0))
    run_folder(sure, folders / 'cams', folders / 'images', folders / 'sure', ['a'])
    mask, all_sure = read_mask(folders / 'out/a.png'), read_mask(folders / 'sure/a.png')
    ignored = mask == 255
    assert 0 < ignored.mean() < 0.5
    assert np.array_equal(mask[~ignored], all_sure[~ignored])


def test_low_and_high(folders):
    work = LowHighFromCAMs(4, 32, dict(preset='psa'))
    run_folder(work, folders / 'cams', folders / 'images', folders / 'out')
    with np.load(folders / 'out/b.npz', allow_pickle=False) as file:
        for name, power in (('low', 4), ('high', 32)):
            posterior, labels = expected_posterior(folders, 'b', power)
            assert np.abs(file[name] - posterior.numpy()).max() < 1e-3
            assert file[name].dtype == np.float16
        assert np.array_equal(file['labels'], labels)


def test_low_and_high_at_a_reduced_size(folders):
    for name, stride in (('full', 1), ('small', 4)):
        work = LowHighFromCAMs(4, 32, dict(preset='psa'), stride)
        run_folder(work, folders / 'cams', folders / 'images', folders / name, ['a'])
    size = read_mask(folders / 'masks/a.png').shape
    _, full, _ = load_scores(folders / 'full/a.npz', size)
    _, small, _ = load_scores(folders / 'small/a.npz', size)
    assert small.shape[1:] == (-(-size[0] // 4), -(-size[1] // 4))
    first = full[:, :4, :4].astype(np.float32).mean(axis=(1, 2))
    np.testing.assert_allclose(small[:, 0, 0], first, atol=1e-3)


def test_scores(folders):
    work = ScoresFromCAMs(24, dict(preset='psa'))
    run_folder(work, folders / 'cams', folders / 'images', folders / 'out', ['b'])
    with np.load(folders / 'out/b.npz', allow_pickle=False) as file:
        posterior, labels = expected_posterior(folders, 'b', 24)
        assert file['scores'].dtype == np.float16
        assert np.abs(file['scores'] - posterior.numpy()).max() < 1e-3
        assert np.array_equal(file['labels'], labels)


def test_two_labels(folders):
    """Each background gives a map of its own; absent classes take part in the CRF."""
    work = TwoLabelsFromCAMs((0.7, 0.1), 0.6, 11, dict(preset='irn'))
    run_folder(work, folders / 'cams', folders / 'images', folders / 'out', ['b'])
    with np.load(folders / 'out/b.npz', allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    with np.load(folders / 'cams/b.npz') as file:
        cam, labels = torch.from_numpy(file['cam'].astype(np.float32)), file['labels']
    image = torch.from_numpy(np.array(Image.open(folders / 'images/b.png')))
    best, place = upsample(cam, image.shape[:2]).max(0)
    assert np.array_equal(found['labels'], labels)
    for name, background in (('low', 0.7), ('high', 0.1)):
        seed = torch.tensor(labels + 1)[place].masked_fill(best <= background, 0)
        expected = refine_labels(image, seed, 0.6, num_labels=11, preset='irn')
        assert found[name].dtype == np.uint8
        assert np.array_equal(found[name], expected)
    assert (found['low'] > 0).sum() < (found['high'] > 0).sum()


def test_masks_from_masks(folders):
    truth = read_mask(folders / 'masks/a.png')
    noisy = truth.copy()
    noisy[np.random.default_rng(0).random(truth.shape) < 0.2] = 255
    write_mask(folders / 'masks/a.png', noisy)
    work = MasksFromMasks(0.7, dict(preset='irn'))
    run_folder(work, folders / 'masks', folders / 'images', folders / 'out', ['a'])
    refined = read_mask(folders / 'out/a.png')
    assert (refined == truth).mean() > 0.95
    work = MasksFromMasks(0.7, dict(preset='irn'), num_labels=11)
    run_folder(work, folders / 'masks', folders / 'images', folders / 'all', ['a'])
    image = torch.from_numpy(np.array(Image.open(folders / 'images/a.png')))
    expected = refine_labels(image, torch.from_numpy(noisy), num_labels=11, preset='irn')
    assert np.array_equal(read_mask(folders / 'all/a.png'), expected)


def test_goes_on_where_it_stopped(folders):
    work = MasksFromCAMs(power=2)
    out = folders / 'out'
    run_folder(work, folders / 'cams', folders / 'images', out, ['b'])
    before = (out / 'b.png').stat().st_mtime_ns
    assert run_folder(work, folders / 'cams', folders / 'images', out) == 2
    assert (out / 'b.png').stat().st_mtime_ns == before
    assert run_folder(work, folders / 'cams', folders / 'images', out) == 0


def test_other_settings_are_refused(folders):
    run_folder(MasksFromCAMs(2), folders / 'cams', folders / 'images', folders / 'out', ['b'])
    with pytest.raises(ValueError, match='results of other settings'):
        run_folder(MasksFromCAMs(3), folders / 'cams', folders / 'images', folders / 'out')


def test_changed_inputs_are_refused_or_done_anew(folders):
    """Another picture or other maps behind a finished file; new ones only extend."""
    args = MasksFromCAMs(2), folders / 'cams', folders / 'images', folders / 'out'
    run_folder(*args, ['a', 'b'])
    assert run_folder(*args) == 1
    before = read_mask(folders / 'out/b.png')
    Image.fromarray(render_mini('val', 7)[0]).resize(before.shape[::-1]).save(
        folders / 'images/b.png'
    )
    with pytest.raises(ValueError, match=r'inputs of 1 images have changed since \(b\)'):
        run_folder(*args)
    assert np.array_equal(read_mask(folders / 'out/b.png'), before)
    assert run_folder(*args, restart=True) == 3
    assert not np.array_equal(read_mask(folders / 'out/b.png'), before)


def test_images_of_another_folder_are_refused(folders):
    shutil.copytree(folders / 'images', folders / 'others')
    run_folder(MasksFromCAMs(2), folders / 'cams', folders / 'images', folders / 'out')
    with pytest.raises(ValueError, match=r'images: .*images -> .*others'):
        run_folder(MasksFromCAMs(2), folders / 'cams', folders / 'others', folders / 'out')


@pytest.mark.parametrize('same', ['masks', 'images'])
def test_output_is_not_input(folders, same):
    before = {p: p.read_bytes() for p in (folders / same).iterdir()}
    with pytest.raises(ValueError, match='would be overwritten'):
        run_folder(MasksFromMasks(), folders / 'masks', folders / 'images', folders / same)
    assert {p: p.read_bytes() for p in (folders / same).iterdir()} == before


@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_the_picture_is_seen_upright(tmp_path, orientation):
    upright, mask, _ = render_mini('val', 0)
    turns = {1: 0, 3: 2, 6: 1}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / 'images').mkdir()
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(upright, turns)))
    turned.save(tmp_path / 'images/a.png', exif=exif)
    write_mask(tmp_path / 'masks/a.png', mask.astype(np.uint8))
    run_folder(MasksFromMasks(), tmp_path / 'masks', tmp_path / 'images', tmp_path / 'out')
    expected = refine_labels(torch.from_numpy(upright), torch.from_numpy(mask), 0.7)
    assert np.array_equal(read_mask(tmp_path / 'out/a.png'), expected)


def test_a_mask_beside_its_picture_is_not_taken_for_it(folders):
    Image.new('RGB', (9, 9)).save(folders / 'images/a.jpg')
    with pytest.raises(ValueError, match=r'a\.jpg and .*a\.png have the same image id'):
        run_folder(MasksFromCAMs(), folders / 'cams', folders / 'images', folders / 'out')
    (folders / 'images/a.jpg').rename(folders / 'images/._a.jpg')
    (folders / 'images/b.json').write_text('{}')
    (folders / 'cams/.a.1234.npz').write_bytes(b'left behind')
    assert run_folder(MasksFromCAMs(), folders / 'cams', folders / 'images', folders / 'out') == 3


def test_binary_masks_are_refused(folders):
    for name in IDS:
        mask = read_mask(folders / f'masks/{name}.png')
        write_mask(folders / f'masks/{name}.png', (mask > 0).astype(np.uint8) * 255)
    with pytest.raises(ValueError, match='binary masks of 0 and 255'):
        run_folder(MasksFromMasks(), folders / 'masks', folders / 'images', folders / 'out')
    assert not (folders / 'out').exists()


@pytest.mark.parametrize(
    'make',
    [
        lambda: MasksFromCAMs(power=0),
        lambda: MasksFromCAMs(power=float('nan')),
        lambda: MasksFromCAMs(background=7),
        lambda: MasksFromCAMs(confidence=2),
        lambda: MasksFromCAMs(image='turned'),
        lambda: MasksFromCAMs(crf=dict(preset='pssa')),
        lambda: MasksFromCAMs(crf=dict(bilateral_srgb=float('nan'))),
        lambda: MasksFromCAMs(crf=dict(sxy=3)),
        lambda: LowHighFromCAMs(32, 4),
        lambda: LowHighFromCAMs(0, 4),
        lambda: MasksFromMasks(gt_prob=1),
        lambda: MasksFromMasks(crf=dict(backend='gpu')),
        lambda: MasksFromMasks(num_labels=0),
        lambda: ScoresFromCAMs(power=0),
        lambda: ScoresFromCAMs(crf=dict(preset='pssa')),
        lambda: TwoLabelsFromCAMs((0.25, 0.6)),
        lambda: TwoLabelsFromCAMs((0.6, 0.25, 0.1)),
        lambda: TwoLabelsFromCAMs(gt_prob=0),
    ],
)
def test_values_out_of_range(make):
    with pytest.raises(ValueError, match=r'must be|presets are|finite|no parameter'):
        make()


def test_processes_out_of_range(folders):
    with pytest.raises(ValueError, match='processes must be a whole number'):
        run_folder(MasksFromCAMs(), folders / 'cams', folders / 'images', folders / 'out', None, 0)
    assert not (folders / 'out').exists()


def test_missing_files_are_counted_and_named(folders):
    work = MasksFromCAMs()
    with pytest.raises(FileNotFoundError, match='for 2 of 3 ids: x, y'):
        run_folder(work, folders / 'cams', folders / 'images', folders / 'out', ['a', 'x', 'y'])
    (folders / 'images/c.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'no image for 1 of 3 ids: c'):
        run_folder(work, folders / 'cams', folders / 'images', folders / 'out')
    assert not (folders / 'out').exists()


@pytest.mark.parametrize('processes', [1, 2])
def test_a_broken_file_does_not_stop_the_others(folders, processes):
    path = folders / 'cams/b.npz'
    path.write_bytes(path.read_bytes()[:-60])
    out = folders / 'out'
    with pytest.raises(RuntimeError, match=r'(?s)1 of 3 images failed.*b \(.*truncated'):
        run_folder(MasksFromCAMs(), folders / 'cams', folders / 'images', out, None, processes)
    assert {p.name for p in out.glob('*.png')} == {'a.png', 'c.png'}


def test_map_of_another_size_is_an_error(folders):
    Image.new('RGB', (50, 40)).save(folders / 'images/a.png')
    with pytest.raises(RuntimeError, match=r'a .*40 x 50'):
        run_folder(MasksFromCAMs(), folders / 'cams', folders / 'images', folders / 'out')


def test_tool(folders, run_tool):
    options = ('--low-high', 4, 32, '--processes', 2)
    done = run_tool('dense_crf.py', 'cams', 'images', 'out', *options, cwd=folders)
    assert done.returncode == 0, done.stderr
    assert '3 images done' in done.stdout
    assert len(list((folders / 'out').glob('*.npz'))) == 3
