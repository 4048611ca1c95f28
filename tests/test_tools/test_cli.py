"""What the tools make of words of the command line."""

import argparse
import importlib.util
from pathlib import Path

import pytest

CLI = Path(__file__).parents[2] / 'tools/_cli.py'


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    spec = importlib.util.spec_from_file_location('_cli', CLI)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parser = argparse.ArgumentParser()
    module.add_common_options(parser)
    return parser


@pytest.mark.parametrize(
    'text, value',
    [
        ('1', 1),
        ('1e-3', 0.001),
        ('None', None),
        ('true', True),
        ('1,2', [1, 2]),
        ('(1,2)', (1, 2)),
        ('[1.0,0.75]', [1.0, 0.75]),
        ('[1.0, 0.75]', [1.0, 0.75]),
        ('[a,b]', ['a', 'b']),
        ('[a, b]', ['a', 'b']),
        ('1, 2', [1, 2]),
        ('cats, dogs', ['cats', 'dogs']),
        (' 1 ', 1),
        ("'cat'", 'cat'),
        ("'person with clothes'", 'person with clothes'),
        ("a dog's bed", "a dog's bed"),
        ("['a, b', 'c']", ['a, b', 'c']),
        ('person with clothes', 'person with clothes'),
        ("['a photo of a {}.', 'b']", ['a photo of a {}.', 'b']),
        ("'cats, dogs'", 'cats, dogs'),
        ('x=y', 'x=y'),
    ],
)
def test_values_of_cfg_options_keep_their_blanks(parser, text, value):
    args = parser.parse_args(['--cfg-options', f'a.b={text}', 'c=2'])
    assert args.cfg_options == {'a.b': value, 'c': 2}


@pytest.mark.parametrize('given', ['foo', '=1', 'a=red cats, dogs', 'a=[1,2', 'a=[one two, three]'])
def test_cfg_options_that_cannot_be_read_are_named(parser, given, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', given])
    assert repr(given) in capsys.readouterr().err
