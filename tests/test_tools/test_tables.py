"""Tables of figures, and what they are made from: metafiles, results of the benchmark, markers."""

import copy
import re
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/analysis_tools'))
import _metafiles
import _model_zoo
import _page_tables
import tables
from _benchmark import Figures, Results, read_rows

from mmwsss.stages.bed import published_tables

ROOT = Path(__file__).parents[2]
ZOO = ROOT / 'docs/model_zoo.md'
MODEL = {
    'Name': 'a_voc',
    'In Collection': 'A',
    'Config': 'configs/wsss/a_voc.py',
    'Metadata': {'Training Data': 'VOC', 'Upper Bound': 'a-full', 'Plain CAM': 'cam'},
    'Results': [
        {'Dataset': 'VOC', 'Metrics': {'mIoU(val+tta+crf, official, masks of B)': 70.5}},
        {'Dataset': 'mini', 'Metrics': {'mIoU(val)': '61.2 ± 1.3'}, 'Command': 'test.py a'},
    ],
}
PIPELINE = """
stages = dict(
    maps=dict(run='predict'),
    seed=dict(run='evaluate'),
    mask_cls=dict(run='evaluate'),
    val=dict(run='test'),
    val_crf=dict(run='test'),
)
"""
ROWS = """
rows = dict(
    a=dict(title='Method A', pipeline='a.py', columns=dict(mask='mask_cls'), bound='all'),
    b=dict(title='Method B', pipeline='b.py', columns=dict(val_crf=None)),
    c=dict(title='Seeds', pipeline='full.py', until='seed'),
    all=dict(title='True masks', pipeline='full.py', true_masks=True),
    gone=None,
)
"""
# Means and deviations by hand: 60, 61, 62 -> 61.0 ± 1.0; 40.0, 40.2 -> 40.1 ± 0.1 (0.1414).
CSV = """row,pipeline,seed,digest,stage,metric,value
a,a,0,x,seed,mIoU,40.0
a,a,1,x,seed,mIoU,40.2
a,a,0,x,seed,IoU/cat,12.5
a,a,0,x,seed,seconds,812
all,full,0,x,val,mIoU,60
all,full,1,x,val,mIoU,61
all,full,2,x,val,mIoU,62
again,full,2,x,val,mIoU,62
"""
FAILED = (
    CSV
    + """a,a,2,x,,failed,"killed
in the night"
"""
)
METAFILE = """# A remark that stays.
Models:
  - Name: a_mini
    Results:
      - Dataset: mini
        Metrics:
          mIoU(train seeds): 39.0  # here, too
          mIoU(val): '30.5'
        Benchmark: {mIoU(train seeds): a/seed, mIoU(val): a/val}
        Command: run.py
      - Dataset: mini
        Metrics: {mIoU(val): 12.0}
  - Name: a_full
    Results:
      - Metrics: {mIoU(val): new}
        Benchmark: {mIoU(val): full/val}
  - Name: none
"""


def results(path: Path, text: str = CSV) -> Results:
    path = path / 'mini.csv'
    path.write_text(text, encoding='utf-8')
    return Results(path)


@pytest.fixture
def figures(tmp_path) -> Figures:
    for name in ('a', 'b', 'full'):
        (tmp_path / f'{name}.py').write_text(PIPELINE)
    typed = {'a/val': '30.5 ± 0.5', 'full/val': '99.9'}
    return Figures(tmp_path, results(tmp_path), typed)


@pytest.fixture
def table(tmp_path, figures) -> _page_tables.Tables:
    (tmp_path / 'rows.py').write_text(ROWS)
    return _page_tables.Tables(tmp_path / 'rows.py', figures, [dict(Name='A', models=[MODEL])])


def test_metafiles_and_pages_are_what_the_artefacts_say():
    assert tables.check() == [], tables.RUN


def test_commands_of_measured_figures_fit_their_configs():
    """The checkpoint is the last one of its config, and every file is there."""
    commands = re.findall(r'^python .*', ZOO.read_text(encoding='utf-8'), re.MULTILINE)
    assert len(commands) > 8
    for command in commands:
        _, tool, config, *rest = command.split()
        assert (ROOT / tool).is_file() and (ROOT / config).is_file(), command
        for name, iteration in re.findall(r'work_dirs/([\w-]+)/iter_(\d+)\.pth', ' '.join(rest)):
            source = Config.fromfile(next((ROOT / 'configs').rglob(f'{name}.py')))
            assert int(iteration) == source.train_cfg.max_iters, command


