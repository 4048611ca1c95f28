"""Trainings of the shipped networks resume with the settings they were begun with."""

import importlib.util
from pathlib import Path

import pytest
import torch

spec = importlib.util.spec_from_file_location(
    '_training', Path(__file__).parents[2] / 'tools/_training.py'
)
training = importlib.util.module_from_spec(spec)
spec.loader.exec_module(training)


def test_other_settings_are_refused(tmp_path):
    path, settings = tmp_path / 'last.pth', dict(batch=32, sizes=(48, 96))
    assert training.load_last(path, settings) is None
    training.save_last(path, settings, step=3, model=dict(w=torch.ones(2)))
    saved = training.load_last(path, settings)
    assert saved['step'] == 3 and torch.equal(saved['model']['w'], torch.ones(2))
    with pytest.raises(
        ValueError, match=r'last\.pth was begun with other settings: batch: 32 -> 8'
    ):
        training.load_last(path, dict(settings, batch=8))
