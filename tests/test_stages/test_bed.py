"""The bed on a few images: numbers, resuming, and everything that can be wrong with its inputs."""

import csv
import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmwsss.apis import run_bed
from mmwsss.datasets.label_list import read_label_list
from mmwsss.datasets.mini_render import CLASSES, render_mini
from mmwsss.ops.confusion import confusion_matrix, segmentation_scores
from mmwsss.ops.saliency import quantize, saliency_guided_label
from mmwsss.ops.saliency.operators import border_colour, frequency_tuned
from mmwsss.stages.bed import (
    parse_numbers,
    parse_saliency,
    parse_source,
    published_tables,
    report,
    retrain,
    run,
    scores,
)
from mmwsss.stages.bed.checks import check_source
from mmwsss.stages.bed.retrain import initial_weights, write_labels
from mmwsss.stages.saliency import LabelRule
from mmwsss.stores.cam_store import load_cam, save_cam
from mmwsss.utils.io import read_mask, write_mask

from ..processes import start

IDS = [f'im_{i}' for i in range(6)]


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch, request):
    """Blocks of two images; figures, which take most of the time, only where they are looked at."""
    monkeypatch.setattr(run, '_SMALLEST', 2)
    if 'page' not in request.node.name:
        monkeypatch.setattr(report, '_write_page', lambda *_: None)


@pytest.fixture
def data(tmp_path):
    """Six images with true masks, maps of 8 bits in four forms, and two saliencies."""
    for name in ('images', 'truth', 'store', 'png', 'npy', 'dense', 'border', 'tuned', 'masks'):
        (tmp_path / name).mkdir(exist_ok=True)
    labels = []
    for i, key in enumerate(IDS):
        image, mask, _ = render_mini('train', i)
        Image.fromarray(image).save(tmp_path / f'images/{key}.png')
        write_mask(tmp_path / f'truth/{key}.png', mask.astype(np.uint8))
        classes = np.unique(mask[mask > 0]) - 1
        labels.append(' '.join([key, *map(str, classes)]))
        batch = torch.from_numpy(image).permute(2, 0, 1)[None]
        rng = np.random.default_rng(i)
        maps = np.stack([0.7 * (mask == c + 1) + 0.3 * rng.random(mask.shape) for c in classes])
        maps = np.float32(maps * 255).round() / np.float32(255)
        save_cam(tmp_path / f'store/{key}.npz', classes, maps, mask.shape)
        every = np.zeros((len(CLASSES), *mask.shape), np.float32)
        every[classes] = maps
        np.save(tmp_path / f'dense/{key}.npy', every)
        np.save(tmp_path / f'npy/{key}.npy', dict(zip(classes.tolist(), maps, strict=True)))
        for c, values in zip(classes, maps, strict=True):
            write_mask(tmp_path / f'png/{key}_{c}.png', np.uint8(np.rint(values * 255)))
        for name, operator in (('border', border_colour), ('tuned', frequency_tuned)):
            write_mask(tmp_path / f'{name}/{key}.png', quantize(operator(batch)[0]).numpy())
        write_mask(tmp_path / f'masks/{key}.png', np.roll(mask, 3, 1).astype(np.uint8))
    (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES))
    (tmp_path / 'ids.txt').write_text('\n'.join(IDS))
    (tmp_path / 'labels.txt').write_text('\n'.join(labels))
    return tmp_path


def judge(data, out='out', **changes):
    """Run on the data; the rows of results.csv."""
    given = dict(
        dataset=str(data / 'classes.txt'),
        split=str(data / 'ids.txt'),
        gt=str(data / 'truth'),
        labels=str(data / 'labels.txt'),
        source=[f'CAM={data}/store'],
        saliency=[f'border={data}/border', 'none'],
        tau='0,0.1,0.3,0.5,0.8',
        sal_thresh='0,0.2,0.5',
        out=data / out,
        workers=1,
    )
    list(run_bed(**(given | changes)))
    return rows_of(data / out)


def rows_of(folder, name='results.csv'):
    with open(folder / name, newline='') as file:
        return list(csv.DictReader(file))


def plain_scores(data, tau, s, ignore, saliency, convention='background'):
    total = torch.zeros(len(CLASSES) + 1, len(CLASSES) + 2, dtype=torch.int64)
    for key in IDS:
        stored = load_cam(data / f'store/{key}.npz')
        given = None
        if saliency:
            given = torch.from_numpy(read_mask(data / f'{saliency}/{key}.png'))[None]
        label = saliency_guided_label(
            quantize(torch.from_numpy(stored.cam))[None],
            torch.from_numpy(stored.labels)[None],
            given,
            tau,
            s,
            ignore,
        )[0]
        truth = torch.from_numpy(read_mask(data / f'truth/{key}.png'))
        total += confusion_matrix(label, truth, len(CLASSES) + 1)
    return segmentation_scores(total, 'gt_present', convention)