def test_every_line_of_the_page_that_names_a_file_links_to_it():
    links = re.findall(r'\]\((?!http)([\w./-]+)', ZOO.read_text(encoding='utf-8'))
    assert len(links) > 50
    assert [name for name in links if not (ZOO.parent / name).exists()] == []


def test_figures_are_mean_and_deviation_of_the_seeds(tmp_path):
    found = results(tmp_path)
    assert found.figure('full', 'val') == ('61.0 ± 1.0', 61)
    assert found.figure('a', 'seed').text == '40.1 ± 0.1'
    assert found.figure('full', 'seed') is None
    one = results(tmp_path, CSV.split('a,a,1')[0])
    assert one.figure('a', 'seed').text == '40.0'
    of_three = Results(one.path, seeds=3)
    assert of_three.figure('a', 'seed').text == '40.0 (1 of 3 seeds)'


def test_seeds_that_failed_are_counted(tmp_path):
    found = results(tmp_path, FAILED)
    assert found.figure('a', 'seed').text == '40.1 ± 0.1 (2 of 3 seeds)'
    assert found.figure('a', 'val').text == 'failed'


def test_without_results_there_are_typed_figures_only(tmp_path):
    nothing = Results(tmp_path / 'mini.csv')
    assert nothing.figure('a', 'val') is None
    assert _metafiles.changes(METAFILE, nothing) == []


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', ': the columns must be row,'),
        ('row,seed\n', ': the columns must be row,'),
        (CSV + 'a,a,0\n', ', line 10: not enough values'),
        (FAILED + 'a,a,0\n', ', line 12: not enough values'),
        (CSV + 'a,a,0,x,seed,mIoU,41\n', ', line 10: a second mIoU of a, seed 0, stage seed'),
        (CSV + 'a,a,2,y,seed,mIoU,41\n', ': a: its seeds were run with different settings'),
        (CSV + 'a,a,0,x,val,mIoU,good\n', ', line 10: could not convert'),
        (CSV + 'a,a,0,x,val,mIoU,nan\n', ', line 10: mIoU must be'),
        (CSV + 'a,a,0,x,val,IoU/cat,inf\n', ', line 10: IoU/cat must be'),
        ((CSV + 'a,a,0\n').replace('\n', '\r'), ', line 10: not enough values'),
    ],
)
def test_what_is_wrong_with_results_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=re.escape(f'mini.csv{message}')):
        results(tmp_path, text)


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ("rows = dict(a=dict(title='A'))", 'rows.py: the row a must be a dict with title'),
        (ROWS.replace("bound='all'", "bound='no'"), 'rows.py: bound of the row a must be one of'),
        (ROWS.replace("'mask_cls'", "'maps'"), 'a has no stage maps with an mIoU; seed, mask_cls'),
        (ROWS.replace("until='seed'", "until='sed'"), 'full: until must be one of'),
        (ROWS.replace("'b.py'", "'c.py'"), 'the row b: there is no pipeline'),
    ],
)
def test_what_is_wrong_with_rows_is_named(tmp_path, figures, rows, message):
    (tmp_path / 'rows.py').write_text(rows)
    with pytest.raises((FileNotFoundError, ValueError), match=re.escape(message)):
        read_rows(tmp_path / 'rows.py', figures)


def test_links_of_metafiles_lead_to_stages(tmp_path, figures):
    with pytest.raises(ValueError, match='a has no stage maps with an mIoU'):
        Figures(tmp_path, figures.results, {'a/maps': '30.0'})


def test_summary_has_every_method_and_its_share_of_the_bound(table):
    assert table('summary', 'README.md').splitlines()[2:] == [
        # 30.5 is 50 % of 61; the result of the bound goes before its typed 99.9
        r'| Method A | 40.1 ± 0.1 |  | 30.5 ± 0.5\* |  | 61.0 ± 1.0 | 50 %\* |',
        '| Method B |  |  |  |  |  |  |',
        '| Seeds |  |  |  |  |  |  |',  # ends before val
        '',
        _page_tables.NOTE,
    ]


