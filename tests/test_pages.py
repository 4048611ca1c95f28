"""Every command of the pages runs, or says in a comment before its block what it needs.

A block of shell or Python without ``<!-- needs: ... -->`` is run, those of a page one after the
other in one folder, unless another test runs it (:data:`ELSEWHERE`). Of the others the arguments
are read by the parsers of their tools, and the files that they name have to be there.
"""

import argparse
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image
from torch import nn

from mmwsss import registry
from mmwsss.datasets.mini_render import render_mini
from mmwsss.ops.cam import gradcam_family
from mmwsss.ops.dense_crf import PRESETS
from mmwsss.stages.launch import load_config
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils.io import write_mask

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'configs/README.md')),
    *sorted((ROOT / 'docs').rglob('*.md')),
]
BLOCK = re.compile(
    r'(?:^ *<!-- needs: (?P<needs>[^>]+) -->\n)?'
    r'^(?P<indent> *)```(?P<language>bash|shell|sh|python)\n(?P<text>.*?)^(?P=indent)```',
    re.MULTILINE | re.DOTALL,
)
SHELL = ('bash', 'shell', 'sh')
ELSEWHERE = {
    ('docs/add_a_method.md', 'python'): 'tests/test_testing/test_add_a_method_page.py',
    ('docs/own_data.md', 'python'): 'tests/test_stages/test_own_network_page.py',
    ('docs/ten_minutes.md', 'python'): 'tests/test_apis/test_ten_minutes_page.py',
    ('docs/ten_minutes.md', 'shell'): 'tests/test_apis/test_ten_minutes_page.py',
}
CHILD_CONFIGS = 'tests/test_config_options.py'  # blocks that begin with _base_
# What stands for files of the reader, or would take too long or need weights.
SHORTER = {
    'docs/deploy.md': {
        ' CHECKPOINT ': ' none ',
        '--size 96 128': '--size 32 48',
        "'clip_es_voc'": "'clip_es_mini'",
    },
    'docs/excel.md': {"'excel_free_voc'": "'excel_free_mini'"},
    'docs/mini.md': {'mini.py data/mini': 'mini.py -h'},  # a minute of drawing
}
LAUNCHERS = {
    'dist_train.sh': ('train.py', lambda words: [words[0], *words[2:]]),
    'dist_test.sh': ('test.py', lambda words: [words[0], words[1], *words[3:]]),
    'slurm_train.sh': ('train.py', lambda words: words[2:]),
    'slurm_test.sh': ('test.py', lambda words: words[2:]),
}
FOR_EXAMPLE = {'METHOD': 'psa', 'N': '1', 'H': '64', 'W': '64'}  # what a parser does not take
WRITTEN = ('configs/own/', 'configs/pets/', 'own/')  # by the reader, from the page
OWN_FOLDERS = ('slurm', 'top_k_cam_mini')  # of work_dirs, not called as a shipped config


class Block(NamedTuple):
    """A fenced block: its page, language, text, line, and what it needs."""

    page: str
    language: str
    text: str
    line: int
    needs: str | None

    @property
    def elsewhere(self) -> str | None:
        """The test that runs it."""
        if self.language == 'python' and self.text.lstrip().startswith('_base_ ='):
            return CHILD_CONFIGS
        return ELSEWHERE.get((self.page, self.language))


def blocks_of(path: Path) -> list[Block]:
    page = path.read_text(encoding='utf-8')
    return [
        Block(
            path.relative_to(ROOT).as_posix(),
            found['language'],
            re.sub(f'^{found["indent"]}', '', found['text'], flags=re.MULTILINE),
            page[: found.start('text')].count('\n'),
            found['needs'],
        )
        for found in BLOCK.finditer(page)
    ]


BLOCKS = [block for path in PAGES for block in blocks_of(path)]
RUN = [block for block in BLOCKS if not block.needs and not block.elsewhere]


def commands(text: str) -> list[str]:
    """Single commands of a block of shell; what stands in brackets may be left out, or not."""
    text = re.sub(r'\\\n *', ' ', text).replace(' ...', '')
    text = re.sub(r'\[(?!\d)([^\]"]*)\]', r'\1', text).replace(']', '') if '[--' in text else text
    return [part.strip() for line in text.splitlines() for part in line.split('&&')]


def tool_of(command: str) -> tuple[Path, list[str]] | None:
    """The script of a command and its arguments; None if it is none of ours."""
    words = [FOR_EXAMPLE.get(word, word) for word in shlex.split(command, comments=True)]
    while words and re.fullmatch(r'\w+=.*', words[0]):
        words = words[1:]
    if len(words) < 2 or not words[1].startswith(('tools/', 'demo/')):
        return None
    script = ROOT / words[1]
    if script.name in LAUNCHERS:
        assert script.is_file(), words[1]
        name, given = LAUNCHERS[script.name]
        return ROOT / 'tools' / name, given(words[2:])
    return script, words[2:]


