"""Scores for AffinityNet's labels: what is written is read, anything else is refused by name."""

import numpy as np
import pytest

from mmwsss.stores.score_store import load_scores, save_scores

LABELS, SIZE = np.array([2, 5]), (9, 12)


def scores(*grid):
    return np.random.default_rng(0).random((2, 3, *grid), dtype=np.float32)


@pytest.mark.parametrize('grid', [(9, 12), (5, 6), (3, 3), (1, 1)])
def test_round_trip_at_full_and_reduced_size(tmp_path, grid):
    low, high = scores(*grid)
    save_scores(tmp_path / 'a.npz', LABELS, low, high)
    labels, *stored = load_scores(tmp_path / 'a.npz', SIZE, num_foreground=6)
    assert labels.tolist() == [2, 5]
    np.testing.assert_allclose(stored, [low, high], atol=5e-4)


@pytest.mark.parametrize('grid', [(12, 9), (9, 13), (3, 12), (18, 24)])
def test_the_scores_of_another_image(tmp_path, grid):
    save_scores(tmp_path / 'a.npz', LABELS, *scores(*grid))
    with pytest.raises(ValueError, match=f'a.npz: low is {grid[0]} x {grid[1]}.* 9 x 12'):
        load_scores(tmp_path / 'a.npz', SIZE)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(labels=np.array([2])), 'expected 2 maps'),
        (dict(labels=np.array([2, 7])), 'not different foreground classes'),
        (dict(low=np.full((3, 9, 12), 1.5)), r'outside \[0, 1\]'),
        (dict(high=np.full((3, 9, 12), np.nan)), r'outside \[0, 1\]'),
        (dict(high=np.zeros((3, 9, 12), np.uint8)), 'high is uint8'),
        (dict(high=np.zeros((3, 0, 12))), 'expected 3 maps'),
    ],
)
def test_damaged_content(tmp_path, change, message):
    low, high = scores(*SIZE)
    np.savez(tmp_path / 'a.npz', **{'labels': LABELS, 'low': low, 'high': high, **change})
    with pytest.raises(ValueError, match=f'a.npz.*{message}'):
        load_scores(tmp_path / 'a.npz', SIZE, num_foreground=6)