def test_every_row_is_the_rule_and_its_matrix(data):
    rows = judge(data)
    assert len(rows) == 5 * 3 + 5
    for row in rows:
        saliency = None if row['saliency'] == 'none' else row['saliency']
        s = 0.0 if row['sal_thresh'] in ('soft', '') else float(row['sal_thresh'])
        ignore = saliency is not None
        assert row['ignore'] == ('yes' if ignore else 'no')
        found = plain_scores(data, float(row['tau']), s, ignore, saliency)
        assert float(row['mIoU']) == pytest.approx(100 * found['miou'].item(), abs=1e-4)
        assert float(row['ignored']) == pytest.approx(
            100 * (1 - found['coverage'].item()), abs=1e-4
        )
        without = plain_scores(data, float(row['tau']), s, ignore, saliency, 'exclude')
        assert float(row['mIoU_excluded']) == pytest.approx(100 * without['miou'].item(), abs=1e-4)
        iou = found['iou']
        assert float(row['IoU/background']) == pytest.approx(100 * iou[0].item(), abs=1e-4)
        precision = 100 * found['precision'][1:].nanmean().item()
        assert float(row['precision']) == pytest.approx(precision, abs=1e-4)
    assert any(float(row['ignored']) > 0 for row in rows)


def test_best_and_published_settings(data):
    rows = judge(data)
    (cell, none) = rows_of(data / 'out', 'best.csv')
    mine = [row for row in rows if row['saliency'] == 'border']
    best = max(mine, key=lambda row: float(row['mIoU']))
    assert (cell['best_tau'], cell['best_sal_thresh']) == (best['tau'], best['sal_thresh'])
    assert cell['best_found_on'] == 'ground truth'
    (preset,) = (r for r in mine if (r['tau'], r['sal_thresh']) == ('0.1', '0.2'))
    assert cell['preset_mIoU'] == preset['mIoU']
    gap = float(best['mIoU']) - float(preset['mIoU'])
    assert float(cell['best_minus_preset']) == pytest.approx(gap, abs=1e-3)
    column = [r for r in mine if r['sal_thresh'] == best['sal_thresh']]
    near = [float(r['tau']) for r in column if float(r['mIoU']) >= float(best['mIoU']) - 1]
    assert float(cell['tau_width_within_1']) <= max(near) - min(near)
    assert none['preset_mIoU'] == ''  # with saliency only
    with np.load(data / 'out/confusion.npz') as file:
        assert file['CAM__border'].shape == (5, 3, 11, 12)
        assert file['CAM__border__sal_thresh'].tolist() == [0, 0.2, 0.5]
        truth = [read_mask(data / f'truth/{key}.png').size for key in IDS]
        assert (file['CAM__border'].sum((2, 3)) == sum(truth)).all()


def test_published_thresholds_join_the_grid(data):
    rows = judge(data, tau='0.35', sal_thresh='0.4')
    pairs = {(r['tau'], r['sal_thresh']) for r in rows if r['saliency'] == 'border'}
    assert pairs == {(t, s) for t in ('0.1', '0.35') for s in ('0.2', '0.4')}
    rows = judge(data, 'other', tau='0.35', sal_thresh='0.4', preset='none')
    assert {(r['tau'], r['ignore']) for r in rows} == {('0.35', 'no')}


def test_all_forms_of_maps_give_the_same(data):
    names = ('store', 'png', 'npy', 'dense')
    rows = judge(data, source=[f'{n}={data}/{n}:{n},preset=CAM' for n in names])
    tables = [[{**r, 'source': ''} for r in rows if r['source'] == name] for name in names]
    assert len(tables[0]) == 20 and all(table == tables[0] for table in tables)


def test_floats_stay_what_they_are_on_demand(data):
    for key in IDS:
        stored = load_cam(data / f'store/{key}.npz')
        near = np.where(stored.cam > 0.5, 0.501, 0.0)  # 128 of 255 is more than 0.501
        save_cam(data / f'store/{key}.npz', stored.labels, near, stored.size)
    rounded = judge(data, 'rounded', tau='0.5015', saliency=['none'], preset='none')
    exact = judge(data, 'exact', tau='0.5015', saliency=['none'], preset='none', quantise=False)
    assert float(rounded[0]['recall']) > 50 and float(exact[0]['recall']) == 0