def told() -> list[tuple[str, str]]:
    """Place and text of all commands of ours that are not run here: in blocks and in the text."""
    found = [
        (f'{block.page}:{block.line}', command)
        for block in BLOCKS
        if block.language in SHELL and block not in RUN
        for command in commands(block.text)
    ]
    for path in PAGES:
        text = BLOCK.sub('', path.read_text(encoding='utf-8'))
        spans = re.findall(r'`(python (?:tools|demo)/[^`]+)`', text)
        found += [(path.relative_to(ROOT).as_posix(), ' '.join(span.split())) for span in spans]
    return [(place, command) for place, command in found if tool_of(command)]


class Parsed(BaseException):
    """The arguments of a tool were read."""


def parse(script: Path, args: list[str]) -> argparse.Namespace:
    """What a tool's own parser makes of arguments; nothing else of the tool runs."""
    original = argparse.ArgumentParser.parse_args

    def stop(self, *given):
        raise Parsed(original(self, *given))

    path = [str(script.parent), str(ROOT / 'tools'), *sys.path]
    with (
        patch.object(argparse.ArgumentParser, 'parse_args', stop),
        patch.object(sys, 'argv', [str(script), *args]),
        patch.object(sys, 'path', path),
        pytest.raises(Parsed) as parsed,
    ):
        runpy.run_path(str(script), run_name='__main__')
    return parsed.value.args[0]


def check_files(args: argparse.Namespace) -> None:
    """Configs, presets and the iterations of checkpoints are those that there are."""
    values = [value for given in vars(args).values() for value in as_list(given)]
    for value in map(str, values):
        if value.startswith(('configs/', 'tools/')) and not value.startswith(WRITTEN):
            assert (ROOT / value).is_file(), value
        if found := re.search(r'work_dirs/([\w-]+)/iter_(\d+)\.pth', value):
            configs = list(ROOT.glob(f'configs/*/{found[1]}.py'))
            assert configs or found[1] in OWN_FOLDERS, value
            for config in configs:
                assert load_config(config).train_cfg.max_iters == int(found[2]), value
    preset = getattr(args, 'crf', None)
    assert preset in (None, 'PRESET', *PRESETS), preset


def as_list(value):
    return value if isinstance(value, list | tuple) else [value]


@pytest.mark.parametrize('place, command', dict.fromkeys(told()))
def test_arguments_are_those_of_the_tool(place, command):
    script, args = tool_of(command)
    assert script.is_file(), f'{place}: there is no {script}'
    try:
        check_files(parse(script, args))
    except SystemExit:
        pytest.fail(f'{place}: {command}')


def test_other_tests_run_what_they_are_said_to_run():
    for (page, language), test in ELSEWHERE.items():
        assert page in (ROOT / test).read_text()
        assert any((block.page, block.language) == (page, language) for block in BLOCKS)


@pytest.mark.parametrize(
    ('page', 'old'), [(page, old) for page in SHORTER for old in SHORTER[page]]
)
def test_what_is_made_shorter_stands_in_the_page(page, old):
    assert any(old in block.text for block in RUN if block.page == page)


def test_blocks_are_found():
    assert len(BLOCKS) > 120 and len(RUN) > 15 and len(told()) > 100
    assert sum(path.read_text().count('<!-- needs:') for path in PAGES) == sum(
        block.needs is not None for block in BLOCKS
    )


@pytest.mark.parametrize(
    'command',
    [
        'python tools/train.py configs/wsss/weclip_mini.py --resum_e',
        'python tools/train.py configs/wsss/weclip_minii.py',
        'python tools/test.py configs/wsss/weclip_mini.py --crf nobody',
        'python tools/test.py configs/wsss/weclip_mini.py work_dirs/weclip_mini/iter_900.pth',
        'python tools/test.py configs/wsss/weclip_mini.py work_dirs/weclip_minii/iter_1000.pth',
        'bash tools/dist_train.sh configs/wsss/weclip_minii.py 2',
    ],
)
def test_a_wrong_command_would_be_found(command):
    with pytest.raises((AssertionError, SystemExit)):
        check_files(parse(*tool_of(command)))


