"""WSSSIoUMetric: equal to mmseg's metric, to plain loops and to itself in two processes."""

import json
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample
from PIL import Image

from mmwsss.evaluation import WSSSIoUMetric
from mmwsss.visualization.curve import draw_sweep

from ..processes import SERVER, run_ranks

CLASSES = ('background', 'boat', 'car', 'cow')


def make_sample(index: int, seed: int | None = None, pred_255: bool = False) -> SegDataSample:
    rng = np.random.default_rng(index if seed is None else seed)
    height, width = rng.integers(8, 20, 2)
    truth = rng.integers(0, len(CLASSES), (1, height, width))
    pred = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 4, truth.shape))
    truth[rng.random(truth.shape) < 0.1] = 255
    if pred_255:
        pred[rng.random(pred.shape) < 0.2] = 255
    labels = np.sort(rng.choice(3, rng.integers(0, 4), replace=False))
    cam = rng.random((len(labels), height, width), dtype=np.float32)
    sample = SegDataSample(metainfo=dict(img_path=f'images/{index}.jpg'))
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth))
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(pred))
    sample.pred_cam = BaseDataElement(cam=torch.from_numpy(cam), labels=torch.from_numpy(labels))
    return sample


def judge(metric, samples, size=None) -> dict:
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dict(classes=CLASSES)
    evaluator.process(samples)
    return evaluator.evaluate(len(samples) if size is None else size)


def loop_scores(pairs) -> tuple[dict, np.ndarray]:
    """Scores and IoU by plain loops over classes; ``pairs`` are (truth, prediction) arrays."""
    iou, fp, fn, acc = [], [], [], []
    for c in range(len(CLASSES)):
        hit = sum(((t == c) & (p == c)).sum() for t, p in pairs)
        over = sum(((t != c) & (t != 255) & (p == c)).sum() for t, p in pairs)
        under = sum(((t == c) & (p != c)).sum() for t, p in pairs)
        union = hit + over + under
        iou.append(hit / union)
        fp.append(over / union)
        fn.append(under / union)
        acc.append(hit / (hit + under))
    valid = sum((t != 255).sum() for t, _ in pairs)
    right = sum(((t == p) & (t != 255)).sum() for t, p in pairs)
    predicted_fg = sum(((t != 255) & (p > 0) & (p < 4)).sum() for t, p in pairs)
    wrong_fg = sum(((t == 0) & (p > 0) & (p < 4)).sum() for t, p in pairs)
    covered = sum(((t != 255) & (p != 255)).sum() for t, p in pairs)
    scores = dict(
        mIoU=np.mean(iou),
        mIoU_fg=np.mean(iou[1:]),
        pAcc=right / valid,
        mAcc=np.mean(acc),
        FP=np.mean(fp),
        FN=np.mean(fn),
        FP_bg=fp[0],
        FN_bg=fn[0],
        FP_fg=np.mean(fp[1:]),
        FN_fg=np.mean(fn[1:]),
        coverage=covered / valid,
        among_predfg_bg=wrong_fg / predicted_fg,
    )
    return {key: 100 * value for key, value in scores.items()}, 100 * np.array(iou)


def arrays(samples):
    fields = [(s.gt_sem_seg.data[0], s.pred_sem_seg.data[0]) for s in samples]
    return [(truth.numpy().copy(), pred.numpy().copy()) for truth, pred in fields]


def test_equals_mmseg_iou_metric():
    samples = [make_sample(i) for i in range(6)]
    ours = judge(WSSSIoUMetric(), samples)
    theirs = judge(IoUMetric(), samples)
    assert ours['mIoU'] == pytest.approx(theirs['mIoU'], abs=0.01)
    assert ours['mAcc'] == pytest.approx(theirs['mAcc'], abs=0.01)
    assert ours['pAcc'] == pytest.approx(theirs['aAcc'], abs=0.01)