def test_finished_masks_and_maps_that_have_seen_saliency_take_part_once(data):
    sources = [f'L2G_border={data}/store', f'done={data}/masks:mask', f'CAM={data}/store']
    rows = judge(data, source=sources)
    cells = {(r['source'], r['saliency']) for r in rows}
    expected = {('L2G_border', 'none'), ('done', 'none'), ('CAM', 'border'), ('CAM', 'none')}
    assert cells == expected
    (mask,) = (r for r in rows if r['source'] == 'done')
    total = torch.zeros(11, 12, dtype=torch.int64)
    for key in IDS:
        pair = (torch.from_numpy(read_mask(data / f'{n}/{key}.png')) for n in ('masks', 'truth'))
        total += confusion_matrix(*pair, 11)
    miou = 100 * segmentation_scores(total, 'gt_present')['miou'].item()
    assert mask['tau'] == '' and float(mask['mIoU']) == pytest.approx(miou, abs=1e-4)
    best = {row['source']: row for row in rows_of(data / 'out', 'best.csv')}
    assert best['L2G_border']['preset_tau'] == '0.3' and best['done']['best_found_on'] == ''


def test_two_processes_give_the_tables_of_one(data):
    judge(data, 'one')
    judge(data, 'two', workers=2)
    for name in ('results.csv', 'best.csv'):
        assert (data / 'one' / name).read_bytes() == (data / 'two' / name).read_bytes()


def killed_run(data):
    """In a process of its own: killed when two blocks of images are done."""
    run._SMALLEST, count, done = 2, run._count, []

    def counted(block):
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        count(block)
        done.append(block)

    run._count = counted
    judge(data, 'killed')


def test_a_killed_run_goes_on_where_it_was(data):
    process = start(killed_run, data)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    blocks = sorted((data / 'killed/cells').rglob('0*.npz'))
    assert len(blocks) == 4 and not (data / 'killed/results.csv').exists()  # two cells each
    times = [path.stat().st_mtime_ns for path in blocks]
    judge(data, 'killed')
    assert [path.stat().st_mtime_ns for path in blocks] == times
    judge(data, 'whole')
    for name in ('results.csv', 'best.csv'):
        assert (data / 'killed' / name).read_bytes() == (data / 'whole' / name).read_bytes()


def test_only_new_cells_are_counted(data):
    judge(data)
    blocks = {p: p.stat().st_mtime_ns for p in (data / 'out/cells').rglob('*.npz')}
    assert len(blocks) == 6
    both = [f'border={data}/border', f'tuned={data}/tuned', 'none']
    rows = judge(data, saliency=both)
    assert {p: p.stat().st_mtime_ns for p in blocks} == blocks
    assert {r['saliency'] for r in rows} == {'border', 'tuned', 'none'}


def test_counts_of_other_settings_or_files_are_refused(data):
    before = judge(data)
    with pytest.raises(ValueError, match=r'other settings: taus.*--restart'):
        judge(data, tau='0,0.1,0.25')
    assert rows_of(data / 'out') == before
    time.sleep(0.01)
    os.utime(data / 'border/im_0.png')
    with pytest.raises(ValueError, match='other settings: saliency_files'):
        judge(data)
    changed = judge(data, tau='0.1,0.25', restart=True)
    assert {row['tau'] for row in changed} == {'0.1', '0.25'}


def test_damaged_counts_are_named_and_damaged_findings_are_made_again(data):
    before = judge(data)
    block = min((data / 'out/cells').rglob('0*.npz'))
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 0xFF
    block.write_bytes(content)
    with pytest.raises(ValueError, match=rf'{block.name} is truncated or not a store of'):
        judge(data)
    block.unlink()
    for cache, text in zip((data / 'out/checks').iterdir(), ('[]', '{"digest": 1'), strict=True):
        cache.write_text(text)
    assert judge(data) == before


def test_missing_maps_are_counted_before_any_work(data):
    (data / 'border/im_3.png').unlink()
    (data / 'store/im_1.npz').unlink()
    (data / 'store/im_2.npz').unlink()
    with pytest.raises(ValueError) as error:
        judge(data)
    assert 'source CAM: 2 of 6 images missing (im_1, im_2)' in str(error.value)
    assert 'saliency border: 1 of 6 images missing (im_3)' in str(error.value)
    assert not (data / 'out/cells').exists()
    judge(data, skip_incomplete=True)
    with np.load(data / 'out/confusion.npz') as file:
        left = sum(read_mask(data / f'truth/im_{i}.png').size for i in (0, 4, 5))
        assert file['CAM__none'][0, 0].sum() == left
    assert '3 images are left out of all cells' in (data / 'out/report.md').read_text()


