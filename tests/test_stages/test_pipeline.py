"""Order, skipping, resuming and errors of pipelines, with small stand-ins for the tools."""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mmwsss.registry import TASK_UTILS
from mmwsss.stages import Launch, Pipeline
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils.io import read_mask, write_mask
from mmwsss.utils.provenance import only_one

from ..processes import start
from .conftest import CONFIG

PIPELINE = """
stages = [
    dict(name='first', run='train', config='one.py'),
    dict(name='write', run='predict', config='one.py', checkpoint='first'),
    dict(name='mask', run='evaluate', predictions='work_dirs/one/masks', truth='truth',
         split='data/ids.txt', classes='classes.txt'),
    dict(name='second', run='train', config='two.py', options={'train_cfg.max_iters': 7}),
    dict(name='val', run='test', config='two.py', checkpoint='second'),
    dict(name='val_crf', run='test', config='two.py', checkpoint='second', crf='psa'),
]
"""


@pytest.fixture(autouse=True)
def pipe(folder):
    (folder / 'pipe.py').write_text(PIPELINE)


def pipeline(folder, root='work_dirs', name='pipe.py', **kwargs):
    return Pipeline(name, root, launch=Launch(tools=folder), **kwargs)


def test_runs_all_stages_and_reports(folder, capfd):
    results = pipeline(folder).run()
    assert list(results) == ['first', 'write', 'mask', 'second', 'val', 'val_crf']
    assert results['mask']['metrics']['mIoU'] == 100
    assert results['val']['metrics'] == {'mIoU': 50, 'IoU/background': 90, 'weights': '6'}
    assert results['val_crf']['metrics']['mIoU'] == 60
    assert 'max_iters=7' in (folder / 'work_dirs/pipe/second.py').read_text()
    table = capfd.readouterr().out
    assert all(text in table for text in ('val_crf', '100.00', '60.00', 'background'))
    report = json.loads((folder / 'work_dirs/pipe/report.json').read_text())
    assert report['val']['metrics']['mIoU'] == 50


def test_finished_stages_are_skipped(folder):
    first = pipeline(folder).run()
    assert pipeline(folder).run() == first
    assert (folder / 'work_dirs/pipe/first/log').read_text() == '0 1 2 3 4 5 '


def test_another_root_and_options(folder):
    pipeline(folder, 'runs/seed1', cfg_options={'randomness.seed': 1}).run()
    assert not (folder / 'work_dirs').exists()
    assert (folder / 'runs/seed1/one/masks/a.png').is_file()
    assert 'seed=1' in (folder / 'runs/seed1/pipe/first.py').read_text()


def test_other_settings_are_refused(folder):
    pipeline(folder).run()
    with pytest.raises(RuntimeError, match=r'first was begun .*randomness\.seed: .* -> 1'):
        pipeline(folder, cfg_options={'randomness.seed': 1}).run()
    Path('two.py').write_text(CONFIG.replace('WSSSIoUMetric', 'IoUMetric'))
    with pytest.raises(RuntimeError, match='second was begun with other settings'):
        pipeline(folder).run()


CHAINED = """
after = dict(pipeline='pipe', until='write')
mask_dir = 'work_dirs/one/masks'
stages = dict(
    second=dict(run='train', config='two.py'),
    val_crf=dict(run='test', checkpoint='second', crf='psa'),
)
"""


def run_slowly(folder, name):
    """For a process of its own."""
    os.setsid()
    os.chdir(folder)
    os.environ['PAUSE'] = '0.3'
    pipeline(folder, name=name).run()