def test_summary_of_some_rows_leads_to_their_pages(tmp_path, table):
    rows = (tmp_path / 'rows.py').read_text()
    (tmp_path / 'rows.py').write_text(rows + "rows['b']['page'] = 'b_page'\n")
    tops = [table('summary b', where).splitlines()[2:] for where in ('README.md', 'docs/x.md')]
    assert tops == [
        [f'| [Method B]({page}) |  |  |  |  |  |  |'] for page in ('docs/b_page.md', 'b_page.md')
    ]


def test_what_failed_has_no_typed_figure_and_no_share(tmp_path, table):
    table.figures.results = results(tmp_path, FAILED + 'b,b,0,x,,failed,why\n')
    assert table('summary', 'README.md').splitlines()[2:] == [
        '| Method A | 40.1 ± 0.1 (2 of 3 seeds) | failed | failed | failed | 61.0 ± 1.0 |  |',
        '| Method B | failed |  | failed |  |  |  |',
        '| Seeds |  |  |  |  |  |  |',
    ]


def test_stages_of_one_pipeline_and_of_several(table):
    assert table('stages full: val = On val, seed=Seeds + CRF', 'README.md').splitlines() == [
        '| On val | Seeds + CRF |',
        '|---|---|',
        '| 61.0 ± 1.0 |  |',
    ]
    assert table('stages full b: val=mIoU', 'README.md').splitlines() == [
        '| pipeline | mIoU |',
        '|---|---|',
        '| `full` | 61.0 ± 1.0 |',
        '| `b` |  |',
    ]


def test_published_figures_say_what_was_judged_and_by_whom(table):
    other = {'Name': 'b', 'Results': [{'Dataset': 'COCO', 'Source': 'README'}]}
    other['Results'][0]['Metrics'] = {'mIoU(train seeds, official)': 50.0, 'mIoU(val)': 1.0}
    paper = dict(URL='https://a.org')
    table = _page_tables.Tables(
        table.rows, table.figures, [dict(Name='A', models=[MODEL, other], Paper=paper)]
    )
    assert table('published b a_voc', 'README.md').splitlines()[2:] == [
        '| `b` | COCO train | seeds | 50.0 | README |',
        '| `a_voc` | VOC val | network + TTA + CRF, masks of B | 70.5 '
        '| [paper or its authors](https://a.org) |',
    ]


PAGE = 'Text\n\n<!-- table: {} -->\nold\n<!-- end -->\n\nmore\n'