def test_a_png_of_a_label_is_missing(data):
    gone = sorted((data / 'png').glob('im_2_*.png'))[0]
    gone.unlink()
    with pytest.raises(ValueError, match=f'1 of 6 images missing.*{gone.name}'):
        judge(data, source=[f'CAM={data}/png:png'])


def test_other_sizes_are_refused_or_resized(data):
    path = data / 'border/im_0.png'
    write_mask(path, read_mask(path)[1:])
    with pytest.raises(ValueError, match=r'saliency border: 1 of 6 images other size \(im_0\)'):
        judge(data)
    judge(data, resize=True)
    assert '1 of 6 images resized (im_0)' in (data / 'out/report.md').read_text()


def test_maps_of_another_image_are_refused(data):
    stored = load_cam(data / 'store/im_0.npz')
    save_cam(data / 'store/im_0.npz', stored.labels, stored.cam[:, :50, :70], (50, 70))
    with pytest.raises(ValueError, match=r'source CAM: 1 of 6 images other size.*50 x 70'):
        judge(data)


@pytest.mark.parametrize(
    'content, fault',
    [
        (np.full((4, 4), 255, np.uint8), 'constant'),
        (np.eye(4, dtype=np.uint8), 'with values 0 and 1 only'),
        (np.uint8(255 - 200 * np.eye(4)), 'perhaps inverted'),
        (np.uint8(np.random.default_rng(0).integers(0, 99, (4, 4, 3))), 'in colour (mode RGB)'),
    ],
)
def test_strange_saliency_is_reported_and_fatal_when_strict(data, content, fault):
    size = read_mask(data / 'truth/im_0.png').shape[::-1]
    Image.fromarray(content).resize(size, Image.Resampling.NEAREST).save(data / 'border/im_0.png')
    judge(data)
    report = (data / 'out/report.md').read_text()
    assert f'saliency border: 1 of 6 images {fault} (im_0)' in report
    with pytest.raises(ValueError, match=re.escape(fault)):
        judge(data, strict=True)


def saliency_of_floats(data):
    """The maps of ``border`` as ``.npy``."""
    (data / 'floats').mkdir()
    for key in IDS:
        np.save(data / f'floats/{key}.npy', read_mask(data / f'border/{key}.png') / 255)
    return dict(saliency=[f'border={data}/floats'])


def test_saliency_of_floats_gives_the_rows_of_its_pictures(data):
    given = saliency_of_floats(data)
    assert judge(data, 'floats_out', **given) == judge(data, saliency=[f'border={data}/border'])
    exact = judge(data, 'exact', **given, quantise=False)
    assert len(exact) == 15 and any(float(row['ignored']) > 0 for row in exact)


@pytest.mark.parametrize(
    'content, message',
    [
        (np.full((4, 5), 0.5), r'other size \(im_3\).*4 x 5'),
        (np.full((4, 5), 1.5), r'unreadable \(im_3\).*saliency from 1\.5 to 1\.5, outside'),
        (np.full((4, 5), -0.1), r'saliency from -0\.1 to -0\.1, outside'),
        (np.full((4, 5), np.nan), r'saliency from nan to nan, outside'),
        (
            np.full((4, 5), 200, np.uint8),
            r'im_3\.npy holds uint8 of shape \(4, 5\), expected floats',
        ),
        (np.full((1, 4, 5), 0.5), r'im_3\.npy holds float64 of shape \(1, 4, 5\)'),
        (np.array([{}]), r'im_3\.npy cannot be read as an array: Object arrays'),
        (b'no array', r'im_3\.npy cannot be read as an array'),
    ],
)
def test_saliency_arrays_that_are_none(data, content, message):
    given = saliency_of_floats(data)
    if isinstance(content, bytes):
        (data / 'floats/im_3.npy').write_bytes(content)
    else:
        np.save(data / 'floats/im_3.npy', content)
    with pytest.raises(ValueError, match=message) as error:
        judge(data, **given)
    assert 'saliency border: 1 of 6 images' in str(error.value)
    assert not (data / 'out/cells').exists()


