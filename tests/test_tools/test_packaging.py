"""What mim and pip find in the package."""

import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ('mmwsss', 'configs', 'tools', 'demo')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """A wheel built, without network, from a copy of the sources."""
    copy = tmp_path_factory.mktemp('sources')
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns('__pycache__'))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    command = [sys.executable, 'setup.py', '-q', 'bdist_wheel', '-d', 'out']
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (copy / 'out').glob('*.whl')
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile):
    (name,) = (name for name in wheel.namelist() if name.endswith('.dist-info/METADATA'))
    return Parser().parsestr(wheel.read(name).decode())


def relative_files(*folders: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_wheel_holds_what_mim_looks_for(wheel):
    names = set(wheel.namelist())
    content = relative_files('configs', 'tools', 'demo') | {'model-index.yml'}
    assert {'configs/wsss/weclip_mini.py', 'tools/train.py', 'tools/dist_train.sh'} <= content
    info = f'mmwsss-{metadata(wheel)["Version"]}.dist-info'
    for folder in ('mmwsss', info):
        assert {f'{folder}/.mim/{name}' for name in content} <= names


def test_wheel_holds_all_modules_and_assets(wheel):
    names = set(wheel.namelist())
    sources = {name for name in relative_files('mmwsss') if '/.mim/' not in name}
    assert any(name.endswith('.safetensors') for name in sources)
    assert sources <= names


def test_config_names_are_unique():
    """Mim finds a config by its bare file name; it runs no benchmarks."""
    paths = (ROOT / 'configs').rglob('*.py')
    counts = Counter(path.name for path in paths if path.parent.name != 'benchmarks')
    assert 'weclip_mini.py' in counts
    assert [name for name, count in counts.items() if count > 1] == []


def test_requirements_are_the_default_extras(wheel):
    """requirements.txt = hard requirements + onedl + coco, with the same lower bounds."""
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    default = {line for line in lines if line and not line.startswith('#')}
    declared = set()
    for requirement in metadata(wheel).get_all('Requires-Dist'):
        name, _, marker = requirement.partition(';')
        if not marker or any(f'"{extra}"' in marker for extra in ('onedl', 'coco')):
            declared.add(name.strip())
    assert default == declared
