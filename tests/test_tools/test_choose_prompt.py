"""Candidates are checked before a model is built; better words have sharper scores."""

import importlib.util
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/wsss/clip_es_mini.py'


@pytest.fixture(scope='module')
def choose_prompt():
    path = ROOT / 'tools/analysis_tools/choose_prompt.py'
    spec = importlib.util.spec_from_file_location('choose_prompt', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_candidates_differ_from_the_config_in_one_thing(choose_prompt):
    cfg = Config.fromfile(CONFIG)
    found = choose_prompt.candidates(cfg, ['the {}'], ['boat = ship'])
    assert list(found) == ['config: a clean origami {}.', 'the {}', 'boat = ship']
    assert found['the {}'] == {**cfg.model.text, 'templates': ['the {}']}
    names = ['ship', *cfg.model.text.class_names[1:]]
    assert found['boat = ship'] == {**cfg.model.text, 'class_names': names}


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--templates', 'a {}.', 'a photo'], "the template 'a photo' must hold '{}' once"),
        (['--synonym', 'ship'], 'expected TEXT=OTHER'),
        (['--synonym', 'ship=boat'], 'TEXT one of boat, car'),
        (['--synonym', 'boat='], 'expected TEXT=OTHER'),
        (['--synonym', 'boat=Car'], "'Car' is the text of a class already"),
        (['--device', 'cuda:99'], "device 'cuda:99' cannot be used here"),
    ],
)
def test_mistakes_are_told_before_a_model_is_built(choose_prompt, monkeypatch, args, message):
    monkeypatch.setattr(MODELS, 'build', lambda cfg: pytest.fail('built'))
    monkeypatch.setattr(sys, 'argv', ['choose_prompt.py', str(CONFIG), *args])
    with pytest.raises(SystemExit) as done:
        choose_prompt.main()
    assert message in done.value.code


def test_other_configs_are_refused(choose_prompt, monkeypatch):
    other = ROOT / 'configs/wsss/psa_mini_cam.py'
    for path, message in ((other, 'not a config of CLIP-ES'), ('no.py', 'no.py does not exist')):
        monkeypatch.setattr(sys, 'argv', ['choose_prompt.py', str(path)])
        with pytest.raises(SystemExit, match=message):
            choose_prompt.main()