def test_another_field_is_judged_alike():
    samples = [make_sample(i) for i in range(4)]
    expected = judge(WSSSIoUMetric(), samples)
    for sample in samples:
        sample.pred_pseudo_mask = sample.pred_sem_seg
        sample.pred_sem_seg = PixelData(data=torch.zeros_like(sample.pred_pseudo_mask.data))
    both = [WSSSIoUMetric(prefix='seg'), WSSSIoUMetric(prefix='mask', field='pred_pseudo_mask')]
    scores = judge(both, samples)
    assert scores['mask/mIoU'] == pytest.approx(expected['mIoU'])
    assert scores['seg/mIoU'] < expected['mIoU']


@pytest.mark.parametrize('pred_ignore', ['miss', 'exclude', 'background'])
def test_every_key_equals_plain_loops(pred_ignore):
    samples = [make_sample(i, pred_255=True) for i in range(5)]
    pairs = arrays(samples)
    coverage = loop_scores(pairs)[0]['coverage']
    for truth, pred in pairs:
        if pred_ignore == 'exclude':
            truth[pred == 255] = 255
        if pred_ignore == 'background':
            pred[pred == 255] = 0
    expected, iou = loop_scores(pairs)
    expected['coverage'] = coverage
    expected.update({f'IoU/{c}': v for c, v in zip(CLASSES, iou, strict=True)})
    got = judge(WSSSIoUMetric(pred_ignore=pred_ignore, classwise=True), samples)
    assert got == pytest.approx(expected, abs=1e-9)


def seed_at(sample, threshold):
    cam, labels = sample.pred_cam.cam.numpy(), sample.pred_cam.labels.numpy()
    scores = np.concatenate([np.full((1, *cam.shape[1:]), threshold, np.float32), cam])
    return np.concatenate([[0], labels + 1])[scores.argmax(0)]


@pytest.mark.parametrize(
    'spec, thresholds',
    [
        ([0.2, 0.5, 0.8], [0.2, 0.5, 0.8]),
        ('range:0:1:0.1', [i / 10 for i in range(10)]),
        ('power:[1, 2, 4]', [0.2755080, 0.3819660, 0.5]),
    ],
)
def test_sweep_equals_one_evaluation_per_threshold(spec, thresholds):
    samples = [make_sample(i) for i in range(8)]
    truths = [t for t, _ in arrays(samples)]
    runs = [
        loop_scores([(t, seed_at(s, x)) for t, s in zip(truths, samples, strict=True)])[0]
        for x in thresholds
    ]
    best = int(np.argmax([run['mIoU'] for run in runs]))
    got = judge(WSSSIoUMetric(background_thresholds=spec), samples)
    assert {key: got[key] for key in runs[best]} == pytest.approx(runs[best], abs=1e-9)
    assert got['best_mIoU'] == got['mIoU']
    assert got['best_threshold'] == pytest.approx(thresholds[best], abs=1e-6)
    if isinstance(spec, str) and spec.startswith('power'):
        assert got['best_power'] == [4, 2, 1][best]


def test_smaller_maps_are_brought_to_the_size_of_the_truth():
    small, large = make_sample(0), make_sample(0)
    shape = small.gt_sem_seg.data.shape[1:]
    small.pred_cam.cam = torch.rand(len(small.pred_cam.labels), 3, 4)
    maps = small.pred_cam.cam[None]
    large.pred_cam.cam = F.interpolate(maps, size=shape, mode='bilinear')[0]
    scores = [judge(WSSSIoUMetric(background_thresholds=[0.3, 0.6]), [s]) for s in (small, large)]
    assert scores[0] == pytest.approx(scores[1], nan_ok=True)


def test_report_holds_matrix_curve_and_tags(tmp_path):
    samples = [make_sample(i) for i in range(3)]
    metric = WSSSIoUMetric(
        background_thresholds=[0.1, 0.6], output_dir=str(tmp_path), tags=dict(split='val')
    )
    got = judge(metric, samples)
    report = json.loads((tmp_path / 'wsss_iou.json').read_text())
    assert report['metrics'] == pytest.approx(got)
    assert report['tags'] == {'split': 'val'}
    assert report['num_images'] == 3
    assert max(report['curve']['mIoU']) == got['best_mIoU']
    counted = sum(int((t != 255).sum()) for t, _ in arrays(samples))
    assert np.sum(report['confusion']) == counted
    assert {p.name for p in tmp_path.iterdir()} == {'wsss_iou.json', 'wsss_iou.png'}


