import re
from pathlib import Path

import numpy as np
import pytest

from mmwsss.exporters import FORMATS
from mmwsss.utils.io import write_mask

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path):
    write_mask(tmp_path / 'masks/a.png', np.uint8([[0, 1, 255]]))
    (tmp_path / 'classes.txt').write_text('cat')
    return tmp_path


def test_command(root, run_tool):
    args = ('masks', '--to', 'label-studio', '--classes', 'classes.txt')
    done = run_tool('export_masks.py', *args, cwd=root)
    assert done.returncode == 0, done.stderr
    assert (root / 'masks_label-studio/label_studio_tasks.json').is_file()
    assert '1 images: masks_label-studio/label_studio_tasks.json\n  cat: 1 images\n' in done.stdout
    assert 'left out: 1 unknown pixels (255; 33.33 %) of 1 images' in done.stdout


def test_unknown_format_is_one_line(root, run_tool):
    args = ('masks', '--to', 'cvta', '--classes', 'classes.txt')
    done = run_tool('export_masks.py', *args, cwd=root)
    assert done.returncode == 1
    assert "error: format must be one of coco, yolo, label-studio, cvat, got 'cvta'" in done.stderr
    assert 'Traceback' not in done.stderr


def test_help_names_every_format():
    text = (ROOT / 'tools/export_masks.py').read_text()
    assert re.search(r'FORMATS = \((.*)\)', text)[1] == ', '.join(map(repr, FORMATS))
