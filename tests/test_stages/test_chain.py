"""Pipelines that come after another one."""

from pathlib import Path

import pytest

from mmwsss.stages import Launch, Pipeline

FIRST = """
data_root = 'data'
stages = [
    dict(name='train', run='train', config='one.py'),
    dict(name='masks', run='predict', config='one.py', checkpoint='train'),
    dict(name='mask', run='evaluate', predictions='work_dirs/one/masks', truth='truth',
         split='data/ids.txt', classes='classes.txt'),
    dict(name='more', run='train', config='two.py'),
]
"""
SECOND = """
data_root = 'data'
after = dict(pipeline='first', until='mask')
mask_dir = 'work_dirs/one/masks'
stages = dict(
    before=dict(run='evaluate', predictions='{mask_dir}', truth='truth',
                split='data/ids.txt', classes='classes.txt'),
    train=dict(run='train', config='two.py'),
    val=dict(run='test', checkpoint='train'),
)
"""


@pytest.fixture(autouse=True)
def pipelines(folder):
    Path('first.py').write_text(FIRST)
    Path('second.py').write_text(SECOND)


def pipeline(folder, name='second.py', **kwargs):
    return Pipeline(name, launch=Launch(tools=folder), **kwargs)


def names(pipe):
    return [stage.name for stage in pipe.stages]


EARLIER = ['first-train', 'first-masks', 'first-mask']


def test_stages_of_both_run_and_are_reported(folder, capfd):
    results = pipeline(folder).run()
    assert list(results) == [*EARLIER, 'before', 'train', 'val']
    assert results['first-mask']['metrics'] == results['before']['metrics']
    table = capfd.readouterr().out
    assert all(name in table for name in ('first-mask', 'before', 'val'))
    assert Path('work_dirs/second/first-train/log').is_file()


def test_a_name_alone_takes_all_stages(folder):
    Path('all.py').write_text(SECOND.replace("dict(pipeline='first', until='mask')", "'first'"))
    assert names(pipeline(folder, 'all.py'))[:4] == [*EARLIER, 'first-more']
    Path('third.py').write_text(SECOND.replace("dict(pipeline='first', until='mask')", "'second'"))
    assert names(pipeline(folder, 'third.py'))[:3] == [f'second-{name}' for name in EARLIER]


def test_finished_masks_take_the_place_of_the_other_pipeline(folder):
    pipeline(folder, 'first.py').run()
    pipe = pipeline(folder, mask_dir='work_dirs/one/masks')
    assert names(pipe) == ['before', 'train', 'val']
    assert pipe.run()['before']['metrics']['mIoU'] == 100
    with pytest.raises(ValueError, match='does not start from masks'):
        pipeline(folder, 'first.py', mask_dir='work_dirs/one/masks')


def test_finished_masks_do_not_move_with_the_root(folder):
    pipeline(folder, 'first.py').run()
    pipe = pipeline(folder, root='work_dirs/other', mask_dir='work_dirs/one/masks')
    assert pipe.run()['before']['metrics']['mIoU'] == 100


@pytest.mark.parametrize(
    ('wrong', 'error', 'message'),
    [
        ("'frist'", FileNotFoundError, "after='frist', but there is no"),
        ("dict(pipeline='first', until='maks')", ValueError, "did you mean 'masks'"),
        ("dict(stage='mask')", ValueError, 'after must be the name of a pipeline'),
        ("'second'", ValueError, 'in a circle'),
    ],
)
def test_a_pipeline_that_cannot_come_before_is_refused(folder, wrong, error, message):
    text = SECOND.replace("dict(pipeline='first', until='mask')", wrong)
    Path('second.py').write_text(text)
    with pytest.raises(error, match=message):
        pipeline(folder)


def test_other_data_are_refused(folder):
    Path('first.py').write_text(FIRST.replace("'data'", "'elsewhere'"))
    with pytest.raises(ValueError, match='lies on other data'):
        pipeline(folder)


def test_a_change_before_is_noticed_behind(folder):
    pipeline(folder).run()
    text = FIRST.replace("config='one.py')", "config='one.py', options={'train_cfg.max_iters': 4})")
    Path('first.py').write_text(text)
    with pytest.raises(RuntimeError, match='first-train was begun with other settings'):
        pipeline(folder).run()