@pytest.mark.parametrize(
    ('name', 'appears', 'log', 'whole'),
    [
        ('pipe', 'pipe/first/iter_3.pth', 'pipe/first/log', '0 1 2 3 4 5 '),
        ('pipe', 'one/masks/b.png', 'one/masks/log', 'a.png b.png c.png '),
        ('pipe', 'pipe/second/iter_2.pth', 'pipe/second/log', '0 1 2 3 4 5 '),
        ('chained', 'one/masks/b.png', 'one/masks/log', 'a.png b.png c.png '),
    ],
)
def test_goes_on_after_a_kill(folder, name, appears, log, whole):
    """SIGKILL in the middle of a stage: its child dies too, and nothing is done twice."""
    Path('chained.py').write_text(CHAINED)
    process = start(run_slowly, folder, f'{name}.py')
    path = folder / 'work_dirs' / appears
    deadline = time.time() + 120
    while not path.exists() and time.time() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    time.sleep(0.2)
    log = folder / 'work_dirs' / log
    before = log.read_text()
    assert before != whole
    time.sleep(0.8)
    assert log.read_text() == before, 'the stage lives on without its pipeline'
    results = pipeline(folder, name=f'{name}.py').run()
    assert log.read_text() == whole
    if name == 'chained':  # the stage before the killed one, of the other pipeline
        trained = folder / 'work_dirs/chained/pipe-first/log'
        assert trained.read_text() == '0 1 2 3 4 5 '
    assert results['val_crf']['metrics']['mIoU'] == 60


def test_a_stage_that_was_killed_behind_its_last_file_finishes(folder):
    """Nothing is left to predict, so the tool is not started; the stage is finished."""
    pipeline(folder).run()
    record = folder / 'work_dirs/pipe/write.json'
    whole = json.loads(record.read_text())
    record.write_text(json.dumps({'depends': whole['depends']}))  # as it is until the end
    assert pipeline(folder).run()['write']['metrics'] == {}
    assert (folder / 'work_dirs/one/masks/log').read_text() == 'a.png b.png c.png '
    assert 'metrics' in json.loads(record.read_text())


def test_a_stage_is_finished_when_every_image_has_its_file(folder, monkeypatch):
    monkeypatch.setenv('LOSE', 'b')
    with pytest.raises(RuntimeError, match=r'stage write has left no \.png .* 1 of 3 images: b'):
        pipeline(folder).run()
    monkeypatch.delenv('LOSE')
    pipeline(folder).run()
    assert (folder / 'work_dirs/one/masks/log').read_text() == 'a.png b.png c.png b.png '


def test_a_truncated_file_is_made_again(folder):
    pipeline(folder).run()
    mask = folder / 'work_dirs/one/masks/c.png'
    mask.write_bytes(mask.read_bytes()[:-8])
    record = folder / 'work_dirs/pipe/write.json'
    record.write_text(json.dumps({'depends': json.loads(record.read_text())['depends']}))
    with pytest.raises(RuntimeError, match='mask was begun with other settings or files'):
        pipeline(folder).run()  # the judgement was of the file before
    assert (folder / 'work_dirs/one/masks/log').read_text() == 'a.png b.png c.png c.png '
    pipeline(folder, restart=True).run()


def test_an_interrupted_stage_is_not_continued_with_other_settings(folder):
    (folder / 'train.py').write_text('raise SystemExit(3)')
    with pytest.raises(RuntimeError, match='stage first failed'):
        pipeline(folder).run()
    with pytest.raises(RuntimeError, match='stage first was begun with other settings'):
        pipeline(folder, cfg_options={'randomness.seed': 1}).run()


def test_restart_does_changed_stages_and_those_behind_them_anew(folder):
    pipeline(folder).run()
    Path('two.py').write_text(CONFIG.replace('max_iters=6', 'max_iters=6, val_interval=9'))
    results = pipeline(folder, restart=True).run()
    assert results['val']['metrics']['mIoU'] == 50
    assert (folder / 'work_dirs/one/masks/log').read_text() == 'a.png b.png c.png '
    Path('one.py').write_text(CONFIG.replace('max_iters=6', 'max_iters=6, val_interval=9'))
    pipeline(folder, restart=True).run()
    assert (folder / 'work_dirs/one/masks/log').read_text() == 'a.png b.png c.png ' * 2
    assert (folder / 'work_dirs/pipe/first/log').read_text() == '0 1 2 3 4 5 '


