"""What a user gives is checked, and messages say what is allowed."""

import os

import numpy as np
import pytest
import torch

from mmwsss.utils.checks import (
    check_apart,
    check_choice,
    check_device,
    check_distinct_files,
    check_look_different,
    check_output_file,
    check_output_folder,
    check_palette,
    check_range,
    check_unique,
    some,
    spelling_hint,
)

NAN, INF = float('nan'), float('inf')


@pytest.mark.parametrize('value', [0, 0.5, 1, np.float32(0.25), np.int64(1), None])
def test_numbers_inside_of_a_range_pass(value):
    check_range('share', value, 0, 1)


@pytest.mark.parametrize('value', [-1e-9, 1.0001, NAN, INF, -INF, '0.5', True, [0.5], 1j])
def test_what_is_no_number_inside_of_the_range_is_refused(value):
    with pytest.raises(ValueError, match=r'share must be a number in \[0, 1\], got '):
        check_range('share', value, 0, 1)


def test_open_bounds_are_outside():
    check_range('share', 0.5, 0, 1, open_low=True, open_high=True)
    with pytest.raises(ValueError, match=r'in \(0, 1\], got 0'):
        check_range('share', 0, 0, 1, open_low=True)
    with pytest.raises(ValueError, match=r'in \[0, 1\), got 1'):
        check_range('share', 1.0, 0, 1, open_high=True)


@pytest.mark.parametrize('value', [NAN, INF, -INF])
def test_without_bounds_only_numbers_that_are_finite_pass(value):
    check_range('shift', -1e300)
    with pytest.raises(ValueError, match='shift must be a number'):
        check_range('shift', value)


@pytest.mark.parametrize('value', [0, 1.5, 2.0, NAN, '2', True])
def test_whole_numbers(value):
    check_range('count', 10**30, 1, integer=True)
    check_range('count', np.uint8(3), 1, integer=True)
    with pytest.raises(ValueError, match=r'count must be a whole number in \[1, inf\], got '):
        check_range('count', value, 1, integer=True)


def test_a_mistyped_choice_gets_the_nearest_one():
    check_choice('preset', 'psa', ('psa', 'irn'))
    with pytest.raises(ValueError, match=r"must be one of psa, irn, got 'pssa'; .* 'psa'\?"):
        check_choice('preset', 'pssa', ('psa', 'irn'))
    with pytest.raises(ValueError, match=r'must be one of psa, irn, got None$'):
        check_choice('preset', None, iter(('psa', 'irn')))


def test_names_given_twice_are_named():
    check_unique('class name', iter('abc'))
    with pytest.raises(ValueError, match='class name given more than once: a, c'):
        check_unique('class name', iter('abcac'))


@pytest.mark.parametrize(
    ('palette', 'message'),
    [
        ([[0, 0, 0]], '1 colours for 2 classes'),
        ([], '0 colours for 2 classes'),
        ([[0, 0, 0]] * 257, '257 colours'),
        ([[0, 0, 0], [1, 2]], r'colour 1 .* got \[1, 2\]'),
        ([[0, 0, 256], [1, 2, 3]], r'colour 0 .* 0\.\.255'),
        ([[0, 0, -1], [1, 2, 3]], 'colour 0'),
        ([[0, 0, 0.5], [1, 2, 3]], 'colour 0'),
        ([[0, 0, NAN], [1, 2, 3]], 'colour 0'),
        ([0, 0, 0, 1, 2, 3], 'colour 0'),
        (['red', 'sky'], 'colour 0'),
    ],
)
def test_palettes(palette, message):
    check_palette([(0, 0, 0), [255, 1, 2]], 2)
    check_palette(np.zeros((256, 3), np.uint8), 2)
    with pytest.raises(ValueError, match=message):
        check_palette(palette, 2)


def test_an_output_that_is_an_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'link').symlink_to(tmp_path / 'images')
    check_apart({'out': 'images/out', 'log': None}, {'the image folder': 'images', 'split': None})
    for same in ('images', './images/', 'images/../images', tmp_path / 'images', 'link'):
        with pytest.raises(ValueError, match=r'out is .*, which is also the image folder: .*out\.'):
            check_apart({'out': same}, {'the image folder': 'images'})


