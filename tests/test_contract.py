"""What every method promises, tried on each mini config of ``configs/wsss``; a new one is found.

Two processes, a repeated ``predict`` stage and resuming are in ``test_tools`` and ``test_stages``.
"""

from pathlib import Path

import pytest

from mmwsss.testing import CHECKS, load_method

CONFIGS = {
    path.stem: path for path in (Path(__file__).parents[1] / 'configs/wsss').glob('*_mini*.py')
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('contract')


@pytest.fixture(scope='module', params=sorted(CONFIGS))
def method(request, folder):
    return load_method(CONFIGS[request.param], folder)


def test_every_mini_config_is_found():
    assert {'weclip_mini', 'afa_mini', 'clip_es_mini', 'psa_mini_affinity'} <= set(CONFIGS)


@pytest.mark.parametrize('check', CHECKS, ids=lambda check: check.__name__)
def test_contract(method, check):
    check(method)