@pytest.mark.parametrize('changed', ['data/images/b.jpg', 'truth/b.png', 'data/ids.txt'])
def test_changed_files_are_noticed(folder, changed):
    pipeline(folder).run()
    path = folder / changed
    path.write_bytes(path.read_bytes() + b'\n')
    with pytest.raises(RuntimeError, match='was begun with other settings or files'):
        pipeline(folder).run()


def test_two_trainings_of_one_config_do_not_share_a_folder(folder):
    twice = PIPELINE.replace("config='two.py', options", "config='one.py', options")
    Path('pipe.py').write_text(twice)
    pipeline(folder).run()
    for name in ('first', 'second'):
        assert (folder / f'work_dirs/pipe/{name}/log').read_text() == '0 1 2 3 4 5 '


def test_files_of_unknown_origin_are_not_taken_for_results(folder):
    masks = folder / 'work_dirs/one/masks'
    masks.mkdir(parents=True)
    (masks / 'a.png').write_bytes(Path('mask.png').read_bytes())
    with pytest.raises(ValueError, match='not known what they were made from'):
        pipeline(folder, restart=True).run()
    assert (masks / 'a.png').is_file()


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("truth='truth'", "truth='nowhere'", r'stage mask: the folder nowhere \(truth\)'),
        ("split='data/ids.txt'", "split='ids'", 'stage mask: Split list ids does not exist'),
        ("work_dirs/one/masks'", "work_dirs/other'", r'stage mask: .*other \(predictions\)'),
    ],
)
def test_missing_data_of_late_stages_are_found_at_the_start(folder, old, new, message):
    assert old in PIPELINE
    Path('pipe.py').write_text(PIPELINE.replace(old, new))
    with pytest.raises(FileNotFoundError, match=message):
        pipeline(folder).run()
    assert not (folder / 'work_dirs/pipe/first').exists()


def test_missing_truths_and_images_are_found_at_the_start(folder):
    (folder / 'truth/c.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'has no truth \(\.png\) for 1 of 3 images .*: c'):
        pipeline(folder).run()
    (folder / 'data/images/b.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'stage first: .*b'):
        pipeline(folder).run()


def test_missing_predictions_that_no_stage_makes_are_found_at_the_start(folder):
    write_mask(folder / 'mine/a.png', np.zeros((4, 4), np.uint8))
    text = PIPELINE.replace("predictions='work_dirs/one/masks'", "predictions='mine'")
    (folder / 'pipe.py').write_text(text)
    with pytest.raises(FileNotFoundError, match=r'mine has no prediction .* for 2 of 3 .*: b, c'):
        pipeline(folder).run()


def test_two_stages_do_not_write_to_one_folder(folder):
    stage = "    dict(name='again', run='predict', config='two.py'),\n]"
    Path('pipe.py').write_text(PIPELINE.strip()[:-1] + stage)
    with pytest.raises(ValueError, match=r'stage again: it writes to .*masks, as stage write does'):
        pipeline(folder).run()


def test_output_is_not_input(folder):
    for name in ('one', 'two'):
        Path(f'{name}.py').write_text(CONFIG.replace('work_dirs/one/masks', 'data/images'))
    Path('pipe.py').write_text(PIPELINE.replace('work_dirs/one/masks', 'data/images'))
    with pytest.raises(ValueError, match='it writes to data/images, which it also reads'):
        pipeline(folder).run()


def test_output_does_not_lie_among_logs(folder):
    Path('pipe.py').write_text(DICT.replace('{pipeline}/masks', '{pipeline}/first'))
    with pytest.raises(ValueError, match='where logs and checkpoints of stage first lie'):
        pipeline(folder).run()


def test_only_one_at_a_time(folder):
    running = pipeline(folder)
    running.records.mkdir(parents=True)
    with (
        only_one(running.records, 'this pipeline'),
        pytest.raises(RuntimeError, match='another run of this pipeline is active'),
    ):
        pipeline(folder).run()


def test_a_failing_stage_names_itself(folder):
    (folder / 'test.py').write_text('raise SystemExit(3)')
    with pytest.raises(RuntimeError, match='stage write failed with exit code 3'):
        pipeline(folder).run()


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        (
            "checkpoint='first'",
            "checkpoint='nothing'",
            'stage write: checkpoint must name',
        ),
        ("name='second'", "name='first'", 'a name of its own'),
        ("name='second'", "name='a/b'", 'a name of its own'),
        ("run='evaluate'", "run='judge'", r'stage mask: run must be one of train, .*evaluate'),
        ("truth='truth',", '', 'stage mask: needs'),
        ("crf='psa'", "crf='pas'", 'presets are'),
        ("classes='classes.txt'", "classes='classes.txt', background='range:0:2:0.1'", 'threshold'),
    ],
)
def test_mistakes_are_found_before_anything_runs(folder, old, new, message):
    assert old in PIPELINE
    Path('pipe.py').write_text(PIPELINE.replace(old, new))
    with pytest.raises(ValueError, match=message):
        pipeline(folder)


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class Shifted:
    """A folder task of three lines: every class index goes up."""

    by: int = 1
    source_suffix: ClassVar[str] = '.png'
    target_suffix: ClassVar[str] = '.png'

    def check_sources(self, sources):
        pass

    def __call__(self, image, source, target):
        assert image.shape == (4, 5, 3)
        write_mask(target, read_mask(source) + np.uint8(self.by))


