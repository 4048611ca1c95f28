"""The model zoo page, and the metafiles that it is made from."""

import copy
import importlib.util
import re
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location('zoo', ROOT / 'tools/analysis_tools/model_zoo.py')
zoo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(zoo)

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


def test_metafiles_are_complete_and_right():
    assert zoo.complaints(zoo.read_collections()) == []


def test_the_committed_page_is_what_the_metafiles_say():
    found = zoo.PAGE.read_text(encoding='utf-8')
    assert found == zoo.page(zoo.read_collections()), 'run tools/analysis_tools/model_zoo.py'


def test_commands_of_measured_figures_fit_their_configs():
    """The checkpoint is the last one of its config, and every file is there."""
    commands = re.findall(r'^python .*', zoo.PAGE.read_text(encoding='utf-8'), re.MULTILINE)
    assert len(commands) > 8
    for command in commands:
        _, tool, config, *rest = command.split()
        assert (ROOT / tool).is_file() and (ROOT / config).is_file(), command
        for name, iteration in re.findall(r'work_dirs/([\w-]+)/iter_(\d+)\.pth', ' '.join(rest)):
            source = Config.fromfile(next((ROOT / 'configs').rglob(f'{name}.py')))
            assert int(iteration) == source.train_cfg.max_iters, command


def test_every_line_of_the_page_that_names_a_file_links_to_it():
    text = zoo.PAGE.read_text(encoding='utf-8')
    links = re.findall(r'\]\((?!http)([\w./-]+)', text)
    assert len(links) > 50
    assert [name for name in links if not (zoo.PAGE.parent / name).exists()] == []


def test_figures_are_published_or_measured():
    assert zoo.figures(MODEL, official=True) == {'val + TTA + CRF, masks of B': '70.5'}
    assert zoo.figures(MODEL, official=False) == {'val': '61.2 ± 1.3'}


def test_methods_stand_beside_their_bounds():
    bound, cam = copy.deepcopy(MODEL), copy.deepcopy(MODEL)
    bound['Name'], bound['Metadata'] = 'a-full', {}
    bound['Results'][1]['Metrics'] = {'mIoU(val)': 80.0, 'mIoU(val+crf)': 90.0}
    cam['Name'], cam['Metadata'] = 'cam', {}
    cam['Results'][1]['Metrics'] = {'mIoU(train seeds)': 40.1}
    rows = zoo.comparison([dict(models=[MODEL, bound, cam])]).splitlines()[-1:]
    assert rows == [
        '| [a_voc](../configs/wsss/a_voc.py) | 61.2 ± 1.3 |  | 80.0 | 90.0 | 40.1 |',
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
    ],
)
def test_what_is_wrong_with_an_entry_is_named(change, message):
    names = {'a_voc', 'a-full', 'cam'}
    assert list(zoo.wrong_entry(MODEL, names)) == []
    (found,) = zoo.wrong_entry({**MODEL, **change}, names)
    assert message in found


def test_configs_and_entries_must_meet(tmp_path):
    for folder in ('wsss', 'segmentation'):
        (tmp_path / 'configs' / folder).mkdir(parents=True)
    (tmp_path / 'configs/wsss/new_voc.py').touch()
    model = {**MODEL, 'Metadata': {}}
    found = zoo.complaints([dict(Name='A', README='docs/a.md', models=[model, model])], tmp_path)
    assert found == [
        'configs/wsss/new_voc.py has no entry in a metafile',
        'configs/wsss/a_voc.py is in a metafile, but not there',
        'configs/wsss/a_voc.py is in a metafile, but not there',
        'configs/wsss/a_voc.py has several entries',
        'A: there is no page docs/a.md',
    ]