# running


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout, and beside it the files of a reader."""
    for name in ('demo', 'mmwsss', 'tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    pets = tmp_path / 'data/pets'
    for i in range(4):
        write_pet(pets, f'IMG_{i:04d}', i)
    (pets / 'classes.txt').write_text('cat\ndog\n')
    photo = Image.fromarray(render_mini('train', 0)[0])
    for name in ('image.jpg', 'river.jpg'):
        photo.save(tmp_path / name)
    (tmp_path / 'descriptions.json').write_text(
        json.dumps({'otter': ['brown fur', 'long body'], 'kayak': ['a narrow boat']})
    )
    monkeypatch.chdir(tmp_path)
    init_default_scope('mmseg')
    return tmp_path


def write_pet(pets: Path, name: str, number: int) -> None:
    image, mask, _ = render_mini('train', number)
    mask = np.where(mask > 0, 1 + mask % 2, 0).astype(np.uint8)
    size = mask.shape
    for kind in ('images', 'Annotations'):
        (pets / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(pets / f'images/{name}.jpg')
    write_mask(pets / f'masks/{name}.png', mask)
    values = np.setdiff1d(mask, [0])
    cams = np.stack([(mask == value).astype(np.float32) for value in values])
    save_cam(pets / f'cams/{name}.npz', values - 1, cams, size)
    voc = ElementTree.Element('annotation')
    ElementTree.SubElement(voc, 'filename').text = f'{name}.jpg'
    ElementTree.SubElement(ElementTree.SubElement(voc, 'object'), 'name').text = 'cat'
    ElementTree.ElementTree(voc).write(pets / f'Annotations/{name}.xml')


def before(page: str, folder: Path, run_tool) -> None:
    """What the page's commands find: masks of a run, and exports of annotation tools."""
    if page == 'docs/deploy.md':
        shutil.copytree(folder / 'data/pets', folder / 'work_dirs/pets')
    if page not in ('docs/deploy.md', 'docs/own_data.md'):
        return
    pets = folder / 'data/pets'
    for kind in ('coco', 'yolo', 'label-studio', 'cvat'):
        args = ('--to', kind, '--classes', pets / 'classes.txt', '--images', pets / 'images')
        done = run_tool('export_masks.py', pets / 'masks', *args, '--out', kind, cwd=folder)
        assert done.returncode == 0, done.stderr
    shutil.move('yolo/labels', 'labels')
    shutil.move('cvat/cvat_annotations.xml', 'annotations.xml')
    shutil.copy('coco/instances_default.json', 'instances.json')
    shutil.copy('coco/instances_default.json', pets / 'instances.json')
    tasks = json.loads(Path('label-studio/label_studio_tasks.json').read_text())
    for task in tasks:  # somebody accepts what was predicted
        task['annotations'] = task.pop('predictions')
    Path('project.json').write_text(json.dumps(tasks))


def names_of(page: str) -> dict:
    """What the page's Python takes for known."""
    if page == 'docs/cam.md':
        torch.manual_seed(0)
        stem, *layers = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(5))
        layers = {f'layer{i}': layer for i, layer in enumerate(layers, start=1)}
        known = dict(gradcam=gradcam_family.gradcam, scale_maps=gradcam_family.scale_maps, nn=nn)
        known |= dict(
            pool=nn.AdaptiveAvgPool2d(1), fc=nn.Linear(3, 4), images=torch.rand(2, 3, 8, 9)
        )
        index = dict(image_index=torch.tensor([0, 1]), class_index=torch.tensor([2, 3]))
        return dict(stem=stem, **layers, **known, **index)
    if page == 'docs/dense_crf.md':
        scores, labels = torch.full((3, 12, 16), 1 / 3), torch.zeros(12, 16, dtype=torch.uint8)
        image = torch.zeros(12, 16, 3, dtype=torch.uint8)
        known = dict(image=image, probabilities=scores, labels=labels)
        return dict(known, scores_low=scores, scores_high=scores)
    return {}


def registered(value) -> None:
    """Types in a piece of a config are those of a registry."""
    if isinstance(value, dict) and isinstance(kind := value.get('type'), str):
        assert any(
            node.get(kind)
            for node in vars(registry).values()
            if isinstance(node, registry.Registry)
        ), kind
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            registered(part)


@pytest.mark.parametrize('page', dict.fromkeys(block.page for block in RUN))
def test_commands_run(page, folder, run_tool):
    before(page, folder, run_tool)
    known = names_of(page)
    for block in RUN:
        if block.page != page:
            continue
        text = block.text
        for old, new in SHORTER.get(page, {}).items():
            text = text.replace(old, new)
        if block.language == 'python':
            exec(compile(text, f'{page}:{block.line}', 'exec'), known)
            registered([value for name, value in known.items() if name[0] != '_'])
            continue
        for command in filter(None, commands(text)):
            run(command, folder, run_tool, f'{page}:{block.line}')


def run(command: str, folder: Path, run_tool, place: str) -> None:
    if tool := tool_of(command):
        done = run_tool(tool[0], *tool[1], cwd=folder)
    else:
        words = ['bash', '-e', '-c', command]
        env = {**os.environ, 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'}
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, f'{place}: {command}\n{done.stdout}\n{done.stderr}'