FOLDER = """
stages = [
    dict(name='up', run='folder', task=dict(type='mmwsss.Shifted', by=2), source='truth',
         images='data/images', out='work_dirs/round0', ids='two.txt', processes=1),
    dict(run='repeat', times=2, stages=[
        dict(name='more{round}', run='folder', task=dict(type='mmwsss.Shifted'),
             source='work_dirs/round{before}',
             images='data/images', out='work_dirs/round{round}'),
    ]),
]
"""


def test_a_registered_task_is_a_stage_and_stages_repeat(folder):
    Path('two.txt').write_text('a\nc\n')
    Path('pipe.py').write_text(FOLDER)
    assert list(pipeline(folder).run()) == ['up', 'more1', 'more2']
    truth = read_mask('truth/a.png')
    for number in range(3):
        masks = sorted(Path(f'work_dirs/round{number}').glob('*.png'))
        assert [mask.stem for mask in masks] == ['a', 'c']
        assert np.array_equal(read_mask(masks[0]), truth + 2 + number)
    with pytest.raises(RuntimeError, match=r'stage up was begun .*task\.by: 2 -> 3'):
        Path('pipe.py').write_text(FOLDER.replace('by=2', 'by=3'))
        pipeline(folder).run()


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("more{round}'", "more'", 'must hold {round}'),
        ('times=2', 'times=0', 'times of a repeat stage'),
        ('processes=1', 'processes=0', 'stage up: processes must be'),
        ('by=2', 'of=2', 'stage up: task: .*of'),
        ("Shifted', by", "Shiftd', by", 'stage up: task: .*Shiftd'),
    ],
)
def test_mistakes_in_folder_and_repeat_stages(folder, old, new, message):
    assert old in FOLDER
    Path('pipe.py').write_text(FOLDER.replace(old, new))
    with pytest.raises(ValueError, match=message):
        pipeline(folder)


def test_crf_takes_the_best_background_of_a_judgement(folder):
    """The value that the evaluate stage has found, not one in the config."""
    for name in 'abc':
        cam = np.zeros((1, 4, 5), np.float32)
        cam[0, 1:, 2:] = 0.6
        cam[0, 0] = 0.3
        save_cam(f'cams/{name}.npz', np.array([0]), cam, (4, 5))
    stages = """
stages = [
    dict(name='seed', run='evaluate', predictions='cams', truth='truth', split='data/ids.txt',
         classes='classes.txt', background=[0.1, 0.45]),
    dict(name='crf', run='dense_crf', source='cams', images='data/images', out='work_dirs/out',
         background='best of seed', processes=1),
]
"""
    Path('pipe.py').write_text(stages)
    results = pipeline(folder).run()
    assert results['seed']['metrics']['best_threshold'] == 0.45
    record = json.loads(Path('work_dirs/out/made_from.json').read_text())
    assert record['settings']['background'] == 0.45
    Path('pipe.py').write_text(stages.replace('best of seed', 'best of sed'))
    with pytest.raises(ValueError, match="background='best of sed' must name an evaluate stage"):
        pipeline(folder)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('power=2, num_labels=21', 'num_labels cannot be said of power'),
        ('low_high=(1, 12), confidence=0.9', 'confidence cannot be said of low_high'),
        ('gt_prob=0.7, num_labels=0', r'MasksFromMasks\.num_labels must be a whole number'),
        ('gt_prob=0.7, power=2', 'needs one of power, background, low_high, gt_prob'),
    ],
)
def test_words_of_a_crf_stage(folder, words, message):
    stage = "dict(name='crf', run='dense_crf', source='cams', images='data/images', out='o', "
    Path('pipe.py').write_text(f'stages = [{stage}{words})]')
    with pytest.raises(ValueError, match=f'stage crf: {message}'):
        pipeline(folder)


