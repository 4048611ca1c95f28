"""The method of docs/add_a_method.md is built from the page, and keeps the contract."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs/add_a_method.md').read_text(encoding='utf-8')
FILES = dict(re.findall(r'^`(own/[\w.]+)`:\n\n```python\n(.*?)```', PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A checkout with the page's files in it, nothing else."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.split('.')[0] == 'own']:
        del sys.modules[name]


@pytest.mark.usefixtures('own')
def test_the_tests_of_the_page_pass():
    module = importlib.import_module('own.test_top_k_cam')
    tests = [name for name in vars(module) if name.startswith('test_')]
    assert tests == ['test_pooling_of_a_map_that_is_known', 'test_contract']
    for name in tests:
        getattr(module, name)()


def test_the_page_is_short_and_counts_its_files():
    code = FILES['own/top_k_cam.py'].splitlines()
    assert len(FILES) == 3 and 'The example is 3 files' in PAGE
    assert len([line for line in code if line.strip()]) <= 40


def test_what_the_page_names_is_there():
    sources = '\n'.join(path.read_text() for path in (ROOT / 'mmwsss').rglob('*.py'))
    (rows,) = re.findall(r'## Before you write it\n(.*?)\n## ', PAGE, re.DOTALL)
    names = re.findall(r'`(\w+)`', rows)
    assert len(names) > 20
    for name in names:
        assert re.search(rf'(def|class) {name}\b|^    {name}:|self\.{name} =', sources), name
    for path in re.findall(r'`((?:mmwsss|tests|tools|configs|docs)/[\w./]+)`', PAGE):
        assert 'METHOD' in path or (ROOT / path).exists(), path