def test_a_folder_that_can_be_made_is_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / 'new/deep', 'new/deep', '.'):
        check_output_folder(folder)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_or_written_is_named(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    for folder in (tmp_path / 'file', tmp_path / 'file/out'):
        with pytest.raises(OSError, match=rf'Cannot write into {folder} .*Choose another'):
            check_output_folder(folder)
    if os.getuid():  # root may write anywhere
        (tmp_path / 'locked').mkdir(mode=0o500)
        with pytest.raises(OSError, match='locked'):
            check_output_folder(tmp_path / 'locked/out')


@pytest.mark.parametrize('name', ['cpu', None, torch.device('cpu')])
def test_devices_that_are_there(name):
    check_device(name)


@pytest.mark.parametrize('name', ['gpu', '', 'meta', 'cuda:99', 'cpu,cuda', []])
def test_devices_that_are_not_there(name):
    with pytest.raises(ValueError, match=r'cannot be used here \(.*\)\. Devices are cpu'):
        check_device(name)


def test_messages_show_the_first_names_and_escape_what_cannot_be_printed():
    assert some('abc') == 'a, b, c'
    assert some(range(9), 3) == '0, 1, 2, ...'
    assert some(['zebra', '斑马', 'caf\udce9']) == 'zebra, 斑马, caf\\udce9'


ACCENT = 'caf\u00e9', 'cafe\u0301'  # both look the same


def test_names_that_a_disk_takes_for_one_are_refused(tmp_path, monkeypatch):
    """Linux tells them apart; what a disk of macOS or Windows does is played."""
    check_distinct_files(tmp_path / 'new', ['a', 'A', *ACCENT])
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(os, 'listdir', lambda folder: ['a'])
    check_distinct_files(tmp_path, ['a', 'b', 'AB'])
    with pytest.raises(ValueError, match=r'a, A would be one file in .*Rename one image'):
        check_distinct_files(tmp_path, ['b', 'a', 'A'])


def test_names_that_look_the_same_are_refused():
    check_look_different('The list', ['cafe', 'caf\u00e9', 'CAFE'])
    with pytest.raises(ValueError, match=r"The list has 'caf\\xe9', 'cafe\\u0301', which look"):
        check_look_different('The list', ACCENT)


@pytest.mark.parametrize(
    ('missing', 'present', 'hint'),
    [
        ('a', ['b', 'c.png'], ''),
        ('a', ['A.png'], "there is 'A.png': the names differ in case, suffix or accents"),
        ('a', ['a.PNG'], "there is 'a.PNG': the names differ"),
        (ACCENT[0], [ACCENT[1] + '.png'], r"there is 'cafe\u0301.png': the names differ"),
        ('a.jpg', ['a'], "there is 'a': an id is its name without folder and suffix"),
        ('a.png', ['a.png'], "there is 'a.png': an id is its name without"),
        ('/JPEGImages/a.jpg /Masks/a.png', ['a.npz'], "there is 'a.npz': an id is its name"),
        ('JPEGImages\\a.jpg', ['a.npz'], "there is 'a.npz': an id"),
        ('', ['a'], ''),
    ],
)
def test_hints_at_other_spellings(missing, present, hint):
    assert hint in (found := spelling_hint(['x', missing], present))
    assert bool(found) == bool(hint)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    check_output_file(tmp_path / 'new/metrics.json')
    check_output_file(None)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match='it is a folder'):
        check_output_file(tmp_path)
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='Cannot write into'):
        check_output_file(tmp_path / 'file/metrics.json')


def test_a_folder_under_two_names_is_one(tmp_path, monkeypatch):
    """A mount, or a disk that does not tell case apart: no link gives it away."""
    for name in ('data', 'DATA'):
        (tmp_path / name).mkdir()
    check_apart({'out': tmp_path / 'DATA'}, {'in': tmp_path / 'data'})
    same = os.stat(tmp_path / 'data')
    monkeypatch.setattr(os, 'stat', lambda path, **kwargs: same)
    with pytest.raises(ValueError, match='which is also in'):
        check_apart({'out': tmp_path / 'DATA'}, {'in': tmp_path / 'data'})