def test_curve_picture_marks_the_maximum(tmp_path):
    draw_sweep(tmp_path / 'a.png', [0.1, 0.2, 0.3], [10.0, 40.0, float('nan')])
    draw_sweep(tmp_path / 'b.png', [0.1, 0.2, 0.3], [40.0, 10.0, float('nan')])
    draw_sweep(tmp_path / 'c.svg', [0.1, 0.2, 0.3], [10.0, 40.0, float('nan')], title='seeds')
    first, second = (np.array(Image.open(tmp_path / name)) for name in ('a.png', 'b.png'))
    assert first.shape == second.shape
    red = [np.nonzero((p[..., 0] > 180) & (p[..., 1] < 80))[1].mean() for p in (first, second)]
    assert red[1] < red[0] - 50  # the mark moved to the left


def test_undefined_scores_are_null_in_the_report(tmp_path):
    sample = make_sample(0)
    sample.gt_sem_seg.data[:] = 0
    sample.pred_sem_seg.data[:] = 0
    got = judge(WSSSIoUMetric(output_dir=str(tmp_path)), [sample])
    assert got['mIoU'] == 100
    report = json.loads((tmp_path / 'wsss_iou.json').read_text())
    assert report['per_class']['iou'] == [100, None, None, None]


def test_second_evaluation_starts_from_zero():
    metric = WSSSIoUMetric()
    judge(metric, [make_sample(0)])
    again = judge(metric, [make_sample(1), make_sample(2)])
    assert again == judge(WSSSIoUMetric(), [make_sample(1), make_sample(2)])


def test_an_image_counts_once():
    once = judge(WSSSIoUMetric(), [make_sample(0), make_sample(1)])
    again = [make_sample(0), make_sample(1), make_sample(0), make_sample(0)]
    assert judge(WSSSIoUMetric(), again, size=2) == once


def judge_shard(indices, num_images) -> list[dict]:
    """Scores of predictions and of seeds."""
    samples = [make_sample(i) for i in indices]
    return [
        judge(WSSSIoUMetric(background_thresholds=thresholds), samples, size=num_images)
        for thresholds in (None, [0.3, 0.6])
    ]


def _worker(rank, world_size, num_images, init_file, queue):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo',
        init_method=f'file://{init_file}',
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    sampler = DefaultSampler(range(num_images), shuffle=False)
    queue.put((len(sampler), judge_shard(sampler, num_images)))
    try:
        judge_shard(range(4), 4)
    except RuntimeError as error:
        queue.put(str(error))
    try:  # one process sees an object, or none does
        judge(WSSSIoUMetric(), [make_sample(0) if rank else binary(1)], size=2)
        judge(WSSSIoUMetric(), [binary(rank)], size=2)
    except ValueError as error:
        queue.put(str(error))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_two_processes_with_a_padded_sampler_equal_one(tmp_path):
    num_images = 5
    queue = SERVER.SimpleQueue()
    run_ranks(_worker, 2, num_images, str(tmp_path / 'rendezvous'), queue)
    messages = [queue.get() for _ in range(6)]
    results = [m for m in messages if isinstance(m, tuple)]
    expected = judge_shard(range(num_images), num_images)
    assert results == [(3, expected)] * 2  # 6 samples of 5 images
    # Both processes judged all images: no padding does that.
    errors = [m for m in messages if isinstance(m, str)]
    assert sum('judged the same images' in error for error in errors) == 2
    assert sum('not one of the 2 true masks' in error for error in errors) == 2


def drop(name):
    sample = make_sample(0)
    delattr(sample, name)
    return sample


@pytest.mark.parametrize(
    'arguments, sample, message',
    [
        ({}, drop('gt_sem_seg'), r'images/0.jpg has no gt_sem_seg: add LoadAnnotations'),
        ({}, drop('pred_sem_seg'), r'images/0.jpg has no pred_sem_seg'),
        (dict(background_thresholds=[0.5]), drop('pred_cam'), r"set model.test_cfg.predict='cam'"),
    ],
)
def test_missing_fields_name_the_image_and_the_remedy(arguments, sample, message):
    with pytest.raises(ValueError, match=message):
        judge(WSSSIoUMetric(**arguments), [sample])