def test_inverted_saliency_is_told_by_the_maps(data):
    for key in IDS:
        values = read_mask(data / f'border/{key}.png')
        write_mask(data / f'border/{key}.png', 120 - values // 3)
    judge(data)
    assert 'probably inverted: in 6 of 6 images' in (data / 'out/report.md').read_text()


def test_unreadable_files_are_named(data):
    (data / 'border/im_4.png').write_bytes(b'no picture')
    (data / 'store/im_4.npz').write_bytes(b'PK')
    with pytest.raises(ValueError) as error:
        judge(data)
    assert 'saliency border: 1 of 6 images unreadable (im_4)' in str(error.value)
    assert 'source CAM: 1 of 6 images unreadable (im_4)' in str(error.value)


def test_classes_out_of_range_are_named(data):
    stored = load_cam(data / 'store/im_0.npz')
    wrong = np.arange(len(stored.labels)) + len(CLASSES)
    save_cam(data / 'store/im_0.npz', wrong, stored.cam, stored.size)
    with pytest.raises(ValueError, match=r'1 of 6 images unreadable.*from 0\.\.9'):
        judge(data)
    lines = (data / 'labels.txt').read_text().splitlines()
    (data / 'labels.txt').write_text('\n'.join([*lines[:-1], f'{IDS[-1]} 3 10']))
    with pytest.raises(ValueError, match=r'1 of 6 images have classes outside 0\.\.9'):
        judge(data)


def test_maps_beyond_the_labels_are_left_out_and_reported(data):
    lines = (data / 'labels.txt').read_text().splitlines()
    (data / 'labels.txt').write_text('\n'.join([f'{IDS[0]}', *lines[1:]]))
    judge(data)
    report = (data / 'out/report.md').read_text()
    assert 'source CAM: 1 of 6 images with maps of classes not in the labels (im_0)' in report


def test_lists_that_do_not_overlap(data):
    (data / 'ids.txt').write_text('\n'.join(f'other_{i}' for i in range(6)))
    for i, key in enumerate(IDS):
        (data / f'truth/{key}.png').rename(data / f'truth/other_{i}.png')
    with pytest.raises(ValueError, match='6 of 6 images of the split are not in the image labels'):
        judge(data)
    with pytest.raises(ValueError, match=r'no image of the split has a file in .*other_0.*im_0'):
        judge(data, labels=None)


def test_binary_masks_are_no_truth(data):
    for path in [*(data / 'truth').glob('*.png'), *(data / 'masks').glob('*.png')]:
        write_mask(path, np.where(read_mask(path) > 0, 255, 0).astype(np.uint8))
    with pytest.raises(ValueError, match=r'not one of the 6 masks.*255'):
        judge(data)


def test_values_of_the_truth_are_looked_at_before_any_work(data):
    write_mask(data / 'truth/im_4.png', read_mask(data / 'truth/im_4.png') + np.uint8(90))
    with pytest.raises(ValueError, match=r'1 of 6 images unreadable \(im_4\): .*im_4\.png holds'):
        judge(data)
    assert not (data / 'out/cells').exists()


def test_two_maps_of_one_class(data):
    folder = data / 'two'
    for name in ('im_0_5', 'im_0_05'):
        write_mask(folder / f'{name}.png', np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r'im_0_05\.png and .*im_0_5\.png are of one class'):
        parse_source(f'CAM={folder}:png').open(10, None).files('im_0')


def test_truth_that_is_missing_or_is_the_source(data):
    with pytest.raises(ValueError, match='source done is the truth'):
        judge(data, source=[f'done={data}/truth:mask'])
    (data / 'truth/im_5.png').unlink()
    with pytest.raises(FileNotFoundError, match='no true mask for 1 of 6 images: im_5'):
        judge(data)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(source=['CAM']), 'NAME=FOLDER'),
        (dict(source=['CAM={}/store', 'CAM={}/png:png']), 'source names given more than once'),
        (dict(source=['CAM={}/png']), 'say what it is'),
        (dict(source=['CAM={}/store:store,png']), 'not several'),
        (dict(source=['CAM={}/store:store,wrong']), 'is none of'),
        (dict(source=['CAM={}/store:preset=X']), 'preset of source CAM'),
        (dict(source=['CAM={}/nowhere']), 'does not exist'),
        (dict(saliency=['none={}/border']), 'stands for no saliency'),
        (dict(saliency=['x=const:2']), 'constant saliency'),
        (dict(saliency=['x={}/nowhere']), 'does not exist'),
        (dict(tau='0.5,0.1'), 'increase'),
        (dict(tau='a'), 'START:END:STEP'),
        (dict(tau='0:1:0.001', sal_thresh='0:1:0.1'), 'at most 4096'),
        (dict(ignore='never'), 'ignore must be one of'),
        (dict(limit=0), 'limit'),
        (dict(write_labels='worst', images='{}/images'), 'best, preset or tau'),
        (dict(write_labels='best'), 'give --images'),
        (dict(retrain_crf='psa'), 'belong to --retrain'),
        (dict(retrain='{}/nowhere.py'), '--retrain: there is no config .*nowhere.py'),
        (dict(retrain='{}/ids.txt', seeds=(1, 1)), '--seeds given more than once: 1'),
        (dict(source=['A__B={}/store']), 'with a name of'),
        (dict(workers=0), 'processes'),
    ],
)
def test_arguments_that_cannot_work(data, changes, message):
    changes = {
        key: [v.format(data) for v in value]
        if isinstance(value, list)
        else (value.format(data) if isinstance(value, str) else value)
        for key, value in changes.items()
    }
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        judge(data, **changes)


