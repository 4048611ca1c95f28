"""The commands of docs/ten_minutes.md run, on a few images and for a few iterations."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.datasets.mini import MiniDataset
from mmwsss.datasets.mini_render import render_mini
from mmwsss.utils.io import read_mask, write_mask

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs/ten_minutes.md').read_text(encoding='utf-8')
# Rendering all images would take longer than everything else.
SHORTER = {
    'python tools/dataset_converters/mini.py data/mini\n': '',
    'tools/train.py data/mine/train.py': 'tools/train.py data/mine/train.py --cfg-options '
    'train_cfg.max_iters=2 default_hooks.checkpoint.interval=2 train_dataloader.batch_size=2',
    'iter_1000.pth': 'iter_2.pth',
}


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ('configs', 'demo', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    mini = tmp_path / 'data/mini'
    (mini / 'JPEGImages').mkdir(parents=True)
    for i in range(6):
        image, mask, _ = render_mini('train', i)
        Image.fromarray(image).save(mini / f'JPEGImages/train_{i:04d}.png')
        write_mask(mini / f'SegmentationClass/train_{i:04d}.png', mask)
    return tmp_path


@pytest.fixture
def run(folder, run_tool):
    """Run a command line in the folder; a script of Python in a process that has PyTorch."""

    def run(command: str) -> str:
        words = shlex.split(command)
        if words[0] == 'python':
            done = run_tool(folder / words[1], *words[2:], cwd=folder)
        else:
            bash = ['bash', '-e', '-c', command]
            done = subprocess.run(bash, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f'{command}\n{done.stdout}\n{done.stderr}'
        return done.stdout

    return run


def submit(folder: Path) -> None:
    """What a person does in Label Studio: take one mask as it is, draw a box into another."""
    tasks = json.loads((folder / 'to_correct/label_studio_tasks.json').read_text())
    for task in tasks:
        (prediction,) = task['predictions']
        task['annotations'] = [dict(id=1, result=prediction['result'])]
    box = dict(x=25, y=50, width=50, height=25, rectanglelabels=['cat'])
    region = dict(tasks[0]['predictions'][0]['result'][0], type='rectanglelabels', value=box)
    tasks[0]['annotations'][0]['result'] = [region]
    (folder / 'project.json').write_text(json.dumps(tasks))


def test_the_commands_of_the_page(folder, run):
    blocks = re.findall(r'```shell\n(.*?)```', PAGE, flags=re.DOTALL)
    assert len(blocks) == 9
    commands = ''.join(blocks)
    for old, new in SHORTER.items():
        assert old in commands, old
        commands = commands.replace(old, new)
    lines = commands.replace('\\\n', ' ').splitlines()
    output = ''
    for line in lines:
        if 'label_studio.py' in line:
            submit(folder)
        output += run(line)
    (code,) = re.findall(r'```python\n(.*?)```', PAGE, flags=re.DOTALL)
    (folder / 'code.py').write_text(code)
    assert "['bird']" in run('python code.py')

    assert (folder / 'first_look/vis/train_0000.png').is_file()
    mine = folder / 'data/mine'
    names = (mine / 'classes.txt').read_text().split()
    assert ('background', *names) == MiniDataset.METAINFO['classes']
    ids = (mine / 'train.txt').read_text().split()
    assert len(ids) >= 5
    for key in ids:
        for written in (mine / 'masks', mine / 'network/masks'):
            assert (
                read_mask(written / f'{key}.png').shape
                == render_mini('train', int(key[-4:]))[1].shape
            )
    assert (folder / 'network.png').is_file() and (folder / 'network.onnx').is_file()
    first = read_mask(mine / f'corrected/{ids[0]}.png')
    height, width = first.shape
    inside = first[height // 2 + 1 : height * 3 // 4 - 1, width // 4 + 1 : width * 3 // 4 - 1]
    assert (inside == names.index('cat') + 1).all()
    assert np.isin(first, [0, names.index('cat') + 1]).all()
    assert sorted(p.stem for p in (mine / 'corrected').glob('*.png')) == sorted(ids)
    assert len(re.findall(r'^mIoU: ', output, flags=re.MULTILINE)) == 2


def test_every_file_that_the_page_names_is_there():
    for name in re.findall(r'(?:configs|tools|demo)/[\w/.-]+\.py', PAGE):
        assert (ROOT / name).is_file(), name
