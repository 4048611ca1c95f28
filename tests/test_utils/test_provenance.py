"""A folder goes on only with what it was made from."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmwsss.utils.io import write_mask
from mmwsss.utils.provenance import (
    RECORD,
    ChangedError,
    as_json,
    check_claim,
    check_unclaimed,
    claim,
    compare_settings,
    digest_file,
    digest_stamps,
    drop_leftovers,
    only_one,
    stamp,
)

SETTINGS = dict(power=4.0, crf=dict(preset='psa', sizes=(1, 2)), images='/data/images')


@pytest.fixture
def inputs(tmp_path) -> dict:
    (tmp_path / 'in').mkdir()
    for key in 'abc':
        (tmp_path / f'in/{key}.jpg').write_text(key)
    return {key: [tmp_path / f'in/{key}.jpg'] for key in 'abc'}


@pytest.fixture
def out(tmp_path, inputs):
    """A folder in which ``a`` and ``b`` are done."""
    assert claim(tmp_path / 'out', '.png', SETTINGS, inputs) == set()
    assert [path.name for path in (tmp_path / 'out').iterdir()] == [RECORD]
    for key in 'ab':
        make(tmp_path / 'out', key)
    return tmp_path / 'out'


def make(folder, key):
    write_mask(folder / f'{key}.png', np.zeros((9, 9), np.uint8))


def masks(folder) -> set:
    return {path.stem for path in folder.glob('*.png')}


def touch(path):
    """Change the time of a file, however coarse the clock is."""
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_the_same_run_goes_on(out, inputs):
    same = json.loads(json.dumps(SETTINGS))  # a tuple is a list, the order of keys is none
    assert claim(out, '.png', dict(reversed(same.items())), inputs) == {'a', 'b'}
    assert claim(out, '.png', SETTINGS, inputs, restart=True) == {'a', 'b'}


def test_inputs_that_are_added_or_left_away_do_not_matter(out, inputs, tmp_path):
    (tmp_path / 'in/d.jpg').write_text('d')
    more = {**inputs, 'd': [tmp_path / 'in/d.jpg']}
    assert claim(out, '.png', SETTINGS, more) == {'a', 'b'}
    assert claim(out, '.png', SETTINGS, {'a': inputs['a']}) == {'a'}
    make(out, 'd')
    assert claim(out, '.png', SETTINGS, more) == {'a', 'b', 'd'}
    touch(tmp_path / 'in/d.jpg')
    with pytest.raises(ChangedError, match=r'\(d\)'):
        claim(out, '.png', SETTINGS, more)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(power=5.0), r'power: 4\.0 -> 5\.0'),
        (dict(crf=dict(preset='irn', sizes=(1, 2))), r'crf\.preset: psa -> irn'),
        (dict(crf=dict(preset='psa', sizes=(1, 3))), r'crf\.sizes\.1: 2 -> 3'),
        (dict(images='/data/others'), 'images: /data/images -> /data/others'),
        (dict(flip=True), r'flip: \(not set\) -> True'),
    ],
)
def test_other_settings_are_refused_and_named(out, inputs, change, message):
    record = (out / RECORD).read_bytes()
    with pytest.raises(ChangedError, match=rf'out holds .*other settings: {message}.*--restart'):
        claim(out, '.png', {**SETTINGS, **change}, inputs)
    assert masks(out) == {'a', 'b'}
    assert (out / RECORD).read_bytes() == record
    assert claim(out, '.png', {**SETTINGS, **change}, inputs, restart=True) == set()
    assert not masks(out)
    make(out, 'a')
    with pytest.raises(ChangedError, match='other settings'):  # now it belongs to the others
        claim(out, '.png', SETTINGS, inputs)


def test_settings_with_which_nothing_was_made_bind_nobody(tmp_path, inputs):
    claim(tmp_path / 'new', '.png', dict(SETTINGS, power=-1.0), inputs)
    assert claim(tmp_path / 'new', '.png', SETTINGS, inputs) == set()
    make(tmp_path / 'new', 'a')
    with pytest.raises(ChangedError, match='other settings: power'):
        claim(tmp_path / 'new', '.png', dict(SETTINGS, power=-1.0), inputs)


@pytest.mark.parametrize('change', ['size', 'time', 'removed', 'one more'])
def test_inputs_that_have_changed_are_refused_and_named(out, inputs, change):
    path = inputs['a'][0]
    if change == 'size':
        path.write_text('longer')
    elif change == 'time':
        touch(path)
    elif change == 'removed':
        path.unlink()
    else:
        inputs['a'] = [path, inputs['b'][0]]
    with pytest.raises(ChangedError, match=r'other files: the inputs of 1 images .*\(a\)'):
        claim(out, '.png', SETTINGS, inputs)
    assert masks(out) == {'a', 'b'}
    assert claim(out, '.png', SETTINGS, inputs, restart=True) == set()
    assert not masks(out)


def test_an_input_may_change_before_it_is_used(out, inputs):
    touch(inputs['c'][0])
    assert claim(out, '.png', SETTINGS, inputs) == {'a', 'b'}
    make(out, 'c')
    assert claim(out, '.png', SETTINGS, inputs) == {'a', 'b', 'c'}


@pytest.mark.parametrize('restart', [False, True])
def test_files_of_unknown_origin_are_refused_and_kept(out, inputs, restart):
    (out / RECORD).unlink()
    with pytest.raises(ChangedError, match=r'holds 2 \.png files but no made_from\.json'):
        claim(out, '.png', SETTINGS, inputs, restart)
    assert masks(out) == {'a', 'b'}
    assert not (out / RECORD).exists()


@pytest.mark.parametrize('settings', [SETTINGS, {}])
def test_a_file_that_is_put_in_by_hand_is_no_result_and_never_removed(tmp_path, inputs, settings):
    folder = tmp_path / 'out'
    claim(folder, '.png', SETTINGS, {'a': inputs['a']})
    make(folder, 'a')
    make(folder, 'b')
    for restart in (False, True):
        with pytest.raises(ChangedError, match='that it was not known to have: b'):
            claim(folder, '.png', settings, inputs, restart)
        assert masks(folder) == {'a', 'b'}


def test_a_claimed_folder_is_no_place_for_others(out, tmp_path):
    with pytest.raises(ChangedError, match='out holds results of another tool'):
        check_unclaimed(out)
    check_unclaimed(tmp_path / 'in')


def test_cut_and_empty_files_are_done_again(out, inputs):
    os.truncate(out / 'a.png', 40)
    (out / 'b.png').write_bytes(b'')
    assert claim(out, '.png', SETTINGS, inputs) == set()


def test_files_of_other_kinds_and_hidden_ones_do_not_matter(tmp_path, inputs):
    folder = tmp_path / 'out'
    folder.mkdir()
    for name in ('notes.txt', '.a.0123.png', '._a.png', '.DS_Store'):
        (folder / name).write_text('x')
    assert claim(folder, '.png', SETTINGS, inputs) == set()
    assert claim(folder, '.png', {}, inputs, restart=True) == set()
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize('text', ['[]', '{}', '"x"', '{"files": []}'])
def test_a_record_of_another_kind_is_refused(out, inputs, text):
    (out / RECORD).write_text(text)
    with pytest.raises(ChangedError, match=r'made_from\.json is no record'):
        claim(out, '.png', SETTINGS, inputs, restart=True)
    assert masks(out) == {'a', 'b'}


def test_a_broken_record_is_named(out, inputs):
    (out / RECORD).write_text('{')
    with pytest.raises(ValueError, match=r'made_from\.json is no record .* or it is broken'):
        claim(out, '.png', SETTINGS, inputs, restart=True)


def test_names_that_are_not_utf8_can_be_recorded(tmp_path, inputs):
    settings = dict(images='/data/caf\udce9')
    claim(tmp_path / 'out', '.png', settings, inputs)
    assert claim(tmp_path / 'out', '.png', settings, inputs) == set()


@pytest.mark.parametrize(
    ('earlier', 'now', 'expected'),
    [
        ({'a': 1}, {'a': 1.0}, []),
        ({'a': [1, 2]}, {'a': [1, 2, 3]}, ['a: [1, 2] -> [1, 2, 3]']),
        ({'a': [1, {'b': 2}]}, {'a': [1, {'b': 3}]}, ['a.1.b: 2 -> 3']),
        ({'a': {'b': 1}}, {'a': None}, ["a: {'b': 1} -> None"]),
        ({'a': 1}, {'b': 1}, ['a: 1 -> (not set)', 'b: (not set) -> 1']),
        ({'a': None}, {}, ['a: None -> (not set)']),
        ({'a': 'b' * 50 + 'e' * 50}, {'a': ''}, [f'a: {"b" * 20}...{"e" * 37} -> ']),
    ],
)
def test_differences_of_settings(earlier, now, expected):
    assert compare_settings(earlier, now) == expected
    assert compare_settings(now, now) == []


def test_digests(tmp_path):
    one, two = tmp_path / 'one', tmp_path / 'two'
    one.write_bytes(b'x' * 3_000_000)
    two.write_bytes(b'x' * 3_000_000)
    assert digest_file(one) == digest_file(two)
    before = digest_stamps([one, two])
    assert before == digest_stamps([str(one), str(two)])
    assert before != digest_stamps([two, one])
    touch(two)
    assert before != digest_stamps([one, two])
    two.write_bytes(b'y' + b'x' * 2_999_999)
    assert digest_file(one) != digest_file(two)
    assert stamp(tmp_path / 'nothing') == 'missing'


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ({'b', 'a', 'c'}, ['a', 'b', 'c']),
        (np.arange(3000), list(range(3000))),
        (np.float32(0.5), 0.5),
        (stamp, 'mmwsss.utils.provenance.stamp'),
        ((1, (2,)), [1, [2]]),
    ],
)
def test_settings_are_the_same_in_every_process(value, expected):
    """Text of a set has no order, that of a function an address, that of an array dots."""
    assert as_json({'x': value}) == {'x': expected}


def test_nan_is_equal_to_itself():
    assert compare_settings({'a': [float('nan')]}, {'a': [float('nan')]}) == []
    assert compare_settings({'a': float('nan')}, {'a': 1.0}) == ['a: nan -> 1.0']


def test_looking_changes_nothing(out, inputs):
    touch(inputs['a'][0])
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ChangedError, match=r'inputs of 1 images'):
        check_claim(out, '.png', SETTINGS, inputs)
    assert 'inputs of 1 images' in check_claim(out, '.png', SETTINGS, inputs, restart=True)
    assert check_claim(out, '.png', SETTINGS, {'b': inputs['b']}) == ''
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_leftovers_are_refused_or_removed(out):
    drop_leftovers(out, '.png', ['a', 'b', 'c'])
    with pytest.raises(ChangedError, match=r'also holds \.png files of 1 images .*: b\.'):
        drop_leftovers(out, '.png', ['a'])
    drop_leftovers(out, '.png', ['a'], restart=True)
    assert masks(out) == {'a'}


def test_ids_that_would_be_one_file_are_refused(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr('mmwsss.utils.checks._tells_apart', lambda folder, names: False)
    with pytest.raises(ValueError, match='a, A would be one file'):
        claim(tmp_path / 'out', '.png', SETTINGS, {**inputs, 'A': inputs['a']})
    assert not (tmp_path / 'out').exists()


def test_runs_that_share_a_folder_do_not_lose_ids_of_each_other(tmp_path, inputs):
    """Parts of a list on several processes: all of them write into one record."""
    keys = [str(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda key: claim(tmp_path / 'out', '.png', SETTINGS, {key: inputs['a']}), keys
            )
        )
    record = json.loads((tmp_path / 'out' / RECORD).read_text())
    assert set(record['files']) == set(keys)


def test_only_one_run_holds_a_folder(tmp_path):
    with (
        only_one(tmp_path / 'x', 'it'),
        pytest.raises(RuntimeError, match='another run of it is active'),
        only_one(tmp_path / 'x', 'it'),
    ):
        pass
    with only_one(tmp_path / 'x', 'it'):
        pass


def test_a_digest_is_taken_again_when_the_file_has_changed(tmp_path):
    path = tmp_path / 'weights'
    path.write_text('one')
    first = digest_file(path)
    path.write_text('two')
    touch(path)
    assert digest_file(path) != first