def test_a_table_is_written_between_its_markers(table):
    text = PAGE.format('stages full: val=mIoU')
    done = _page_tables.filled(text, 'page.md', table)
    assert done == (
        'Text\n\n<!-- table: stages full: val=mIoU -->\n\n'
        '| mIoU |\n|---|\n| 61.0 ± 1.0 |\n\n<!-- end -->\n\nmore\n'
    )
    assert _page_tables.filled(done, 'page.md', table) == done
    shown = f'```\n{PAGE.format("nothing")}```\n'
    assert _page_tables.filled(shown, 'page.md', table) == shown


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (PAGE.format('stages c: val=A'), 'page.md:3: there is no pipeline c in'),
        (
            PAGE.format('stages a: maps=A'),
            'page.md:3: a has no stage maps with an mIoU; seed, ',
        ),
        (PAGE.format('stages a'), 'page.md:3: write stages PIPELINE'),
        (PAGE.format('stages : val=A'), 'page.md:3: write stages PIPELINE'),
        (PAGE.format('stages a: val=A, val=B'), 'page.md:3: write stages PIPELINE'),
        (PAGE.format('stages a: val'), 'page.md:3: write stages PIPELINE'),
        (PAGE.format('published b'), 'page.md:3: no metafile has an official figure of a model b'),
        (PAGE.format('all'), "page.md:3: no table 'all': write summary [ROW ...], "),
        (PAGE.format('summary nobody'), 'page.md:3: row of '),
        (PAGE.replace('{}', ''), 'page.md:3: not <!-- table: NAME --> nor <!-- end -->'),
        ('<!--table: summary-->\n<!-- end -->', 'page.md:1: not <!-- table'),
        (PAGE.format('summary').replace('-- end', '-- End'), 'page.md:5: not <!-- table'),
        (
            PAGE.format('summary').replace('<!-- end -->', ''),
            'page.md:3: the table has no <!-- end -->',
        ),
        (
            2 * PAGE.format('summary').replace('<!-- end -->', ''),
            'page.md:10: the table of line 3 has no',
        ),
        ('\n<!-- end -->', 'page.md:2: no table to end'),
    ],
)
def test_a_wrong_marker_is_named_with_its_line(table, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        _page_tables.filled(text, 'page.md', table)


def test_metafiles_take_over_results_and_nothing_else_changes(tmp_path):
    measured = results(tmp_path, FAILED)
    found = _metafiles.changes(METAFILE, measured)
    assert [change[:4] for change in found] == [
        ('a_mini', 'mIoU(train seeds)', '39.0', '40.1 ± 0.1 (2 of 3 seeds)'),
        ('a_mini', 'mIoU(val)', '30.5', 'failed'),
        ('a_full', 'mIoU(val)', 'new', '61.0 ± 1.0'),
    ]
    expected = METAFILE.replace('39.0', '40.1 ± 0.1 (2 of 3 seeds)').replace("'30.5'", 'failed')
    done = _metafiles.applied(METAFILE, found)
    assert done == expected.replace('new', '61.0 ± 1.0')
    assert _metafiles.changes(done, measured) == []


def test_check_names_model_metric_and_both_figures(tmp_path):
    root = tmp_path / 'root'
    (root / 'configs/wsss').mkdir(parents=True)
    for name in ('docs', 'benchmarks', 'configs/pipelines'):
        (root / name).mkdir()
    metafile, page = root / 'configs/metafile.yml', root / 'README.md'
    for name in ('wsss/a_mini.py', 'pipelines/a.py'):
        (root / 'configs' / name).write_text(PIPELINE)
    (root / 'model-index.yml').write_text('Import: [configs/metafile.yml]')
    metafile.write_text(
        'Collections: [{Name: A, README: README.md}]\n'
        'Models:\n'
        '  - {Name: a_mini, In Collection: A, Config: configs/wsss/a_mini.py, Metadata: {Training '
        'Data: mini}, Results: [{Metrics: {mIoU(val): 30.5}, Command: x, '
        'Benchmark: {mIoU(val): a/val}}]}\n'
    )
    page.write_text(PAGE.format('stages a: val=Val'))
    tables.write(root)
    assert tables.check(root) == []
    assert r'| 30.5\* |' in page.read_text(encoding='utf-8')
    assert r'val 30.5\*' in (root / 'docs/model_zoo.md').read_text(encoding='utf-8')

    (root / tables.RESULTS).write_text(CSV.split('\n')[0] + '\na,a,0,x,val,mIoU,31.25\n')
    assert tables.check(root) == [
        'a_mini: mIoU(val) is 30.5 in configs/metafile.yml, 31.2 in benchmarks/mini.csv',
    ]
    tables.write(root)
    assert tables.check(root) == []
    assert '| 31.2 |' in page.read_text(encoding='utf-8')
    assert '| val 31.2 |' in (root / 'docs/model_zoo.md').read_text(encoding='utf-8')

    metafile.write_text(metafile.read_text(encoding='utf-8').replace('31.2', 'new'))
    assert [text.split(' in ')[0] for text in tables.check(root)] == ['a_mini: mIoU(val) is new']
    tables.write(root)

    page.write_text(page.read_text(encoding='utf-8').replace('31.2', '41.2'))
    assert tables.check(root) == ['README.md is not what metafiles and benchmark say']


@pytest.mark.parametrize('data, short', [('voc12', 'voc'), ('coco14', 'coco')])
def test_published_networks_of_the_bed_are_cells_of_its_tables(data, short):
    (bed,) = (item for item in _metafiles.read_collections(ROOT) if item['Name'] == 'WSSS-BED')
    assert bed['README'] == 'docs/wsss_bed.md'
    models = {model['Name']: model for model in bed['models']}
    assert 'Results' not in models[f'deeplabv2_r101_bed_{short}']  # starts from ImageNet
    (result,) = models[f'deeplabv2_r101_bed-coco-init_{short}']['Results']
    mean, _ = published_tables().find(data, 'CAM', 'MOVE')
    assert result['Metrics'] == {'mIoU(val, official, CRF not stated)': mean}
    assert 'WSSS-BED' in result['Source']


def test_figures_are_published_or_measured(tmp_path):
    found = results(tmp_path)
    published = _metafiles.figures(MODEL, official=True, results=found)
    assert published == {'val + TTA + CRF, masks of B': '70.5'}
    typed = _metafiles.figures(MODEL, official=False, results=found)
    assert typed == {'val': r'61.2 ± 1.3\*'}


def test_methods_stand_beside_their_bounds(tmp_path):
    bound, cam = copy.deepcopy(MODEL), copy.deepcopy(MODEL)
    bound['Name'], bound['Metadata'] = 'a-full', {}
    bound['Results'][1]['Metrics'] = {'mIoU(val)': 80.0, 'mIoU(val+crf)': 90.0}
    bound['Results'][1]['Benchmark'] = {'mIoU(val)': 'full/val'}
    cam['Name'], cam['Metadata'] = 'cam', {}
    cam['Results'][1]['Metrics'] = {'mIoU(train seeds)': 40.1}
    page = _model_zoo.comparison([dict(models=[MODEL, bound, cam])], results(tmp_path))
    assert page.splitlines()[-1:] == [
        r'| [a_voc](../configs/wsss/a_voc.py) | 61.2 ± 1.3\* |  | 80.0 | 90.0\* | 40.1\* |',
    ]


def metrics(text: str, value: object) -> dict:
    return {'Results': [{'Dataset': 'mini', 'Metrics': {text: value}, 'Command': 'x'}]}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'Name': 'b'}, 'its name is not that of configs/wsss/a_voc.py'),
        ({'Results': []}, 'give it Results, or "Figures: none"'),
        ({'Metadata': {'Figures': 'none'}}, 'give it Results, or "Figures: none"'),
        ({'Metadata': {'Upper Bound': 'nothing'}}, 'Upper Bound: nothing has no entry'),
        (metrics('mIoU', 70.5), '"mIoU" must be like mIoU'),
        (metrics('mIoU(val)', 'good'), '"mIoU(val): good" must be like 61.2'),
        (metrics('mIoU(val)', '61.2 +- 1'), 'must be like 61.2'),
        (
            {'Results': [{'Dataset': 'mini', 'Metrics': {'mIoU(val)': 61.2}}]},
            '"mIoU(val)" is not marked official, and no Command says',
        ),
        (
            {'Results': [{'Metrics': {}, 'Benchmark': {'mIoU(val)': 'a/val'}}]},
            'Benchmark names "mIoU(val)", which is none of its measured Metrics',
        ),
        (
            {
                'Results': [
                    {
                        'Metrics': {'mIoU(val)': 61.2},
                        'Benchmark': {'mIoU(val)': 'a'},
                        'Command': 'x',
                    }
                ]
            },
            'Benchmark must be PIPELINE/STAGE, got "mIoU(val): a"',
        ),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(change, message):
    names = {'a_voc', 'a-full', 'cam'}
    assert list(_metafiles.wrong_entry(MODEL, names)) == []
    (found,) = _metafiles.wrong_entry({**MODEL, **change}, names)
    assert message in found


def test_configs_and_entries_must_meet(tmp_path):
    for folder in ('wsss', 'segmentation'):
        (tmp_path / 'configs' / folder).mkdir(parents=True)
    (tmp_path / 'configs/wsss/new_voc.py').touch()
    model = {**MODEL, 'Metadata': {}}
    collections = [dict(Name='A', README='docs/a.md', models=[model, model])]
    assert _metafiles.complaints(collections, tmp_path) == [
        'configs/wsss/new_voc.py has no entry in a metafile',
        'configs/wsss/a_voc.py is in a metafile, but not there',
        'configs/wsss/a_voc.py is in a metafile, but not there',
        'configs/wsss/a_voc.py has several entries',
        'A: there is no page docs/a.md',
    ]
