"""The review sheet at the end of a pipeline."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from mmwsss.apis.review import review_pipeline
from mmwsss.stages import Launch, Pipeline
from mmwsss.stores.cam_store import save_cam
from mmwsss.stores.score_store import save_scores
from mmwsss.utils.io import write_mask

ROOT = Path(__file__).parents[2]
FOLDERS = """
stages = [
    dict(name='scores', run='dense_crf', source='maps', images='data/images',
         out='work_dirs/scores', low_high=(1, 4)),
    dict(name='first', run='dense_crf', source='maps', images='data/images',
         out='work_dirs/first', background=0.4),
    dict(name='second', run='dense_crf', source='work_dirs/first', images='data/images',
         out='work_dirs/second', gt_prob=0.7),
]
"""
MODEL = """
stages = [
    dict(name='first', run='train', config='one.py'),
    dict(name='write', run='predict', config='one.py', checkpoint='first'),
]
"""


def table(path: str) -> list[dict]:
    with open(path, encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture
def finished(folder) -> Pipeline:
    """A pipeline without any model."""
    cam = np.zeros((1, 4, 5), np.float32)
    cam[0, 1:, 2:] = 0.9
    for name in 'abc':
        save_cam(f'maps/{name}.npz', np.array([0]), cam, (4, 5))
    Path('pipe.py').write_text(FOLDERS)
    pipeline = Pipeline('pipe.py')
    pipeline.run()
    return pipeline


def test_masks_of_the_last_stage_beside_those_before(finished):
    mask = np.zeros((4, 5), np.uint8)
    mask[0] = 1
    write_mask('work_dirs/second/b.png', mask)
    review = review_pipeline(finished, processes=1)
    assert review.sheet == Path('work_dirs/pipe/review.html')
    assert next(iter(review.doubts)) == 'b'
    rows = table('work_dirs/pipe/review.csv')
    # the scores are no maps
    assert list(rows[0]) == ['image', 'doubt', 'unsure', 'disagreement', 'mask', 'problem']
    assert float(rows[0]['disagreement']) > 0.5
    assert float(rows[1]['disagreement']) == 0


def test_a_sheet_that_is_newer_stays(finished):
    assert review_pipeline(finished, processes=1) is not None
    assert review_pipeline(finished, processes=1) is None


def test_maps_that_a_stage_has_left(finished):
    for name in 'abc':
        zero = np.zeros((2, 4, 5), np.float32)
        save_scores(f'work_dirs/scores/{name}.npz', np.array([0]), zero, zero)
        save_cam(f'work_dirs/scores/{name}.npz', np.array([0]), zero[:1], (4, 5))
    review_pipeline(finished, processes=1)
    assert [row['margin'] for row in table('work_dirs/pipe/review.csv')] == ['1', '1', '1']


def test_images_and_classes_are_those_of_the_data_set(folder):
    Path('pipe.py').write_text(MODEL)
    pipeline = Pipeline('pipe.py', launch=Launch(tools=folder))
    pipeline.run()
    review = review_pipeline(pipeline, processes=1)
    assert sorted(review.doubts) == ['a', 'b', 'c']
    assert 'cat 45.0 %' in review.sheet.read_text()


def test_a_pipeline_without_masks_has_no_sheet(folder):
    Path('pipe.py').write_text(MODEL.replace("    dict(name='write'", '    #'))
    assert review_pipeline(Pipeline('pipe.py')) is None


def test_the_tool_makes_it_unless_told_not_to(finished, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    spec = importlib.util.spec_from_file_location('pipe', ROOT / 'tools/run_pipeline.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', ['run_pipeline.py', 'pipe.py', '--no-sheet'])
    tool.main()
    assert not Path('work_dirs/pipe/review.html').exists()
    monkeypatch.setattr(sys, 'argv', ['run_pipeline.py', 'pipe.py', '--top', '1'])
    tool.main()
    assert 'The most doubtful masks: work_dirs/pipe/review.html' in capsys.readouterr().out
    assert Path('work_dirs/pipe/review.html').read_text().count('<article') == 1
    Path('work_dirs/pipe/review.html').unlink()
    Path('work_dirs/pipe/review.csv').write_text('mine')
    tool.main()
    assert 'no review sheet: ' in capsys.readouterr().err