@pytest.mark.parametrize('value', [1.5, -0.5, float('nan'), float('inf')])
def test_maps_out_of_range_name_the_image(value):
    sample = make_sample(1)
    shape = sample.gt_sem_seg.data.shape[1:]
    cam = torch.full((2, *shape), 0.5)
    sample.pred_cam = BaseDataElement(cam=cam, labels=torch.tensor([0, 1]))
    judge(WSSSIoUMetric(background_thresholds=[0.3]), [sample])
    cam[1, 0, 0] = value
    with pytest.raises(
        ValueError, match=r'images/1\.jpg: the activation maps range from .* \[0, 1\]'
    ):
        judge(WSSSIoUMetric(background_thresholds=[0.3]), [sample])


def test_truth_of_another_size_names_the_image():
    sample = make_sample(0)
    truth = torch.zeros(1, 5, 7, dtype=torch.int64)
    sample = SegDataSample(
        metainfo=dict(img_path='images/0.jpg'),
        gt_sem_seg=PixelData(data=truth),
        pred_sem_seg=PixelData(data=torch.zeros(1, 5, 8, dtype=torch.int64)),
    )
    with pytest.raises(ValueError, match=r'images/0.jpg: .*\(5, 8\).*\(5, 7\)'):
        judge(WSSSIoUMetric(), [sample])


def test_missing_class_names_are_an_error():
    metric = WSSSIoUMetric()
    metric.dataset_meta = {}
    with pytest.raises(ValueError, match='class names'):
        metric.process(None, [make_sample(0).to_dict()])


