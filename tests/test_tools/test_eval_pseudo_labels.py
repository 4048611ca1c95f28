"""Judging folders of masks and maps: equal to plain counting, in one process and in two."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.stages.evaluate import CONVENTIONS, PredictionFolder, eval_folder
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils.io import read_mask, write_mask

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'analysis_tools' / 'eval_pseudo_labels.py'
CLASSES = ('background', 'boat', 'car', 'cow')
IDS = [f'image_{i}' for i in range(7)]


def write_split(root):
    """Truths, masks with ignored pixels, and maps in three formats."""
    rng = np.random.default_rng(0)
    data = []
    (root / 'official').mkdir()
    (root / 'irn').mkdir()
    for key in IDS:
        height, width = size = tuple(rng.integers(8, 20, 2).tolist())
        truth = rng.integers(0, 4, size).astype(np.uint8)
        pred = np.where(rng.random(size) < 0.5, truth, rng.integers(0, 4, size)).astype(np.uint8)
        pred[rng.random(size) < 0.1] = 255
        labels = np.sort(rng.choice(3, rng.integers(1, 4), replace=False))
        noise = rng.random((len(labels), height, width))
        cam = (0.5 * noise + 0.4 * (truth == labels[:, None, None] + 1)).astype(np.float16)
        truth[rng.random(size) < 0.1] = 255
        write_mask(root / 'truth' / f'{key}.png', truth)
        write_mask(root / 'masks' / f'{key}.png', pred, palette=[[9, 9, 9]] * 4)
        save_cam(root / 'store' / f'{key}.npz', labels, cam, size)
        np.save(root / 'official' / f'{key}.npy', dict(zip(labels.tolist(), cam, strict=True)))
        np.save(root / 'irn' / f'{key}.npy', dict(keys=labels, high_res=cam))
        data.append((truth, pred, labels, cam.astype(np.float32)))
    (root / 'split.txt').write_text('\n'.join(IDS))
    (root / 'classes.txt').write_text('\n'.join(CLASSES[1:]))
    return data


def iou_of(pairs):
    """IoU per class by plain counting."""
    values = []
    for c in range(len(CLASSES)):
        hit = sum(((t == c) & (p == c)).sum() for t, p in pairs)
        union = sum((((t == c) | (p == c)) & (t != 255)).sum() for t, p in pairs)
        values.append(hit / union)
    return np.array(values) * 100


def judge(root, folder, **kwargs):
    predictions = PredictionFolder(root / folder, root / 'truth', IDS, len(CLASSES))
    return eval_folder(predictions, CLASSES, **kwargs)


@pytest.mark.parametrize(
    'convention, change',
    [
        ('default', lambda t, p: (t, p)),
        ('irn', lambda t, p: (t, np.where(p == 255, 0, p))),
        ('afa', lambda t, p: (np.where(p == 255, 255, t), p)),
    ],
)
def test_masks_with_ignored_pixels(tmp_path, convention, change):
    data = write_split(tmp_path)
    scores = judge(tmp_path, 'masks', convention=convention)
    iou = iou_of([change(truth, pred) for truth, pred, *_ in data])
    assert scores['mIoU'] == pytest.approx(iou.mean())
    assert [scores[f'IoU/{c}'] for c in CLASSES] == pytest.approx(iou.tolist())
    assert 0 < scores['coverage'] < 100


def test_maps_of_all_formats_give_the_best_threshold_of_a_loop(tmp_path):
    data = write_split(tmp_path)
    thresholds = [0.2, 0.35, 0.5, 0.65]
    curve = []
    for t in np.array(thresholds, np.float16):
        pairs = [
            (truth, np.where(cam.max(0) > t, labels[cam.argmax(0)] + 1, 0))
            for truth, _, labels, cam in data
        ]
        curve.append(iou_of(pairs).mean())
    for folder in ('store', 'official', 'irn'):
        scores = judge(tmp_path, folder, backgrounds=[thresholds])
        assert scores['best_mIoU'] == pytest.approx(max(curve)), folder
        assert scores['best_threshold'] == thresholds[int(np.argmax(curve))]


@pytest.mark.parametrize('share', [1.0, 0.5])
def test_a_guess_is_the_first_class_in_a_box(tmp_path, share):
    data, pairs = write_split(tmp_path), []
    for truth, _, labels, _ in data:
        guess = np.full(truth.shape, labels[0] + 1)
        for axis, side in enumerate(truth.shape):
            margin = round(side * (1 - np.sqrt(share)) / 2)
            inside = (margin <= np.arange(side)) & (np.arange(side) < side - margin)
            guess = np.where(inside[:, None] if axis == 0 else inside, guess, 0)
        pairs.append((truth, guess))
    assert judge(tmp_path, 'store', guess=share)['mIoU'] == pytest.approx(iou_of(pairs).mean())
    with pytest.raises(ValueError, match='masks holds masks'):
        judge(tmp_path, 'masks', guess=share)


def test_small_maps_are_brought_to_the_size_of_the_truth(tmp_path):
    write_mask(tmp_path / 'truth' / 'a.png', np.repeat([[1, 0]], 8, 0).repeat(8, 1).astype('u1'))
    cam = np.array([[[1.0, 0.0]]]).repeat(2, 1)
    save_cam(tmp_path / 'store' / 'a.npz', np.array([0]), cam, (8, 16))
    predictions = PredictionFolder(tmp_path / 'store', tmp_path / 'truth', ['a'], 2)
    assert eval_folder(predictions, CLASSES[:2], [[0.5]])['mIoU'] == 100


def test_command_line_in_one_and_in_two_processes(tmp_path, run_tool):
    write_split(tmp_path)
    (tmp_path / 'truth' / 'meta.json').write_text('{"overlap": "small"}')  # of the COCO converter
    options = ['store', 'truth', '--split', 'split.txt', '--classes', 'classes.txt']
    options += ['--background', 'range:0:1:0.05', 'power:[1,2,4]', '--convention', 'seam']
    reports = []
    for processes, launcher in ((1, 'none'), (2, 'pytorch')):
        out = launcher
        arguments = [*options, '--out', out, '--launcher', launcher]
        done = run_tool(TOOL, *arguments, cwd=tmp_path, processes=processes)
        assert done.returncode == 0, done.stderr[-3000:]
        assert 'range/best_mIoU: ' in done.stdout and 'power/best_power: ' in done.stdout
        for kind in ('range', 'power'):
            assert (tmp_path / out / f'wsss_iou_{kind}.png').stat().st_size > 1000
            reports.append(json.loads((tmp_path / out / f'wsss_iou_{kind}.json').read_text()))
    assert reports[:2] == reports[2:]
    assert reports[0]['num_images'] == len(IDS) and reports[0]['empty'] == 'zero'
    assert reports[0]['tags']['convention'] == 'seam' and reports[0]['tags']['truth'] == 'truth'
    assert reports[0]['tags']['gt_rule']['overlap'] == 'small'
    assert len(reports[0]['curve']['mIoU']) == 20 and reports[1]['curve']['powers'] == [4, 2, 1]


def test_conventions_of_the_command_line_exist(run_tool, tmp_path):
    done = run_tool('analysis_tools/eval_pseudo_labels.py', '--help', cwd=tmp_path)
    assert f'{{{",".join(CONVENTIONS)}}}' in done.stdout


def test_missing_files_are_counted_and_named(tmp_path):
    write_split(tmp_path)
    for key in IDS[1:3]:
        (tmp_path / 'masks' / f'{key}.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'no prediction .* 2 of 7 .*: image_1, image_2'):
        judge(tmp_path, 'masks')
    (tmp_path / 'truth' / 'image_6.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'no truth .* for 1 of 7 .*: image_6'):
        judge(tmp_path, 'store')


def test_wrong_files_are_named(tmp_path):
    write_split(tmp_path)
    with pytest.raises(ValueError, match='is both the predictions and the truth'):
        judge(tmp_path, 'truth')
    truth = PredictionFolder(tmp_path / 'masks', tmp_path / 'truth', IDS, 4)[0]['gt_sem_seg']
    height, width = truth['data'].shape[1:]
    path = tmp_path / 'masks' / 'image_0.png'
    write_mask(path, np.zeros((height + 1, width), np.uint8))
    with pytest.raises(ValueError, match=rf'0.png is {height + 1} x {width} .* {height} x'):
        judge(tmp_path, 'masks')
    write_mask(path, np.full((height, width), 4, np.uint8))
    with pytest.raises(ValueError, match=r'image_0.png holds the values \[4\], .* classes 0..3'):
        judge(tmp_path, 'masks')
    save_cam(tmp_path / 'store' / 'image_0.npz', np.array([0]), np.zeros((1, 4, 4)), (4, 4))
    with pytest.raises(ValueError, match=r'image_0.npz belongs to an image of 4 x 4'):
        judge(tmp_path, 'store')
    np.save(tmp_path / 'official' / 'image_0.npy', {0: np.zeros((height, width + 3), 'f4')})
    with pytest.raises(ValueError, match=rf'image_0.npy is {height} x {width + 3} '):
        judge(tmp_path, 'official')
    (tmp_path / 'masks' / 'image_1.npz').touch()
    with pytest.raises(ValueError, match=r'masks holds \.png, \.npz files; expected one kind'):
        judge(tmp_path, 'masks')


def test_hidden_files_are_no_predictions(tmp_path):
    write_split(tmp_path)
    expected = judge(tmp_path, 'masks')
    for name in ('._image_0.npz', '.image_0.1f2e.npy', '.DS_Store'):
        (tmp_path / 'masks' / name).touch()
    assert judge(tmp_path, 'masks') == expected
    (tmp_path / 'masks' / 'image_3.png').rename(tmp_path / 'masks' / '._image_3.png')
    with pytest.raises(FileNotFoundError, match=r'no prediction .* for 1 of 7 .*: image_3'):
        judge(tmp_path, 'masks')


def test_broken_links_are_missing_files(tmp_path):
    write_split(tmp_path)
    (tmp_path / 'truth' / 'image_2.png').unlink()
    (tmp_path / 'truth' / 'image_2.png').symlink_to(tmp_path / 'nowhere.png')
    with pytest.raises(FileNotFoundError, match=r'no truth .* for 1 of 7 .*: image_2'):
        judge(tmp_path, 'masks')


@pytest.mark.parametrize('folder', ['masks', 'truth'])
def test_masks_that_hold_no_classes_are_named(tmp_path, folder):
    write_split(tmp_path)
    path = tmp_path / folder / 'image_1.png'
    with Image.open(path) as image:
        size = image.size[::-1]
    for array, message in (
        (np.full(size, 257, np.uint16), 'its mode is I;16'),
        (np.zeros((*size, 3), np.uint8), 'its mode is RGB'),
        (np.full(size, 9, np.uint8), r'holds the values \[9\]'),
    ):
        Image.fromarray(array).save(path)
        with pytest.raises(ValueError, match=rf'{folder}/image_1\.png .*{message}'):
            judge(tmp_path, 'masks')


@pytest.mark.parametrize('folder', ['masks', 'store'])
def test_a_truth_of_0_and_255_is_refused(tmp_path, folder):
    write_split(tmp_path)
    for key in IDS:
        with Image.open(tmp_path / 'truth' / f'{key}.png') as image:
            write_mask(tmp_path / 'truth' / f'{key}.png', np.uint8(np.array(image) == 1) * 255)
    with pytest.raises(ValueError, match=r'not one of the 7 true masks .*image_0\.png.*divide by'):
        judge(tmp_path, folder)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Run the tool's ``main`` with arguments in a folder with a split."""
    spec = importlib.util.spec_from_file_location('eval_pseudo_labels', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write_split(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(predictions, *options):
        arguments = ['--split', 'split.txt', '--classes', 'classes.txt', '--workers', '0']
        monkeypatch.setattr(sys, 'argv', [TOOL.name, predictions, 'truth', *arguments, *options])
        module.main()

    return run


def test_errors_of_workers_are_one_line(tool, tmp_path):
    """Not the traceback of the process in which they happened."""
    path = tmp_path / f'masks/{IDS[-1]}.png'
    write_mask(path, np.full(read_mask(path).shape, 77, np.uint8))
    with pytest.raises(SystemExit, match=rf'^error: masks/{path.name} holds the values \[77\]'):
        tool('masks', '--workers', '1')


@pytest.mark.parametrize(
    'options, message',
    [
        (['--workers', '-1'], 'num_workers must be a whole number'),
        (['--background', '1.5'], r"'1.5' .*lie in \[0, 1\]"),
        (['--background', 'nan'], r'lie in \[0, 1\]'),
        (['--background', '0.3,0.2'], 'increase'),
        (['--background', '0.3;0.4'], "'0.3;0.4' .*could not convert"),
        (['--background', 'range:0:1:0'], 'the step must be'),
        (['--background', 'range:0:1:0.1', 'power:[-1]'], 'powers must be positive'),
        (['--background', 'range:0:1:0.1', 'range:0:1:0.2'], 'more than once: range'),
        (['--out', 'store'], 'which is also the predictions'),
        (['--out', './truth/'], 'which is also the truth'),
    ],
)
@pytest.mark.parametrize('predictions', ['store', 'masks'])
def test_bad_arguments_end_it_before_anything_is_written(
    tool, tmp_path, predictions, options, message
):
    if options[1] == 'store':
        options = ['--out', predictions]
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        tool(predictions, *options)
    assert sorted(tmp_path.rglob('*')) == before


def test_the_report_lies_beside_the_folder(tool, tmp_path, capsys):
    tool('store', '--background', '0.2,0.4', '--baseline')
    report = json.loads((tmp_path / 'eval_store' / 'wsss_iou.json').read_text())
    assert report['curve']['thresholds'] == [0.2, 0.4]
    said = capsys.readouterr().out
    assert f'report: {tmp_path}/eval_store' in said
    assert 'first class everywhere, mIoU: ' in said and 'first class in a box, mIoU: ' in said


@pytest.mark.parametrize('content, rule', [('{"overlap": "small"}', 'small'), ('[1]', None)])
def test_notes_beside_the_truth(tool, tmp_path, content, rule):
    (tmp_path / 'truth' / 'meta.json').write_bytes(b'\xef\xbb\xbf' + content.encode())
    tool('masks', '--out', 'report')
    tags = json.loads((tmp_path / 'report' / 'wsss_iou.json').read_text())['tags']
    assert tags.get('gt_rule', {}).get('overlap') == rule


def test_class_names_and_ids_that_do_not_fit(tmp_path):
    write_split(tmp_path)
    predictions = PredictionFolder(tmp_path / 'masks', tmp_path / 'truth', IDS, len(CLASSES))
    with pytest.raises(ValueError, match='3 class names for predictions of 4 classes'):
        eval_folder(predictions, CLASSES[:3])
    with pytest.raises(ValueError, match='names car, Car more than once'):
        eval_folder(predictions, ('background', 'boat', 'car', 'Car'))
    with pytest.raises(ValueError, match='image ids given more than once: image_0'):
        PredictionFolder(tmp_path / 'masks', tmp_path / 'truth', [*IDS, IDS[0]], len(CLASSES))
