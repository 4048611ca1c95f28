"""What pipelines depend on, what they leave, and where they write: nothing is mixed in silence."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmwsss.stages import Launch, Pipeline
from mmwsss.utils.io import read_mask, write_mask

from .conftest import CONFIG

MASKS = 'work_dirs/one/masks'
STAGES = """
stages = [
    dict(name='first', run='train', config='one.py'),
    dict(name='write', run='predict', config='one.py', checkpoint='first'),
    dict(name='mask', run='evaluate', predictions='work_dirs/one/masks', truth='truth',
         split='data/ids.txt', classes='classes.txt'),
]
"""


@pytest.fixture(autouse=True)
def pipe(folder):
    (folder / 'pipe.py').write_text(STAGES)


def run(folder, root='work_dirs', **kwargs):
    return Pipeline('pipe.py', root, launch=Launch(tools=folder), **kwargs).run()


def log(folder, name='one/masks'):
    return (folder / 'work_dirs' / name / 'log').read_text()


def record(name):
    return Path(f'work_dirs/pipe/{name}.json')


@pytest.mark.parametrize(
    'entry',
    [
        "pretrained='weights.pth'",
        "backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='weights.pth'))",
        "text=dict(bank='weights.pth')",
    ],
)
def test_weights_that_the_model_names_are_inputs(folder, entry):
    Path('weights.pth').write_text('one')
    Path('one.py').write_text(CONFIG.replace("type='EncoderDecoder'", f'type="X", {entry}'))
    run(folder)
    Path('weights.pth').write_text('two')
    with pytest.raises(RuntimeError, match=r'first was begun with other .*files\.named\.model'):
        run(folder)


def test_weights_that_do_not_exist_are_found_before_anything_runs(folder):
    entry = "backbone=dict(type='mmwsss.FrozenCLIP', checkpoint='nowhere.pt')"
    Path('one.py').write_text(CONFIG.replace("type='EncoderDecoder'", f'type="X", {entry}'))
    with pytest.raises(FileNotFoundError, match=r'model\.backbone\.checkpoint: CLIP weights nowh'):
        run(folder)
    assert not record('first').exists()


def test_other_class_names_are_noticed(folder):
    """Renamed in a list that the stages share; no other file changes."""
    run(folder)
    Path('classes.txt').write_text('dog\n')
    with pytest.raises(RuntimeError, match=r'mask was begun with other .*files\.classes'):
        run(folder)
    Path('classes.txt').write_text('cat\n')
    Path('names.txt').write_text('cat\n')
    Path('one.py').write_text(CONFIG.replace("('background', 'cat')", "'names.txt'"))
    run(folder, restart=True)
    Path('names.txt').write_text('dog\n')
    with pytest.raises(RuntimeError, match=r'first was begun with other .*classes'):
        run(folder)


def test_truths_of_validation_matter_where_they_choose_the_weights(folder):
    val = "\nval_dataloader = dict(dataset=dict(train_dataloader['dataset'], mask_dir='truth'))\n"
    Path('one.py').write_text(CONFIG + val)
    Path('pipe.py').write_text(STAGES.partition("    dict(name='mask'")[0] + ']')
    run(folder)
    os.utime('truth/a.png', (1, 1))
    run(folder)
    assert log(folder, 'pipe/first') == '0 1 2 3 4 5 '
    best = 'default_hooks = dict(checkpoint=dict(save_best="mIoU"))'
    Path('one.py').write_text(CONFIG + val + best)
    run(folder, restart=True)
    os.utime('truth/a.png', (2, 2))
    with pytest.raises(RuntimeError, match=r'first was begun with .*val_dataloader\.masks'):
        run(folder)


@pytest.mark.parametrize('harm', [Path.unlink, lambda path: path.write_bytes(b'')])
def test_files_that_a_finished_stage_has_lost_are_made_again(folder, harm, capsys):
    """Not 'finished before' for ever, with a judgement that fails."""
    run(folder)
    harm(Path(MASKS, 'b.png'))
    record('mask').unlink()
    assert run(folder)['mask']['metrics']['mIoU'] == 100
    assert log(folder) == 'a.png b.png c.png b.png '
    assert (
        'write has left is incomplete (3 files in work_dirs/one/masks)' in capsys.readouterr().out
    )


def test_a_file_that_something_else_has_changed_is_not_passed_on(folder):
    """Also where no later stage has begun, which would notice."""
    run(folder)
    record('mask').unlink()
    write_mask(Path(MASKS, 'b.png'), np.zeros((4, 5), np.uint8))
    with pytest.raises(RuntimeError, match=r'changed what stage write has left: 3 files in .*mask'):
        run(folder)
    assert not read_mask(Path(MASKS, 'b.png')).any()
    assert run(folder, restart=True)['mask']['metrics']['mIoU'] == 100
    assert log(folder) == 'a.png b.png c.png ' * 2


def test_a_lost_checkpoint_is_trained_anew_and_another_one_refused(folder):
    run(folder)
    path = Path('work_dirs/pipe/first/iter_6.pth')
    path.unlink()
    run(folder)
    assert path.read_text() == '6'
    assert log(folder, 'pipe/first') == '0 1 2 3 4 5 '  # the folder is a new one
    assert log(folder) == 'a.png b.png c.png '  # equal weights: nothing else is done again
    path.write_text('of another training')
    with pytest.raises(RuntimeError, match=r'changed what stage first has left: iter_6\.pth'):
        run(folder)
    run(folder, restart=True)
    assert path.read_text() == '6'


def test_checkpoints_of_unknown_origin_are_not_continued(folder):
    """As when only the record was removed, or train.py was run in the folder by hand."""
    run(folder)
    record('first').unlink()
    for restart in (False, True):
        with pytest.raises(RuntimeError, match=r'holds checkpoints \(iter_1\.pth.*first\.json .*'):
            run(folder, restart=restart)
    assert Path('work_dirs/pipe/first/iter_6.pth').is_file()


@pytest.mark.parametrize('text', ['', '[]', '{"depends": 3}', '{"depends"'])
def test_a_broken_record_is_named(folder, text):
    """As after a power failure; a part of one is no excuse for going on."""
    run(folder)
    record('write').write_text(text)
    with pytest.raises(RuntimeError, match=r'write\.json is no record of stage write.*--restart'):
        run(folder)
    run(folder, restart=True)
    assert json.loads(record('write').read_text())['metrics'] == {}


def test_a_restart_that_was_killed_behind_the_logs_is_restarted(folder):
    run(folder)
    Path('one.py').write_text(CONFIG.replace('max_iters=6', 'max_iters=6, val_interval=9'))
    shutil.rmtree('work_dirs/pipe/first')  # what it does first
    with pytest.raises(RuntimeError, match='first was begun with other settings'):
        run(folder)
    run(folder, restart=True)
    assert log(folder) == 'a.png b.png c.png ' * 2


@pytest.mark.parametrize(
    'name',
    ['', '.', '..', 'a.b', 'a b', 'x\\n', 'Report', 'FIRST', 'eval_mask', 'eval_first', '.x'],
)
def test_names_that_cannot_be_files_of_their_own(folder, name):
    last = f"dict(name='{name}', run='train', config='two.py')]"
    Path('pipe.py').write_text(STAGES.strip()[:-1] + last)
    with pytest.raises(ValueError, match='every stage needs a name of its own'):
        run(folder)


def test_an_evaluation_does_not_share_the_folder_of_a_stage_before(folder):
    stages = STAGES.replace("name='first'", "name='eval_mask'").replace("'first'", "'eval_mask'")
    Path('pipe.py').write_text(stages)
    with pytest.raises(ValueError, match=r"name of its own .*got 'mask'"):
        run(folder)


def test_paths_with_a_dot_lie_in_the_root_too(folder):
    for name in ('one.py', 'pipe.py'):
        Path(name).write_text(Path(name).read_text().replace("'work_dirs/", "'./work_dirs/"))
    run(folder, 'runs/a')
    assert Path('runs/a/one/masks/a.png').is_file()
    assert not Path('work_dirs').exists()


def test_options_move_with_the_root_once(folder):
    """Also into a root, and to data, whose paths begin as the former ones."""
    old = "dict(name='write', run='predict', config='one.py'"
    text = Path('pipe.py').read_text()
    assert old in text
    option = "{'test_evaluator.0.output_dir': 'work_dirs/one/masks'}"
    Path('pipe.py').write_text(text.replace(old, f'{old}, options={option}'))
    run(folder, 'work_dirs/a')
    assert Path('work_dirs/a/one/masks/a.png').is_file()
    assert not Path('work_dirs/a/a').exists()


ANOTHER = (
    "dict(name='last', run='folder', task=dict(type='mmwsss.MasksFromMasks'), source={source!r}, "
    'images={images!r}, out={out!r})]'
)


def add_stage(**words):
    words = dict(source=MASKS, images='data/images', out='work_dirs/crf') | words
    Path('pipe.py').write_text(STAGES.strip()[:-1] + ANOTHER.format(**words))


@pytest.mark.parametrize(
    ('words', 'error', 'message'),
    [
        (dict(out='truth'), ValueError, 'writes to truth, which stage mask before it reads'),
        (dict(out='work_dirs/pipe/first/crf'), ValueError, 'where logs .* of stage first lie'),
        (dict(out='data/ids.txt/crf'), OSError, r'Cannot write into data/ids\.txt/crf'),
        (dict(images='truth'), None, ''),
        (dict(source='data/images'), FileNotFoundError, r'data/images holds no \.png file'),
    ],
)
def test_places_of_later_stages_are_checked_at_the_start(folder, words, error, message):
    add_stage(**words)
    if error is None:
        assert 'last' in run(folder)
        return
    with pytest.raises(error, match=message):
        run(folder)
    assert not Path('work_dirs/pipe/first').exists()


def test_a_link_to_the_truth_is_the_truth(folder):
    Path('other').symlink_to('truth')
    add_stage(out='other')
    with pytest.raises(ValueError, match='stage last: it writes to other, which stage mask before'):
        run(folder)


def test_images_that_a_list_names_are_looked_for_at_the_start(folder):
    Path('some.txt').write_text('a\nd\n')
    write_mask('truth/d.png', np.zeros((4, 5), np.uint8))
    add_stage(source='truth')
    Path('pipe.py').write_text(Path('pipe.py').read_text()[:-2] + ", ids='some.txt')]")
    with pytest.raises(FileNotFoundError, match=r'last: data/images has no image for 1 .*: d'):
        run(folder)
    Path('some.txt').write_text('a.png\n')
    with pytest.raises(FileNotFoundError, match=r"1 ids: a\.png \(there is 'a\.png': an id is its"):
        run(folder)


def test_masks_among_the_images_are_not_found_as_images_later(folder):
    """Without a split list subfolders are searched: the next run would find them."""
    for name in 'abc':
        shutil.copy('mask.png', f'data/images/{name}.png')
        Path(f'data/images/{name}.jpg').unlink()
    text = CONFIG.replace("ann_file='ids.txt'", "img_suffix='.png'")
    Path('one.py').write_text(text.replace('work_dirs/one/masks', 'data/images/masks'))
    with pytest.raises(ValueError, match='writes to data/images/masks, which lies in the image'):
        run(folder)


def test_truths_may_be_made_by_a_stage_before(folder):
    stages = STAGES.replace("truth='truth'", "truth='work_dirs/truth'").replace(
        "    dict(name='mask'",
        "    dict(name='made', run='folder', task=dict(type='mmwsss.MasksFromMasks', crf=dict("
        "iterations=0)), source='truth', images='data/images', out='work_dirs/truth', processes=1),"
        "\n    dict(name='mask'",
    )
    Path('pipe.py').write_text(stages)
    assert run(folder)['mask']['metrics']['mIoU'] == 100


def test_a_shorter_list_of_a_folder_stage_leaves_nothing_behind(folder):
    """The next stage takes all that lies in the folder."""
    Path('some.txt').write_text('a\nb\n')
    add_stage(source='truth')
    with_ids = Path('pipe.py').read_text()[:-2] + ", ids='some.txt')]"
    Path('pipe.py').write_text(with_ids)
    run(folder)
    Path('some.txt').write_text('a\n')
    with pytest.raises(RuntimeError, match=r'last was begun with .*files\.ids'):
        run(folder)
    run(folder, restart=True)
    assert sorted(path.name for path in Path('work_dirs/crf').glob('*.png')) == ['a.png']


BEST = STAGES.replace("checkpoint='first'", "checkpoint='first', which='best'")


def test_of_several_best_checkpoints_the_newest_is_the_best(folder):
    """A killed training leaves an older one; those of two metrics are a question."""
    Path('one.py').write_text(CONFIG + 'default_hooks=dict(checkpoint=dict(save_best="mIoU"))')
    Path('pipe.py').write_text(BEST)
    stage = Pipeline('pipe.py', launch=Launch(tools=folder)).stages[1]
    logs = Path('work_dirs/pipe/first')
    logs.mkdir(parents=True)
    for number, time in ((9, 1), (3, 2)):
        (logs / f'best_mIoU_iter_{number}.pth').write_text('x')
        os.utime(logs / f'best_mIoU_iter_{number}.pth', (time, time))
    assert stage.weights().endswith('best_mIoU_iter_3.pth')
    (logs / 'best_aAcc_iter_3.pth').write_text('x')
    with pytest.raises(RuntimeError, match=r'best checkpoints of 2 metrics .*best_aAcc_iter_3'):
        stage.weights()


def test_best_weights_of_a_training_without_checkpoint_do_not_stay(folder):
    """It was killed before its first checkpoint, so it starts anew."""
    Path('one.py').write_text(CONFIG + 'default_hooks=dict(checkpoint=dict(save_best="mIoU"))')
    (folder / 'train.py').rename('whole.py')
    (folder / 'train.py').write_text(
        'import sys; from pathlib import Path; d = Path(sys.argv[-1]); d.mkdir(exist_ok=True)\n'
        '(d / "best_mIoU_iter_2.pth").write_text("x"); raise SystemExit(9)'
    )
    with pytest.raises(RuntimeError, match='first failed with exit code 9'):
        run(folder)
    (folder / 'whole.py').replace('train.py')
    run(folder)
    assert not list(Path('work_dirs/pipe/first').glob('best_*'))


def test_pipelines_of_one_folder_are_told_apart_by_name(folder):
    run(folder)
    Path('other.py').write_text(STAGES.replace('"first"', '"f"'))
    with pytest.raises(ValueError, match=r'other settings: .*pipeline: pipe -> other'):
        Pipeline('other.py', launch=Launch(tools=folder)).run()