def test_no_prediction_is_an_error():
    with pytest.raises(RuntimeError, match='split empty'):
        judge(WSSSIoUMetric(), [], size=0)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(empty='skip'), "empty must be one of nanmean, .*'skip'"),
        (dict(pred_ignore='drop'), "pred_ignore must be one of miss, .*'drop'"),
        (dict(tags=dict(split={1, 2})), 'tags must be text.*set'),
        (dict(ignore_index=2.5), 'ignore_index must be a whole number'),
        (dict(background_thresholds='linear:1'), 'must be one of range, power'),
        (dict(background_thresholds=[0.5, 0.4]), 'increase'),
        (dict(background_thresholds=[0.5, 0.5]), 'increase'),
        (dict(background_thresholds=[]), 'must be one'),
        (dict(background_thresholds=[[0.1, 0.2]]), 'increase'),
        (dict(background_thresholds=[0.5, float('nan')]), 'increase'),
        (dict(background_thresholds=[float('nan')]), r'lie in \[0, 1\]'),
        (dict(background_thresholds=[0.5, 1.2]), r'lie in \[0, 1\]'),
        (dict(background_thresholds=[-0.1, 0.5]), r'lie in \[0, 1\]'),
        (dict(background_thresholds='0.2,x'), "could not convert string to float: 'x'"),
        (dict(background_thresholds='range:0:1:0'), 'the step must be a number in'),
        (dict(background_thresholds='range:0:1:-0.1'), 'the step must be a number in'),
        (dict(background_thresholds='range:0:1:nan'), 'the step must be a number in'),
        (dict(background_thresholds='range:0:1:1e-9'), 'number of thresholds'),
        (dict(background_thresholds='range:0:inf:0.1'), 'range:0:inf:0.1'),
        (dict(background_thresholds='range:1:0:0.1'), 'number of thresholds'),
        (dict(background_thresholds='range:0:2:0.1'), r'lie in \[0, 1\]'),
        (dict(background_thresholds='range:0:1'), "expected an increasing list, 'range"),
        (dict(background_thresholds='power:[0]'), 'positive'),
        (dict(background_thresholds='power:[1, -2]'), 'positive'),
        (dict(background_thresholds='power:[1e999]'), 'positive and finite'),
        (dict(background_thresholds='power:[2, 2]'), 'increase'),
        (dict(background_thresholds='power:'), 'power:'),
        (dict(background_thresholds='power:2'), 'power:2'),
        (dict(background_thresholds="power:['a']"), 'power:'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        WSSSIoUMetric(**arguments)


def test_numbers_with_commas_are_a_list_of_thresholds():
    assert WSSSIoUMetric(background_thresholds='0.2, 0.5').thresholds.tolist() == [0.2, 0.5]
    assert WSSSIoUMetric(background_thresholds='0').thresholds.tolist() == [0]


def change(field, function, mask_path=None) -> SegDataSample:
    """A sample whose truth or prediction is changed."""
    sample = make_sample(0)
    if mask_path is not None:
        sample.set_metainfo(dict(seg_map_path=mask_path))
    data = sample.get(field).data
    sample.set_field(PixelData(data=function(data)), field)
    return sample


def put(value, dtype=torch.int64):
    def function(data):
        data = data.to(dtype)
        data[0, 0, :2] = value
        return data

    return function


@pytest.mark.parametrize('thresholds', [None, [0.5]])
@pytest.mark.parametrize(
    'function, values',
    [
        (put(101, torch.uint8), r'holds the values \[101\]'),
        (put(4), r'\[4\], which are none of the 4 classes 0\.\.3 nor 255'),
        (put(-1), r'\[-1\]'),
        (put(65535), r'\[65535\]'),
        (put(0.5, torch.float32), 'holds float32 numbers'),
        (put(float('nan'), torch.float64), 'holds float64 numbers'),
        (lambda data: data.double(), 'holds float64 numbers'),
    ],
)
def test_a_truth_that_holds_no_classes_names_the_mask_and_the_values(thresholds, function, values):
    metric = WSSSIoUMetric(background_thresholds=thresholds)
    with pytest.raises(ValueError, match=rf'images/0\.jpg: the truth masks/0\.png .*{values}'):
        judge(metric, [change('gt_sem_seg', function, 'masks/0.png')])
    with pytest.raises(ValueError, match=rf'the truth images/0\.jpg .*{values}'):
        judge(metric, [change('gt_sem_seg', function)])


@pytest.mark.parametrize(
    'function, values',
    [
        (put(7, torch.uint8), r'\[7\]'),
        (put(-1), r'\[-1\]'),
        (put(256), r'\[256\]'),
        (put(0.4, torch.float16), 'holds float16 numbers'),
    ],
)
def test_a_prediction_that_is_neither_a_class_nor_255_is_named(function, values):
    with pytest.raises(ValueError, match=rf'images/0\.jpg: the prediction .*{values}'):
        judge(WSSSIoUMetric(), [change('pred_sem_seg', function)])
    unsure = change('pred_sem_seg', put(255, torch.uint8))
    assert judge(WSSSIoUMetric(), [unsure])['coverage'] < 100


def test_another_ignored_value_is_the_only_one():
    other = change('gt_sem_seg', lambda data: torch.where(data == 255, 254, data))
    expected = judge(WSSSIoUMetric(), [make_sample(0)])
    assert judge(WSSSIoUMetric(ignore_index=254), [other]) == expected
    with pytest.raises(ValueError, match=r'values \[255\].* nor 254'):
        judge(WSSSIoUMetric(ignore_index=254), [make_sample(0)])


def binary(index) -> SegDataSample:
    sample = make_sample(index)
    sample.set_metainfo(dict(seg_map_path=f'masks/{index}.png'))
    sample.gt_sem_seg.data = torch.where(sample.gt_sem_seg.data == 1, 255, 0)
    return sample


@pytest.mark.parametrize('thresholds', [None, [0.5]])
def test_true_masks_of_0_and_255_are_refused(thresholds):
    metric = WSSSIoUMetric(background_thresholds=thresholds)
    message = r'not one of the 2 true masks holds a class.*masks/0\.png.*divide by 255'
    with pytest.raises(ValueError, match=message):
        judge(metric, [binary(0), binary(1)])
    # One object anywhere, or nothing ignored: a truth like another.
    judge(metric, [binary(0), make_sample(1)])
    empty = make_sample(0)
    empty.gt_sem_seg.data[:] = 0
    judge(metric, [empty])