def test_data_that_lie_elsewhere(folder):
    for name in ('one.py', 'two.py', 'pipe.py'):
        Path(name).write_text(Path(name).read_text().replace("'data", "'else/where"))
    Path('pipe.py').write_text("data_root = 'else/where'\n" + Path('pipe.py').read_text())
    with pytest.raises(FileNotFoundError, match=r'stage first: .*else/where'):
        pipeline(folder).run()
    assert pipeline(folder, data_root='data').run()['mask']['metrics']['mIoU'] == 100
    Path('pipe.py').write_text(PIPELINE)
    with pytest.raises(ValueError, match='has no data_root'):
        pipeline(folder, data_root='data')


def test_missing_configs(folder):
    Path('two.py').unlink()
    with pytest.raises(FileNotFoundError, match=r'stage second: no config two\.py'):
        pipeline(folder)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        Pipeline('other.py')


def test_launchers():
    assert Launch('none', 1, Path('t')).command('train.py', 'x') == [
        sys.executable,
        't/train.py',
        'x',
    ]
    torchrun = Launch('pytorch', 4, Path('t')).command('test.py', 'x', 'y')
    assert '--nproc_per_node=4' in torchrun
    assert torchrun[-5:] == ['t/test.py', 'x', 'y', '--launcher', 'pytorch']
    srun = Launch('slurm', 8, Path('t')).command('train.py')
    assert srun[:3] == ['srun', '--ntasks=8', '--kill-on-bad-exit=1']  # a dead rank ends all


DICT = """
stages = dict(
    other=dict(run='train', config='two.py'),
    first=dict(run='train', config='one.py', options={'train_cfg.max_iters': 7}),
    write=dict(run='predict', checkpoint='first', write=dict(masks='work_dirs/{pipeline}/masks')),
    mask=dict(run='evaluate', predictions='work_dirs/{pipeline}/masks', truth='truth',
              split='data/ids.txt', classes='classes.txt', convention='seam'),
)
"""


def test_stages_as_a_dict_which_a_child_changes(folder):
    Path('base.py').write_text(DICT)
    Path('pipe.py').write_text(
        "_base_ = 'base.py'\nstages = dict(mask=dict(convention='irn'), other=None,"
        "val=dict(run='test', checkpoint='first'))"
    )
    pipe = pipeline(folder, 'work_dirs/seed1')
    assert [stage.name for stage in pipe.stages] == ['first', 'write', 'mask', 'val']
    assert pipe.stages[3].spec['options'] == {'train_cfg.max_iters': 7}  # of the training
    results = pipe.run()
    assert (folder / 'work_dirs/seed1/pipe/masks/a.png').is_file()
    assert results['mask']['metrics']['mIoU'] == 100
    judged = json.loads(next(Path('work_dirs/seed1/pipe/eval_mask').rglob('*.json')).read_text())
    assert judged['tags']['convention'] == 'irn'


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("convention='seam'", "convention='seem'", "stage mask: .*did you mean 'seam'"),
        ("dict(masks='work", "dict(mask='work", "stage write: write must .*did you mean 'masks'"),
        ("checkpoint='first',", "checkpoint='first', which='first',", 'stage write: which must'),
        ("checkpoint='first',", "config='one.py', which='best',", 'stage write: .*name it, checkp'),
        ("checkpoint='first',", "checkpoint='first', which='best',", 'keeps no best checkpoint'),
    ],
)
def test_mistakes_in_predict_and_evaluate_stages(folder, old, new, message):
    assert old in DICT
    Path('pipe.py').write_text(DICT.replace(old, new))
    with pytest.raises(ValueError, match=message):
        pipeline(folder)