@pytest.mark.parametrize('chosen', ['best', 'preset', 'tau=0.3,s=0.5'])
def test_written_labels_have_the_score_of_their_row(data, chosen):
    rows = judge(
        data, write_labels=chosen, images=str(data / 'images'), saliency=[f'b={data}/border']
    )
    best = rows_of(data / 'out', 'best.csv')[0]
    place = {
        'best': (best['best_tau'], best['best_sal_thresh']),
        'preset': ('0.1', '0.2'),
        'tau=0.3,s=0.5': ('0.3', '0.5'),
    }[chosen]
    (row,) = (r for r in rows if (r['tau'], r['sal_thresh']) == place)
    total = torch.zeros(11, 12, dtype=torch.int64)
    for key in IDS:
        folders = data / 'out/labels/CAM__b', data / 'truth'
        pair = (torch.from_numpy(read_mask(folder / f'{key}.png')) for folder in folders)
        total += confusion_matrix(*pair, 11)
    miou = segmentation_scores(total, 'gt_present', 'background')['miou'].item()
    assert 100 * miou == pytest.approx(float(row['mIoU']), abs=1e-4)


def test_what_labels_and_networks_need_is_looked_at_before_any_work(data):
    given = dict(write_labels='best', images=str(data / 'images'))
    (data / 'more.txt').write_text(f'{IDS[0]}\nelsewhere\n')
    with pytest.raises(FileNotFoundError, match='no image for 1 of 2 ids: elsewhere'):
        judge(data, **given, write_split=str(data / 'more.txt'))
    picture = next((data / 'images').glob(f'{IDS[0]}.*'))
    shutil.copyfile(picture, picture.with_stem('elsewhere'))
    with pytest.raises(ValueError, match='elsewhere'):
        judge(data, **given, write_split=str(data / 'more.txt'))
    config = Path(__file__).parents[2] / 'configs/segmentation/deeplabv1_resnet38_mini.py'
    network = dict(retrain=str(config), retrain_options={'no_key.x': 1})
    with pytest.raises(ValueError, match=r'option no_key\.x: .* has no no_key'):
        judge(data, **given, **network)
    assert not (data / 'out/cells').exists()


def test_written_labels_are_those_of_their_image_labels(data):
    given = dict(saliency=['none'], write_labels='tau=0.3,s=0', images=str(data / 'images'))
    judge(data, **given)
    lines = (data / 'labels.txt').read_text().splitlines()
    fewer = [lines[0].rsplit(' ', 1)[0], *lines[1:]]
    (data / 'labels.txt').write_text('\n'.join(fewer))
    with pytest.raises(ValueError, match='other settings: labels:'):
        write_labels(
            data / 'out/labels/CAM__none',
            parse_source(f'CAM={data}/store'),
            parse_saliency('none'),
            LabelRule(0.3, 0, ignore=False, use_saliency=False),
            data / 'images',
            IDS,
            len(CLASSES),
            read_label_list(data / 'labels.txt', list(CLASSES)),
            processes=1,
        )


def test_findings_of_other_class_counts_are_not_taken(data):
    source = parse_source(f'CAM={data}/store')
    truths = {key: data / f'truth/{key}.png' for key in IDS}

    def fatal(count):
        opened = source.open(count, None)
        return check_source('CAM', opened, truths, False, 1, data / 'cache.json').fatal()

    assert not list(fatal(len(CLASSES)))
    assert list(fatal(1)), 'some maps are of class 1 and above'


def test_labels_of_sources_without_published_settings(data):
    with pytest.raises(ValueError, match='has no published settings'):
        judge(
            data,
            source=[f'mine={data}/store'],
            write_labels='preset',
            images=str(data / 'images'),
        )
    assert not (data / 'out').exists()  # said before any work


