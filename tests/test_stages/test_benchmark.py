"""Benchmarks of small pipelines with stand-ins for the tools: table, page, failures, resuming."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mmwsss.stages import Launch
from mmwsss.stages.benchmark import read_benchmark, run_benchmark, scores_of
from mmwsss.stages.benchmark.logs import read_training, seconds_per_image, trained_parameters
from mmwsss.stages.benchmark.pictures import spread
from mmwsss.utils.io import write_mask

from ..processes import start

CONFIGS = Path(__file__).parents[2] / 'configs'
PIPELINES = {
    'judge.py': """
        data_root = 'data'
        stages = [dict(name='mask', run='evaluate', predictions='drawn', truth='truth',
                       split='data/ids.txt', classes='classes.txt')]
    """,
    'net.py': """
        data_root = 'data'
        stages = [
            dict(name='method', run='train', config='one.py'),
            dict(name='method_val', run='test', checkpoint='method'),
            dict(name='write', run='predict', checkpoint='method'),
            dict(name='mask', run='evaluate', predictions='work_dirs/one/masks', truth='truth',
                 split='data/ids.txt', classes='classes.txt'),
            dict(name='val_crf', run='test', checkpoint='method', crf='psa'),
        ]
    """,
    'full.py': """
        data_root = 'data'
        stages = [
            dict(name='network', run='train', config='two.py'),
            dict(name='val', run='test', checkpoint='network'),
        ]
    """,
    'bench.py': """
        data_root = 'data'
        seeds = [0, 1]
        rows = dict(
            judge=dict(title='Judged', pipeline='judge.py'),
            net=dict(title='A <net>', pipeline='net.py', columns=dict(val='method_val'),
                     bound='full'),
            start=dict(title='Its start', pipeline='net.py', columns=dict(val='method_val'),
                       until='method_val'),
            full=dict(title='Bound', pipeline='full.py', true_masks=True),
        )
    """,
}


@pytest.fixture(autouse=True)
def bench(folder):
    for name, text in PIPELINES.items():
        (folder / name).write_text('\n'.join(line[8:] for line in text.strip('\n').splitlines()))
    for name in 'abc':  # of 20 pixels 12 are cat; here one row of four is taken for it less
        mask = np.zeros((4, 5), np.uint8)
        mask[2:, 2:] = 1
        write_mask(f'drawn/{name}.png', mask)


def run(folder, work_dir='work_dirs', rows=None, seeds=None, restart=False, **kwargs):
    launch = Launch(tools=folder)
    benchmark = read_benchmark('bench.py', work_dir, rows, seeds, launch, restart)
    return run_benchmark(benchmark, **kwargs)


def lines(work_dir='work_dirs'):
    text = Path(work_dir, 'benchmark_bench/results.csv').read_text()
    return [line.split(',') for line in text.splitlines()]


def page(work_dir='work_dirs'):
    return Path(work_dir, 'benchmark_bench/index.html').read_text()


def test_table_and_page_of_all_rows(folder, capfd):
    assert run(folder) == {}
    assert '[6/6] full seed 1: done' in capfd.readouterr().out
    first = lines()
    assert run(folder) == {} and lines() == first, 'nothing is done twice'
    head, *body = first
    assert head == ['row', 'pipeline', 'seed', 'digest', 'stage', 'metric', 'value']
    scores = scores_of('work_dirs/benchmark_bench/results.csv')
    # 9 pixels are cat; 6 are found, no other: 6 / 9, background 11 / 14
    assert scores['judge', 1, 'mask'] == {
        'mIoU': pytest.approx(100 * (6 / 9 + 11 / 14) / 2, abs=1e-4),
        'IoU/cat': pytest.approx(100 * 6 / 9, abs=1e-4),
        'IoU/background': pytest.approx(100 * 11 / 14, abs=1e-4),
    }
    assert scores['net', 0, 'method_val'] == {'mIoU': 50, 'IoU/background': 90}
    assert scores['net', 0, 'val_crf']['mIoU'] == 60
    assert {key[2] for key in scores if key[0] == 'start'} == {'method_val'}
    is_score = [line[5] == 'mIoU' or line[5].startswith('IoU/') for line in body]
    assert is_score == sorted(is_score, reverse=True), 'scores come first'
    assert {line[5] for line in body} >= {'seconds', 'peak_memory_mb'}
    assert not {line[5] for line in body} & {'seconds_per_step', 'trained_parameters'}, 'unknown'
    digests = {(line[0], line[3]) for line in body}
    assert len(digests) == 4, 'one for all seeds of a row, another one for every row'
    text = page()
    assert all(t in text for t in ('A &lt;net&gt;', '100 %', '50.0 ± 0.0', 'Bound ‡'))
    assert not re.search(r'(src|href)="(?!data:)', text), 'the page needs no other file'


def test_rows_of_one_pipeline_share_its_run(folder):
    run(folder, rows=['start'], seeds=[0])
    assert not Path('work_dirs/benchmark_bench/net/seed0/net/write.json').exists()
    run(folder, rows=['start', 'net'], seeds=[0])
    log = Path('work_dirs/benchmark_bench/net/seed0/net/method/log')
    assert log.read_text() == '0 1 2 3 4 5 '


def test_the_same_images_of_all_methods(folder):
    run(folder, rows=['net', 'full'])
    root = Path('work_dirs/benchmark_bench')
    kept = sorted(
        path.parent.relative_to(root).as_posix() for path in root.rglob('pictures/*/a.png')
    )
    assert kept == ['full/seed0/pictures/val', 'net/seed0/pictures/method_val']
    assert page().count('src="data:image/jpeg') == 4  # the images, and two rows of one network
    assert spread(list('abcdefgh'), 3) == ['a', 'e', 'h']
    assert spread(['a'], 10) == ['a']


def test_two_jobs_give_the_table_of_one(folder, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    some = dict(rows=['judge', 'full'], seeds=[0])
    run(folder, **some)
    run(folder, 'other', jobs=2, **some)
    run(folder, 'third', threads=3, **some)
    path = 'benchmark_bench/results.csv'
    assert scores_of(f'other/{path}') == scores_of(f'work_dirs/{path}')
    threads = 'benchmark_bench/full/seed0/full/network/threads'
    used = [Path(folder, threads).read_text() for folder in ('work_dirs', 'other', 'third')]
    assert used == ['1', '1', '3'], 'as many as are wanted, however many jobs there are'


def test_a_cell_that_fails_is_named_and_the_others_are_done(folder, capfd):
    Path('drawn').rename('away')
    failures = run(folder, seeds=[0])
    (cell,) = failures
    assert cell.name == 'judge seed 0' and 'the folder drawn (predictions)' in failures[cell]
    assert 'judge seed 0: FAILED' in capfd.readouterr().out
    (failed,) = (line for line in lines() if line[5] == 'failed')
    assert failed[0] == 'judge' and 'the folder drawn (predictions)' in ','.join(failed[6:])
    assert 'the folder drawn (predictions)' in page() and 'A &lt;net&gt;' in page()
    assert scores_of('work_dirs/benchmark_bench/results.csv')['full', 0, 'val']['mIoU'] == 50
    Path('away').rename('drawn')
    assert run(folder, rows=['judge'], seeds=[0]) == {}
    assert not [line for line in lines() if line[5] == 'failed']


def test_what_was_begun_otherwise_is_only_done_anew_if_that_is_said(folder):
    run(folder, rows=['judge'], seeds=[0])
    write_mask('drawn/b.png', np.zeros((4, 5), np.uint8))
    (reason,) = run(folder, rows=['judge'], seeds=[0]).values()
    assert 'mask was begun with other settings or files' in reason
    assert run(folder, rows=['judge'], seeds=[0], restart=True) == {}


def test_a_tool_that_fails_points_to_its_log(folder):
    (folder / 'train.py').write_text('raise SystemExit("no GPU today")')
    failures = run(folder, rows=['full'], seeds=[0])
    (reason,) = failures.values()
    log = Path(reason.rpartition('Log: ')[2])
    assert 'stage network failed' in reason and 'no GPU today' in log.read_text()


def test_a_cell_whose_process_is_killed_is_named(folder):
    (folder / 'train.py').write_text('import os, signal; os.kill(os.getppid(), signal.SIGKILL)')
    (reason,) = run(folder, rows=['full'], seeds=[0]).values()
    assert 'ended by SIGKILL' in reason


def run_slowly(folder):
    """For a process of its own."""
    os.setsid()
    os.chdir(folder)
    os.environ['PAUSE'] = '0.3'
    run(folder, rows=['net', 'full'], seeds=[0], jobs=2)


def test_goes_on_after_a_kill(folder):
    """SIGKILL in the middle: the cells die, too, and the next run ends as a whole one."""
    process = start(run_slowly, folder)
    root = Path('work_dirs/benchmark_bench/net/seed0/net/method')
    deadline = time.time() + 120
    while not (root / 'iter_2.pth').exists() and time.time() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    time.sleep(1.5)  # cells look every half second whether the benchmark is still there
    before = (root / 'log').read_text()
    time.sleep(0.8)
    assert (root / 'log').read_text() == before, 'a cell lives on without the benchmark'
    assert run(folder, rows=['net', 'full'], seeds=[0]) == {}
    assert (root / 'log').read_text() == '0 1 2 3 4 5 '
    scores = scores_of('work_dirs/benchmark_bench/results.csv')
    found = {(row, stage): one['mIoU'] for (row, _, stage), one in scores.items()}
    assert found == {
        ('net', 'method_val'): 50,
        ('net', 'mask'): 100,
        ('net', 'val_crf'): 60,
        ('start', 'method_val'): 50,
        ('full', 'val'): 50,
    }


def test_collecting_runs_nothing_and_joins_what_several_machines_did(folder):
    with pytest.raises(FileNotFoundError, match='holds nothing of the rows'):
        run(folder, only_collect=True)
    run(folder, rows=['judge'], seeds=[4])
    run(folder, rows=['full'], seeds=[0])
    run(folder, only_collect=True)
    assert {(line[0], line[2]) for line in lines()[1:]} == {('judge', '4'), ('full', '0')}
    assert 'Not run: A &lt;net&gt;; Its start.' in page()


def test_tables_of_other_machines_join(folder):
    """What lies here counts; of the others, what does not."""
    run(folder, work_dir='there', rows=['judge'], seeds=[0, 4])
    text = Path('there/benchmark_bench/results.csv').read_text()
    other = Path('other.csv')
    other.write_text(re.sub('mask,mIoU,.*', 'mask,mIoU,12.5', text))
    run(folder, rows=['judge'], seeds=[0], others=[other])
    scores = scores_of('work_dirs/benchmark_bench/results.csv')
    found = [scores['judge', seed, 'mask']['mIoU'] for seed in (0, 4)]
    assert found == [
        scores_of('there/benchmark_bench/results.csv')['judge', 0, 'mask']['mIoU'],
        12.5,
    ]
    (line,) = (line for line in read_tables(page())[0] if 'Judged' in line[0])
    shown = (found[0] + 12.5) / 2, np.std([found[0], 12.5], ddof=1)
    assert '{:.1f} ± {:.1f}'.format(*shown) in line, 'the page joins them, too'
    run(folder, rows=['full'], seeds=[0], others=[other])
    assert 'Not run: A &lt;net&gt;; Its start.' in page(), 'what is elsewhere was run'
    other.write_text(text.replace('mask,mIoU,', 'mask,mIoU,high'))
    with pytest.raises(ValueError, match=r'other.csv, line \d+: could not convert.*high'):
        run(folder, rows=['judge'], seeds=[0], others=[other])
    lines_of_it = text.splitlines()
    for changed, message in (
        (text + lines_of_it[1] + '\n', 'a second .* of judge, seed 0'),
        (re.sub('mask,mIoU,.*', 'mask,mIoU,6012', text), r'mIoU must be a number in \[0, 100\]'),
        (text.replace('judge,judge', 'judge,full'), 'seed 0, of another machine is of the pipe'),
    ):
        other.write_text(changed)
        with pytest.raises(ValueError, match=message):
            run(folder, rows=['full'], seeds=[0], others=[other], work_dir='new')


def test_a_cell_that_is_not_finished_here_is_taken_from_elsewhere(folder):
    run(folder, work_dir='there', rows=['net'], seeds=[0])
    other = 'there/benchmark_bench/results.csv'
    run(folder, rows=['start'], seeds=[0], others=[other])
    scores = scores_of('work_dirs/benchmark_bench/results.csv')
    assert {key[2] for key in scores if key[0] == 'net'} == {'method_val', 'mask', 'val_crf'}
    run(folder, work_dir='third', only_collect=True, others=[other])
    assert scores_of('third/benchmark_bench/results.csv') == scores_of(other)


def test_figures_of_other_settings_are_none(folder):
    run(folder, rows=['full'], seeds=[0])
    options = folder / 'full.py'
    options.write_text(options.read_text().replace('two.py', 'one.py'))
    assert len(run(folder, rows=['full'], seeds=[0])) == 1
    assert scores_of('work_dirs/benchmark_bench/results.csv') == {}
    assert {line[5] for line in lines()[1:]} <= {'failed', 'peak_memory_mb'}
    assert 'full/seed0/benchmark.log' in page()


def test_pipelines_of_one_name_are_refused(folder):
    Path('own').mkdir()
    Path('own/judge.py').write_text(Path('judge.py').read_text())
    text = (
        Path('bench.py')
        .read_text()
        .replace(
            "start=dict(title='Its start', pipeline='net.py'",
            "start=dict(title='Its start', pipeline='own/judge.py'",
        )
    )
    Path('bench.py').write_text(text)
    with pytest.raises(ValueError, match=r'judge.py \(row start\) have one name'):
        read_benchmark('bench.py', 'work_dirs')


def test_the_row_of_the_page_is_one(tmp_path):
    """That of docs/benchmark.md, in a folder beside that of its pipeline."""
    configs = tmp_path / 'configs'
    shutil.copytree(CONFIGS, configs)
    (configs / 'pipelines/mine_mini.py').write_text("_base_ = './psa_mini.py'")
    text = (CONFIGS.parent / 'docs/benchmark.md').read_text(encoding='utf-8')
    (block,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    (configs / 'benchmarks/mine.py').write_text(block)
    assert read_benchmark(configs / 'benchmarks/mine.py', 'w').rows['mine'].title == 'Mine'


def test_what_is_not_finished_is_said(folder):
    run(folder, rows=['start'], seeds=[0])
    assert 'A &lt;net&gt;, seed 0 is not finished: 2 of 5 stages, next write.' in page()


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("columns=dict(val='method_val'),\n             bound",
         "columns=dict(val='write'),\n             bound",
         'stage of the column val of the row net must be one of method_val, mask, val_crf'),
        ("columns=dict(val='method_val'),\n             bound",
         "columns=dict(vall='val'),\n             bound",
         'a column of the row net must be one of seed, mask, val, val_crf'),
        ("bound='full'", "bound='ful'", "bound of the row net must be .* did you mean 'full'"),
        ("bound='full'", "bound='judge'", 'not said to be trained on true masks'),
        ("until='method_val'", "until='methd'", 'until must be one of method'),
        ("title='Bound', ", '', 'the row full must be a dict with title and pipeline'),
        ("title='Bound'", "titel='Bound', title=''", 'a key of the row full must be one of'),
        ("pipeline='full.py'", "pipeline='fulll.py'", 'row full: there is no pipeline fulll.py'),
        ('seeds = [0, 1]', 'seeds = []', 'seeds must be a list of whole numbers, got'),
        ('seeds = [0, 1]', 'seeds = [0, 0.5]', 'a seed must be a whole number'),
        ('rows = dict(', 'lines = dict(', 'bench.py has no rows'),
    ],
)  # fmt: skip
def test_mistakes_in_the_config_are_found_before_any_work(folder, old, new, message):
    text = Path('bench.py').read_text()
    assert old in text
    Path('bench.py').write_text(text.replace(old, new))
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        run(folder)
    assert not Path('work_dirs').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(rows=['nett']), "row of bench.py must be one of judge, .* did you mean 'net'"),
        (dict(rows=[]), 'no row is named; bench.py has judge, net, start, full'),
        (dict(rows=['net', 'net']), 'rows given more than once: net'),
        (dict(seeds=[-1]), 'a seed must be a whole number'),
        (dict(jobs=0), 'jobs must be a whole number'),
        (dict(threads=0), 'threads must be a whole number'),
    ],
)
def test_wrong_arguments_are_found_before_any_work(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        run(folder, **arguments)
    assert not Path('work_dirs').exists()


def test_damaged_records_are_named(folder):
    run(folder, rows=['judge'], seeds=[0])
    root = Path('work_dirs/benchmark_bench')
    for name, content in (
        ('judge/seed0/judge/report.json', '{"mask": []}'),
        ('judge/seed0/judge/report.json', '[]'),
        ('benchmark.json', '{}'),
    ):
        (root / name).write_text(content)
        with pytest.raises((RuntimeError, ValueError), match=Path(name).name):
            run(folder, rows=['full'], seeds=[0])


def test_a_folder_of_another_benchmark_is_refused(folder):
    run(folder, rows=['judge'], seeds=[0])
    text = Path('bench.py').read_text()
    Path('bench.py').write_text(text.replace("pipeline='judge.py'", "pipeline='full.py'"))
    with pytest.raises(RuntimeError, match=r'another benchmark: rows\.judge: judge -> full'):
        run(folder)
    new = "    more=dict(title='More', pipeline='full.py'),\n    full="
    Path('bench.py').write_text(text.replace('    full=', new))  # a row that is new is no other
    assert run(folder, rows=['judge'], seeds=[0]) == {}


def test_a_folder_that_cannot_be_written_to_is_found_first(folder):
    Path('work_dirs').write_text('a file')
    with pytest.raises(OSError, match='Cannot write'):
        run(folder)


def test_parameters_are_those_that_the_optimizer_has_changed(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    counts = []
    for kind, options in (('AdamW', {}), ('SGD', dict(momentum=0.9)), ('SGD', {})):
        optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1, **options)
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        torch.save(dict(state_dict={}, optimizer=optimizer.state_dict()), tmp_path / 'one.pth')
        counts.append(trained_parameters(tmp_path / 'one.pth'))
    assert counts == [8, 8, None]
    adam = torch.optim.AdamW(model[1].parameters())
    model(torch.ones(1, 4)).sum().backward()
    adam.step()
    both = dict(first=adam.state_dict(), second=adam.state_dict())
    torch.save(dict(state_dict={}, optimizer=both), tmp_path / 'two.pth')
    assert trained_parameters(tmp_path / 'two.pth') == 16


def test_logs_of_an_interrupted_training_are_joined(tmp_path):
    entries = {
        '20260101_000000': [
            dict(iter=50, loss=2.0, time=0.5),
            dict(iter=100, loss=9.0, time=0.5),
            'cut o',
        ],
        '20260101_010000': [
            dict(iter=100, loss=1.0, time=0.7, memory=10),
            dict(mIoU=40.0, time=0.1, step=100),
        ],
    }
    for name, values in entries.items():
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        text = '\n'.join(v if isinstance(v, str) else json.dumps(v) for v in values)
        (folder / 'scalars.json').write_text(text)
    (tmp_path / '20260101_010000/20260101_010000.json').write_text('{"time": 0.8}')
    log = read_training(tmp_path)
    assert log.loss == {50: 2, 100: 1} and log.miou == {100: 40}
    assert log.seconds_per_step == 0.5 and log.peak_memory == 10
    assert seconds_per_image(tmp_path, 4) == pytest.approx(0.2)
    assert read_training(tmp_path / 'nothing').seconds_per_step is None
    assert seconds_per_image(tmp_path / 'nothing', 1) is None


@pytest.mark.parametrize('name', ['mini', 'voc', 'coco'])
def test_rows_of_the_shipped_benchmarks(name, tmp_path):
    """Every pipeline of the data set is in a row; rows build, and have their columns."""
    benchmark = read_benchmark(CONFIGS / f'benchmarks/{name}.py', tmp_path)
    there = {path.stem for path in (CONFIGS / 'pipelines').glob(f'*_{name}*.py')}
    assert {row.pipeline.stem for row in benchmark.rows.values()} == there
    assert all(benchmark.columns.values())
    bounds = {row.bound for row in benchmark.rows.values()} - {None}
    assert bounds == {row.name for row in benchmark.rows.values() if row.true_masks}
    assert len({(row.title, row.true_masks) for row in benchmark.rows.values()}) == len(
        benchmark.rows
    ), 'titles tell rows apart'


def test_costs_classes_and_curves_are_on_the_page(folder):
    """Of what trainings and tests log, in the table, the CSV and the plots."""
    run(folder, rows=['judge', 'full'], seeds=[0])
    root = Path('work_dirs/benchmark_bench')
    stage = root / 'full/seed0/full/network'
    layer = torch.nn.Linear(4, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    torch.save(dict(state_dict={}, optimizer=optimizer.state_dict()), stage / 'iter_6.pth')
    log = [dict(iter=i, loss=3.0 / i, time=0.25) for i in (2, 4)] + [dict(mIoU=40.0, step=4)]
    write_lines(stage / '20260101_000000/vis_data/scalars.json', log)
    write_lines(root / 'full/seed0/full/val/20260102_000000/20260102_000000.json', [{'time': 0.5}])
    report = root / 'judge/seed0/judge/report.json'
    content = json.loads(report.read_text())
    content['mask']['metrics']['best_background'] = 0.3
    report.write_text(json.dumps(content))
    run(folder, only_collect=True)
    found = {(row, metric): value for row, _, _, _, _, metric, value in lines()[1:]}
    assert float(found['full', 'seconds_per_step']) == 0.25
    assert float(found['full', 'seconds_per_image']) == 0.5
    assert float(found['full', 'trained_parameters']) == 10
    assert float(found['full', 'peak_memory_mb']) > 1
    tables = read_tables(page())
    (bound,) = (
        dict(zip(tables[0][0], line, strict=True)) for line in tables[0] if 'Bound' in line[0]
    )
    assert (bound['s/step'], bound['s/image'], bound['parameters']) == ('0.25', '0.500', '0.00 M')
    assert float(bound['memory, MB']) > 1 and bound['minutes']
    (judged,) = (line for line in tables[0] if 'Judged' in line[0])
    assert any(re.fullmatch(r'[\d.]+ †', cell) for cell in judged), 'chosen on the truth'
    assert tables[1] == [['', 'background'], ['Bound ‡', '90.0']]
    assert re.search(r'<img[^>]+alt="full, seed 0"', page()), 'the curve of the training'


def write_lines(path, entries):
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, entries)))


def read_tables(text):
    """The tables of a page, cell by cell."""

    def cells(line):
        return [
            re.sub('<[^>]+>', '', cell) for cell in re.findall(r'<t[dh].*?>(.*?)</t[dh]>', line)
        ]

    return [
        [cells(line) for line in re.findall(r'<tr.*?>(.*?)</tr>', table, re.DOTALL)]
        for table in re.findall(r'<table.*?>(.*?)</table>', text, re.DOTALL)
    ]
