"""Every walk is judged as WSSSIoUMetric judges one mask."""

import json

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample

from mmwsss.evaluation import WalkSweepMetric, WSSSIoUMetric
from mmwsss.evaluation.metrics import walk_sweep

SETTINGS = [dict(alpha=4, logt=6), dict(background=0.3, logt=6), dict(alpha=4, logt=8),
            dict(background=0.3, logt=8)]  # fmt: skip


@pytest.fixture
def samples() -> list[SegDataSample]:
    torch.manual_seed(0)
    found = []
    for i in range(3):
        sample = SegDataSample(metainfo=dict(img_path=f'{i}.jpg'))
        truth = torch.randint(0, 3, (1, 7, 9))
        noise = torch.rand(len(SETTINGS), 7, 9) < torch.tensor([0.3, 0.1, 0.4, 0.2])[:, None, None]
        labels = torch.where(noise, torch.randint(0, 3, (len(SETTINGS), 7, 9)), truth).byte()
        truth[0, 0, i] = 255
        sample.gt_sem_seg = PixelData(data=truth)
        sample.pred_walks = BaseDataElement(labels=labels, settings=SETTINGS)
        found.append(sample)
    return found


def judge(metric, samples) -> dict[str, float]:
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dict(classes=('background', 'cat', 'dog'))
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_every_walk_is_judged_alone(samples, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(walk_sweep, 'print_log', lambda text, logger: logged.append(text))
    together = judge(WalkSweepMetric(output_dir=str(tmp_path)), [*samples, samples[-1]])
    alone = []
    for i in range(len(SETTINGS)):
        for sample in samples:
            sample.pred_sem_seg = PixelData(data=sample.pred_walks.labels[i][None].long())
        alone.append(judge(WSSSIoUMetric(), samples))
    names = ['alpha=4,logt=6', 'background=0.3,logt=6', 'alpha=4,logt=8', 'background=0.3,logt=8']
    assert [together[name] for name in names] == [one['mIoU'] for one in alone]
    assert alone[1]['mIoU'] == max(one['mIoU'] for one in alone)
    assert together['best_background'] == 0.3 and together['best_logt'] == 6
    assert 'best_alpha' not in together
    assert {key: together[key] for key in alone[1]} == alone[1]
    report = json.loads((tmp_path / 'wsss_iou.json').read_text())
    assert report['metrics'] == together and report['num_images'] == 3
    lines = [line.split('|')[1:-1] for line in logged[0].splitlines()]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert ['logt', 'alpha 4', 'background 0.3'] in cells
    assert ['6', *(f'{one["mIoU"]:.2f}' for one in alone[:2])] in cells
    assert ['8', *(f'{one["mIoU"]:.2f}' for one in alone[2:])] in cells


def test_masks_without_a_sweep_name_the_setting(samples):
    del samples[0].pred_walks
    with pytest.raises(ValueError, match=r'0\.jpg has no pred_walks: .* model\.test_cfg\.sweep'):
        judge(WalkSweepMetric(), samples)


def test_its_backgrounds_are_those_of_the_sweep():
    with pytest.raises(ValueError, match='remove background_thresholds, field'):
        WalkSweepMetric(field='x', background_thresholds=[0.5])