def test_page_needs_nothing_else_and_says_what_matters(data):
    judge(data, saliency=[f'border={data}/border', f'VST_COCO={data}/tuned', 'all=const:1'])
    page = (data / 'out/index.html').read_text()
    sources = re.findall(r'(?:src|href)="(.{0,22})', page)
    assert len(sources) == 1 + 1 + 3 and set(sources) == {'data:image/svg+xml;bas'}
    assert '<script' not in page and 'url(' not in page
    assert 'best thresholds were found on the ground truth' in page
    assert 'trained on masks of the same classes' in page
    rows = rows_of(data / 'out', 'best.csv')
    assert [r['saliency_uses_masks'] for r in rows] == ['no', 'yes', 'no']
    for name in ('bars.png', 'tau_CAM.png', 'heat_CAM__border.png'):
        assert Image.open(data / 'out' / name).size[0] > 300


def test_only_a_look_at_the_files(data):
    lines = run_bed(
        str(data / 'classes.txt'),
        [f'CAM={data}/store'],
        data / 'out',
        split=str(data / 'ids.txt'),
        gt=str(data / 'truth'),
        check=True,
        workers=1,
    )
    assert list(lines) == ['6 images, 1 cells: no findings']
    assert not (data / 'out/results.csv').exists()


class FakePipeline:
    """Remembers how it was made; its metrics are the seed."""

    made = []

    def __init__(self, path, root, cfg_options, launch, restart):
        self.seed = cfg_options['randomness.seed']
        self.made.append((Config.fromfile(path).stages, root))

    def run(self):
        val, crf = (dict(metrics=dict(mIoU=score + self.seed)) for score in (50.0, 60.0))
        return dict(val=val, val_crf=crf)


def test_networks_are_trained_in_folders_of_their_own(data, monkeypatch):
    monkeypatch.setitem(retrain.__globals__, 'Pipeline', FakePipeline)
    FakePipeline.made = []
    config = data / 'network.py'
    config.write_text('model = dict()')
    judge(data, retrain=str(config), seeds=[0, 2], images=str(data / 'images'),
          saliency=[f'border={data}/border'])  # fmt: skip
    roots = [root for _, root in FakePipeline.made]
    assert roots == [data / f'out/retrain/CAM__border/seed{s}' for s in (0, 2)]
    stages = FakePipeline.made[0][0]
    masks = stages[0]['options']['train_dataloader.dataset.mask_dir']
    assert masks == str(data / 'out/labels/CAM__border') and len(os.listdir(masks)) == 7
    assert [r['mIoU'] for r in rows_of(data / 'out', 'retrained.csv')] == ['50.0000', '52.0000']
    assert '51.0 ± 1.4' in (data / 'out/report.md').read_text()


def test_page_says_what_the_networks_are_and_draws_the_published_ones_beside_them(
    data, monkeypatch
):
    monkeypatch.setitem(retrain.__globals__, 'Pipeline', FakePipeline)
    name = str(data / 'classes.txt')
    table = dict(CAM=dict(MOVE=(69.3, 0.1), border=(63.2, 0.3)))
    tables = replace(published_tables(), source='begun from masks of COCO', miou={name: table})
    for module in (report, scores):
        monkeypatch.setattr(module, 'published_tables', lambda: tables)
    drawn = []
    draw = report.draw_bars
    monkeypatch.setattr(report, 'draw_bars', lambda *a: drawn.append(a) or draw(*a))
    config = data / 'network.py'
    config.write_text("model = dict(backbone=dict(init_cfg=dict(checkpoint='imagenet.pth')))")
    given = dict(saliency=[f'border={data}/border', f'MOVE={data}/tuned'], seeds=[0, 2])
    given |= dict(images=str(data / 'images'), write_labels='tau=0.3,s=0.2')
    judge(data, **given)
    judge(data, **given, retrain=str(config), retrain_options={'model.a': 1}, retrain_crf='psa')
    assert [[bool(pair) for pair in bars[4]] for bars in drawn] == [[False] * 2] * 2 + [[True] * 2]
    assert drawn[-1][6] == 'network, val + CRF'
    texts = ((data / 'out' / name).read_text() for name in ('report.md', 'index.html'))
    for text in texts:
        networks = text.index('Networks trained on the labels, val + CRF')
        assert networks < text.index('begun from masks of COCO')
        for fact in (
            f'network: {config}, with model.a=1',
            'starts from: backbone.init_cfg.checkpoint=imagenet.pth',
            'labels: at tau=0.3,s=0.2',
            'seeds: 0, 2',
            'CRF: psa',
        ):
            assert networks < text.index(fact) < text.index('61.0 ± 1.4'), fact
    (row, *_) = rows_of(data / 'out', 'retrained.csv')
    assert (row['config'], row['crf']) == (str(config), 'psa')
    assert row['starts_from'] == 'backbone.init_cfg.checkpoint=imagenet.pth'