def test_the_best_checkpoint_is_the_one_that_validated_best(folder):
    best = 'default_hooks=dict(checkpoint=dict(save_best="mIoU"))'
    Path('one.py').write_text(CONFIG + best)
    stages = DICT.replace("checkpoint='first',", "checkpoint='first', which='best',")
    Path('pipe.py').write_text(stages)
    with pytest.raises(RuntimeError, match=r'first has left best checkpoints of 0 metrics .* none'):
        pipeline(folder).run()
    (folder / 'work_dirs/pipe/first/best_mIoU_iter_3.pth').write_text('3')
    stage = pipeline(folder).stages[2]
    assert stage.weights().endswith('best_mIoU_iter_3.pth')


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        ('5', 'stages must be a list or a dictionary, got 5'),
        ("['train']", "every stage must be a dictionary, got 'train'"),
        ('dict(a=3)', r"every stage must be a dictionary, got \('a', 3\)"),
        ("[dict(run='repeat')]", 'stages must be a list or a dictionary, got None'),
        ("[dict(name='a', run='train', config=['one.py'])]", 'stage a: config must be a path'),
        ("[dict(name='a', run='train', config='one.py', options=5)]", 'stage a: TypeError: '),
        (
            "[dict(name='a', run='train', config='bad.py')]",
            r'bad\.py cannot be read as a config \(Syn',
        ),
        ("[dict(name='a', run='predict', config='none.py')]", 'a: AttributeError: .*test_datal'),
        ("[dict(name='a', run='train', config='kind.py')]", r'stage a: KeyError: .*Nope'),
        (
            "[dict(name='a', run='evaluate', predictions='truth', truth='./truth', "
            "split='data/ids.txt', classes='classes.txt')]",
            'stage a: ./truth is both the predictions and the truth',
        ),
        (
            "[dict(name='a', run='folder', task=dict(type='mmwsss.Shifted'), source='truth', "
            "images='data/images', out=None)]",
            'stage a: out must be a path or a name, got None',
        ),
    ],
)
def test_configs_of_another_form_are_named(folder, stages, message):
    Path('pipe.py').write_text(f'stages = {stages}')
    Path('bad.py').write_text('model = dict(')
    Path('none.py').write_text("model = dict(type='EncoderDecoder')")
    Path('kind.py').write_text(CONFIG.replace('mmwsss.ImageLabelDataset', 'Nope'))
    with pytest.raises(ValueError, match=message):
        pipeline(folder).run()


@pytest.mark.parametrize('written', ['else/where/', './else/where', './else/where/'])
def test_a_data_root_may_be_written_with_slashes(folder, written):
    """As configs often have it; the old data must not be taken in silence."""
    for name in ('one.py', 'two.py', 'pipe.py'):
        Path(name).write_text(Path(name).read_text().replace("'data", "'else/where"))
    Path('pipe.py').write_text(f'data_root = {written!r}\n' + Path('pipe.py').read_text())
    (folder / 'else').mkdir()
    Path('data').rename('moved')
    Path('else/where').symlink_to('../moved')
    results = pipeline(folder, data_root='moved').run()
    read = results['first']['depends']['config']['train_dataloader']['dataset']
    assert read['data_root'] == 'moved'
    assert results['mask']['depends']['stage']['split'] == 'moved/ids.txt'


def test_a_data_root_that_changes_nothing_is_refused(folder):
    (folder / 'other').mkdir()
    Path('pipe.py').write_text("data_root = 'data/pets'\n" + Path('pipe.py').read_text())
    with pytest.raises(ValueError, match=r'--data-root other changes nothing: .* data/pets'):
        pipeline(folder, data_root='other').run()
