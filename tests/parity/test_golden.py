"""Every golden case at its tolerance."""

import pytest

from ..processes import give_memory_back
from .harness import METHODS, ROOT, STORED, find_cases, run_case

CASES = find_cases()


@pytest.mark.parametrize('path', CASES, ids=lambda p: f'{p.parent.name}/{p.stem}')
def test_golden_case(path):
    failures = run_case(path)
    give_memory_back()
    assert not failures, '\n'.join(failures)


def test_cases_were_found():
    assert CASES, f'no golden case under {ROOT} for any of {METHODS}'
    if ROOT == STORED:
        assert len(CASES) == 246