def test_weights_that_a_network_starts_from():
    folder = 'configs/segmentation/deeplabv2_r101_bed'
    assert 'deeplab_resnet101_imagenet.pth' in initial_weights(f'{folder}_voc.py')
    coco = initial_weights(f'{folder}-coco-init_voc.py')
    assert coco == 'backbone.init_cfg.checkpoint=pretrained/deeplab_resnet101_coco.pth'
    assert initial_weights(f'{folder}_voc.py', dict(load_from='x.pth')) == 'load_from=x.pth'
    mmseg = 'configs/segmentation/deeplabv3plus_r50_pseudo_voc.py'
    assert initial_weights(mmseg) == 'pretrained=open-mmlab://resnet50_v1c'
    without = {'model.backbone.init_cfg': None}
    assert initial_weights(f'{folder}_voc.py', without) == 'no weights named in the config'


NETWORK = f"""
model = dict(type='EncoderDecoder')
train_cfg = dict(max_iters=6)
train_dataloader = dict(dataset=dict(
    type='mmwsss.ImageLabelDataset', metainfo=dict(classes=('background', *{CLASSES!r})),
    data_prefix=dict(img_path='images'), img_suffix='.png', ann_file='ids.txt', pipeline=[]))
test_dataloader = train_dataloader
test_evaluator = [dict(type='mmwsss.WSSSIoUMetric')]
"""


def test_networks_are_trained_by_the_stages_of_a_pipeline(folder, data):
    """Only train.py and test.py are stand-ins: 50 mIoU, 60 with a CRF."""
    (data / 'network.py').write_text(NETWORK)
    given = dict(retrain='network.py', images=str(data / 'images'), tools=folder)
    given |= dict(saliency=[f'border={data}/border'], seeds=[1, 2], retrain_crf='psa')
    judge(data, **given)
    masks = str(data / 'out/labels/CAM__border')
    for seed in (1, 2):
        stages = data / f'out/retrain/CAM__border/seed{seed}/retrain'
        trained = Config.fromfile(stages / 'network.py')
        assert trained.train_dataloader.dataset.mask_dir == masks
        assert trained.randomness.seed == seed
        assert (stages / 'network/log').read_text() == '0 1 2 3 4 5 '
    assert [r['mIoU'] for r in rows_of(data / 'out', 'retrained.csv')] == ['60.0000'] * 2
    judge(data, **given)  # goes on: nothing is trained again
    assert (stages / 'network/log').read_text() == '0 1 2 3 4 5 '


def test_published_tables():
    tables = published_tables()
    assert {len(v) for v in tables.miou['voc12'].values()} == {22} and len(
        tables.miou['voc12']
    ) == 7
    assert [len(v) for v in tables.miou['coco14'].values()] == [14] * 4
    assert tables.find('voc12', 'CAM', 'MOVE') == (69.3, 0.1)
    assert tables.find('voc12', 'EPS_VST_COCO20', None) == (74.3, 0.1)
    assert tables.find('coco14', 'L2G_VST_DUTS', None) == (45.1, 0.0)
    assert tables.find('voc12', 'CAM', None) is None and tables.find('mini', 'CAM', 'MOVE') is None


def test_words_of_the_command_line(tmp_path):
    assert parse_numbers('0:0.3:0.1', 'x') == (0, 0.1, 0.2, 0.3)
    assert parse_numbers('0.2', 'x') == (0.2,)
    eps = parse_source(f'EPS_MOVE={tmp_path}:png')
    assert not eps.use_saliency and eps.preset == LabelRule(0.2, 0.2, False, False)
    cam = parse_source(f'x={tmp_path}:preset=DRS,wo_sal')
    assert cam.preset == LabelRule(0.5, 0.2, False, False) and cam.kind is None
    assert parse_source(f'CAM={tmp_path}', preset=False).preset is None
    assert parse_saliency(f'VST_COCO20={tmp_path}').uses_masks
    assert not parse_saliency(f'VST_DUTS={tmp_path}').uses_masks
    assert parse_saliency(f'mine={tmp_path}:masks').uses_masks
    assert parse_saliency('all=const:0.5').place == 0.5
