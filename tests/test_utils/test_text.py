"""Text of every system is read alike; what cannot be read is named."""

import codecs

import pytest

from mmwsss.utils.text import decode_text, parse_json, read_json, read_lines, read_text

TEXT = 'katze\n斑马\n'
MARKED = {
    'utf-8': codecs.BOM_UTF8 + TEXT.encode('utf-8'),
    'utf-16-le': codecs.BOM_UTF16_LE + TEXT.encode('utf-16-le'),
    'utf-16-be': codecs.BOM_UTF16_BE + TEXT.encode('utf-16-be'),
    'utf-32-le': codecs.BOM_UTF32_LE + TEXT.encode('utf-32-le'),
    'utf-32-be': codecs.BOM_UTF32_BE + TEXT.encode('utf-32-be'),
    'plain': TEXT.encode('utf-8'),
}


@pytest.mark.parametrize('coding', MARKED)
def test_every_encoding_that_is_marked(tmp_path, coding):
    (tmp_path / 'a.txt').write_bytes(MARKED[coding])
    assert read_text(tmp_path / 'a.txt') == TEXT
    assert read_lines(tmp_path / 'a.txt') == ['katze', '斑马']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('café'.encode('latin-1'), r'a\.txt is not text in UTF-8 .*Save it again'),
        ('斑马'.encode('gbk'), r'a\.txt is not text in UTF-8'),
        (codecs.BOM_UTF16_LE + b'abc', r'a\.txt is not text in UTF-8'),
        (codecs.BOM_UTF16_LE + b'\x00\xd8', r'a\.txt is not text in UTF-8'),
        ('cat'.encode('utf-16-le'), r'a\.txt holds zero bytes: .* UTF-16 without'),
        (b'PK\x03\x04\0\0', r'a\.txt holds zero bytes: it is no text'),
    ],
)
def test_other_encodings_are_named(content, message):
    with pytest.raises(ValueError, match=message):
        decode_text(content, 'a.txt')


@pytest.mark.parametrize('end', [b'\n', b'\r\n', b'\r'])
def test_line_ends_of_every_system(tmp_path, end):
    (tmp_path / 'a.txt').write_bytes(end.join([b'cat', b'', b'  sea lion\t', b' ', b'dog']))
    assert read_lines(tmp_path / 'a.txt') == ['cat', 'sea lion', 'dog']


def test_only_line_ends_end_lines(tmp_path):
    text = 'a\x0cb\nc\u2028d\ne\x85f\n'
    (tmp_path / 'a.txt').write_text(text, encoding='utf-8')
    assert read_lines(tmp_path / 'a.txt') == text.split('\n')[:-1]


def test_files_that_were_joined_have_marks_inside(tmp_path):
    (tmp_path / 'a.txt').write_bytes(MARKED['utf-8'] * 2)
    assert read_lines(tmp_path / 'a.txt') == ['katze', '斑马'] * 2


def test_files_that_are_missing_or_empty(tmp_path):
    for read in (read_text, read_lines, read_json):
        for path in (tmp_path / 'nothing', tmp_path):
            with pytest.raises(FileNotFoundError, match=f'Split list {path} does not exist'):
                read(path, 'Split list')
    for content in (b'', b' \n\r\n', codecs.BOM_UTF8):
        (tmp_path / 'a.txt').write_bytes(content)
        with pytest.raises(ValueError, match=r'Class list .*a\.txt is empty'):
            read_lines(tmp_path / 'a.txt', 'Class list')


@pytest.mark.parametrize('coding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
def test_json_of_every_encoding(tmp_path, coding):
    (tmp_path / 'a.json').write_text('{"a": ["斑马"],\r\n "b": {"a": 1}}', encoding=coding)
    assert read_json(tmp_path / 'a.json') == {'a': ['斑马'], 'b': {'a': 1}}


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"a": 1, "b": 2, "a": 1}', r"a\.json holds the key 'a' twice in one object; remove one"),
        (b'[{"b": {"c": 1, "c": 2}}]', "the key 'c' twice"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' twice"),
        (b'{"a": 1', r'a\.json is not valid JSON: .*line 1'),
        (b'', r'a\.json is not valid JSON'),
        (b"{'a': 1}", r'a\.json is not valid JSON'),
        (b'{"a": 1}{"b": 2}', r'a\.json is not valid JSON'),
        (b'[' * 100_000, r'a\.json is not valid JSON: it is nested too deeply'),
        (b'[' + b'9' * 5000 + b']', r'a\.json is not valid JSON'),
        ('["café"]'.encode('latin-1'), r'a\.json is not text in UTF-8'),
    ],
)
def test_bad_json_is_named(content, message):
    with pytest.raises(ValueError, match=message):
        parse_json(content, 'a.json')
