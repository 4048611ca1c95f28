from types import SimpleNamespace

import pytest

from mmwsss import openmp


@pytest.mark.parametrize(
    ('imported', 'env', 'expected'),
    [
        ('re', {}, '1000'),
        ('re', {'GOMP_SPINCOUNT': '7'}, '7'),
        ('re', {'OMP_WAIT_POLICY': 'active'}, None),
        ('torch', {}, None),
    ],
)
def test_waiting_is_short_unless_told_or_too_late(imported, env, expected, monkeypatch):
    monkeypatch.setattr(openmp, 'sys', SimpleNamespace(modules={imported: None}))
    monkeypatch.setattr(openmp, 'os', SimpleNamespace(environ=env))
    openmp.spin_briefly()
    assert env.get('GOMP_SPINCOUNT') == expected
