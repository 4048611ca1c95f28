import os

if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ['OMP_NUM_THREADS'] = '1'  # read when PyTorch is imported; a worker has one core

import gc
from collections.abc import Callable, Iterator
from itertools import count
from unittest.mock import patch

import pytest

from .processes import TOOLS, Done, give_memory_back, run_script


def pytest_collection_finish() -> None:
    """Spare the imported modules the full collections that mmengine asks for per data set."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope='session')
def plain_dumps() -> Iterator[None]:
    """Dumped configs are not made pretty, which takes longer than the short runs of the tests."""
    with patch('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True)):
        yield


@pytest.fixture(autouse=True, scope='session')
def nothing_remembered(tmp_path_factory) -> Iterator[None]:
    """Embeddings of texts are not those of earlier code."""
    os.environ['MMWSSS_CACHE_DIR'] = str(tmp_path_factory.mktemp('cache'))
    yield
    del os.environ['MMWSSS_CACHE_DIR']


@pytest.fixture(autouse=True, scope='module')
def memory_is_given_back() -> Iterator[None]:
    """Two workers would hold what the largest networks of all files have needed."""
    yield
    give_memory_back()


@pytest.fixture
def run_tool(tmp_path_factory) -> Callable[..., Done]:
    """Run a script of tools/ in a process of its own, one thread, in a given folder."""
    numbers = count()

    def run(name: str, *args: object, **options) -> Done:
        out = tmp_path_factory.mktemp('output') / str(next(numbers))
        return run_script(TOOLS / name, *args, out=out, **options)[0]

    return run
