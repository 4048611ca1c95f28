import json

import pytest

from mmwsss.datasets.converters.common import read_class_names, read_ids
from mmwsss.datasets.converters.voc import labels_from_xml, names_in_xml, train_aug_ids

FOREGROUND = ['cat', 'dog', 'person']


def write_xml(folder, image_id, objects, filename=None):
    folder.mkdir(exist_ok=True)
    filename = f'{image_id}.jpg' if filename is None else filename
    path = folder / f'{image_id}.xml'
    path.write_text(f'<annotation><filename>{filename}</filename>{"".join(objects)}</annotation>')
    return path


def thing(name, extra=''):
    return f'<object><name>{name}</name>{extra}</object>'


def test_every_object_counts_once_in_class_order(tmp_path):
    objects = [
        thing('person', '<difficult>1</difficult>'),
        thing('cat', '<truncated>1</truncated>'),
        thing('person'),
    ]
    path = write_xml(tmp_path, '2007_1', objects)
    assert names_in_xml(path, FOREGROUND) == ['cat', 'person']


def test_body_parts_are_no_objects(tmp_path):
    item = '<object><part><name>head</name><bndbox/></part><name>person</name></object>'
    assert names_in_xml(write_xml(tmp_path, 'a', [item]), FOREGROUND) == ['person']


def test_an_image_without_objects_has_no_labels(tmp_path):
    assert names_in_xml(write_xml(tmp_path, 'a', []), FOREGROUND) == []


def test_unknown_class_names_file_and_nearest_class(tmp_path):
    path = write_xml(tmp_path, 'a', [thing('persons')])
    with pytest.raises(ValueError, match=r"a\.xml: unknown class 'persons'; did you mean 'person'"):
        names_in_xml(path, FOREGROUND)


def test_an_object_without_name_is_an_error(tmp_path):
    path = write_xml(tmp_path, 'a', ['<object/>'])
    with pytest.raises(ValueError, match=r"a\.xml: unknown class ''"):
        names_in_xml(path, FOREGROUND)


def test_broken_and_foreign_xml_is_named(tmp_path):
    path = tmp_path / 'a.xml'
    path.write_text('<annotation><object>')
    with pytest.raises(ValueError, match=r'a\.xml is not well-formed'):
        names_in_xml(path, FOREGROUND)
    path.write_text('<html/>')
    with pytest.raises(ValueError, match=r'a\.xml: the root element is <html>'):
        names_in_xml(path, FOREGROUND)
    path.write_text('<annotation><objects><object/></objects></annotation>')
    with pytest.raises(ValueError, match=r'a\.xml .* not directly below <annotation>'):
        names_in_xml(path, FOREGROUND)


@pytest.mark.parametrize(
    ('coding', 'declared'),
    [
        ('utf-8', ''),
        ('utf-8', 'utf-8'),
        ('utf-8', 'UTF-16'),  # as .NET writes into files that are in UTF-8
        ('utf-8-sig', 'gb2312'),
        ('utf-16', ''),
        ('utf-16', 'utf-8'),  # as PowerShell saves it again
        ('utf-32', 'utf-32'),
    ],
)
def test_a_byte_order_mark_says_the_encoding(tmp_path, coding, declared):
    text = f'<annotation>{thing("größe")}</annotation>'
    if declared:
        text = f'<?xml version="1.0" encoding="{declared}"?>\r\n{text}'
    path = tmp_path / 'a.xml'
    path.write_bytes(text.encode(coding))
    assert names_in_xml(path, ['größe']) == ['größe']


@pytest.mark.parametrize(
    ('coding', 'name'), [('latin-1', 'größe'), ('windows-1252', 'größe'), ('gb18030', '狗')]
)
def test_an_encoding_that_is_declared_is_used(tmp_path, coding, name):
    path = tmp_path / 'a.xml'
    content = f'<annotation>{thing(name)}</annotation>'.encode(coding)
    path.write_bytes(f"<?xml version='1.0' encoding='{coding}'?>".encode() + content)
    assert names_in_xml(path, [name]) == [name]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.xml is not text in UTF-8'):
        names_in_xml(path, [name])
    path.write_bytes(b'<?xml version="1.0" encoding="klingon"?>' + content)
    with pytest.raises(ValueError, match=r"a\.xml cannot be read in the encoding 'klingon'"):
        names_in_xml(path, [name])


def test_utf_16_without_a_mark_is_named(tmp_path):
    path = tmp_path / 'a.xml'
    path.write_bytes('<annotation/>'.encode('utf-16-le'))
    with pytest.raises(ValueError, match=r'a\.xml holds zero bytes'):
        names_in_xml(path, FOREGROUND)


def test_missing_and_empty_input(tmp_path):
    with pytest.raises(FileNotFoundError, match='Annotation folder'):
        labels_from_xml(tmp_path / 'nothing', FOREGROUND)
    with pytest.raises(ValueError, match=r'holds no \.xml'):
        labels_from_xml(tmp_path, FOREGROUND)
    with pytest.raises(FileNotFoundError, match=r'a\.xml does not exist'):
        names_in_xml(tmp_path / 'a.xml', FOREGROUND)


def test_missing_annotations_are_counted_and_named_before_any_is_read(tmp_path):
    (tmp_path / 'a.xml').write_text('broken')
    with pytest.raises(FileNotFoundError, match=r'b\.xml does not exist; 2 of 3 .*: b, c'):
        labels_from_xml(tmp_path, FOREGROUND, ['a', 'b', 'c'])


@pytest.mark.parametrize(
    ('image_id', 'filename'),
    [
        ('a', 'a'),
        ('a', 'a.png'),
        ('a', ' a.JPG\n'),
        ('a', 'C:\\data\\a.jpg'),
        ('a', '/home/me/a.jpg'),
        ('2019.05.11_x', '2019.05.11_x'),
        ('2019.05.11_x', '2019.05.11_x.jpg'),
        ('room 1', 'room 1.jpg'),
        ('a', ''),
    ],
)
def test_names_of_one_image_agree(tmp_path, image_id, filename):
    write_xml(tmp_path, image_id, [thing('cat')], filename)
    labels = labels_from_xml(tmp_path, FOREGROUND, strict_filenames=True)
    assert labels == {image_id: ['cat']}


def test_an_xml_that_keeps_the_suffix_of_the_image(tmp_path):
    write_xml(tmp_path, 'a.jpg', [thing('cat')], 'a.jpg')
    assert labels_from_xml(tmp_path, FOREGROUND) == {'a': ['cat']}
    assert labels_from_xml(tmp_path, FOREGROUND, ['a']) == {'a': ['cat']}
    write_xml(tmp_path, 'a', [thing('dog')])
    with pytest.raises(ValueError, match=r"a\.jpg\.xml and .*a\.xml are both of image 'a'"):
        labels_from_xml(tmp_path, FOREGROUND)


def test_renamed_files_are_told_once_and_refused_on_demand(tmp_path, run_tool):
    for name in ('a', 'b', 'c'):
        write_xml(tmp_path / 'Annotations', name, [thing('cat')], 'a.jpg')
    result = run_tool('voc_labels.py', tmp_path)
    assert result.code == 0
    labels = json.loads((tmp_path / 'image_labels.json').read_text())
    assert labels == {'a': ['cat'], 'b': ['cat'], 'c': ['cat']}
    said = result.out + result.err
    assert said.count('2 annotations in') == 1 and 'b.xml (a.jpg), c.xml (a.jpg)' in said
    (tmp_path / 'image_labels.json').unlink()
    result = run_tool('voc_labels.py', tmp_path, '--strict-filenames')
    assert result.code == 1
    assert 'error: 2 annotations in' in result.err and 'correct <filename>' in result.err
    assert not (tmp_path / 'image_labels.json').exists()


def test_tool_counts_what_it_left_out_by_kind(tmp_path, run_tool):
    folder = tmp_path / 'Annotations'
    write_xml(folder, 'a', [thing('cat')])
    (folder / 'b.XML').write_text('<annotation/>')
    (folder / 'c.xml').symlink_to(folder / 'nowhere.xml')
    (folder / 'train').mkdir()
    (folder / 'd.xml~').touch()
    for name in ('._a.xml', '.DS_Store', 'a.jpg', 'a.JPG', 'classes.txt', 'Thumbs.db'):
        (folder / name).write_bytes(b'\0\5\26\7')
    result = run_tool('voc_labels.py', tmp_path)
    assert result.code == 1
    assert json.loads((tmp_path / 'image_labels.json').read_text()) == {'a': ['cat']}
    assert '1 x .XML, which must be .xml (b.XML)' in result.err
    assert '1 x broken link (c.xml)' in result.err
    assert '1 x subfolder (train)' in result.err
    assert '1 x unsupported .xml~ (d.xml~)' in result.err
    assert result.err.count(' x ') == 4


def test_train_aug_is_the_union_without_val():
    assert train_aug_ids(['b', 'a'], ['v', 'w'], ['z', 'a', 'v']) == ['a', 'b', 'z']


def test_tool_writes_labels_and_the_train_aug_list(tmp_path, run_tool):
    lists = tmp_path / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('a\n')
    (lists / 'val.txt').write_text('v\n')
    sbd = tmp_path / 'sbd'
    sbd.mkdir()
    (sbd / 'train.txt').write_text('s\nv\n')
    (sbd / 'val.txt').write_text('a\n')
    for key, name in (('a', 'dog'), ('s', 'tvmonitor'), ('v', 'person'), ('other', 'cat')):
        write_xml(tmp_path / 'Annotations', key, [thing(name)])
    split = lists / 'train_aug.txt'

    arguments = ['--sbd', sbd, '--ids', split, lists / 'val.txt']
    out = run_tool('voc_labels.py', tmp_path, *arguments).out

    assert split.read_text() == 'a\ns\n'
    labels = json.loads((tmp_path / 'image_labels.json').read_text())
    assert labels == {'a': ['dog'], 's': ['tvmonitor'], 'v': ['person']}
    assert 'it would be 10582 images' in out
    assert '3 images, 1.00 labels per image' in out


def test_tool_with_own_classes_and_unwritable_output(tmp_path, run_tool):
    write_xml(tmp_path / 'Annotations', 'a', [thing('zebra')])
    classes = tmp_path / 'classes.txt'
    classes.write_text('lion\nzebra\n')
    arguments = ['voc_labels.py', tmp_path, '--classes', classes, '--out']
    assert run_tool(*arguments, tmp_path / 'new' / 'x.json').code == 0
    assert json.loads((tmp_path / 'new' / 'x.json').read_text()) == {'a': ['zebra']}
    result = run_tool(*arguments, classes / 'x.json')
    assert result.code == 1 and 'classes.txt is not writable' in result.err
    result = run_tool(*arguments, classes)
    assert result.code == 1 and '--out is' in result.err and 'also --classes' in result.err
    assert classes.read_text() == 'lion\nzebra\n'


def test_tool_reads_one_id_per_line(tmp_path, run_tool):
    for name, item in (('room 1', 'cat'), ('room', 'dog'), ('1', 'dog')):
        write_xml(tmp_path / 'Annotations', name, [thing(item)])
    (tmp_path / 'ids.txt').write_bytes(b'\xef\xbb\xbfroom 1\r\n\r\n')
    assert run_tool('voc_labels.py', tmp_path, '--ids', tmp_path / 'ids.txt').code == 0
    assert json.loads((tmp_path / 'image_labels.json').read_text()) == {'room 1': ['cat']}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('\n', 'is empty'),
        ('cat\nbackground\n', "'background' is implied"),
        ('cat\ndog\ncat\n', 'names cat more than once'),
    ],
)
def test_bad_class_lists(tmp_path, text, message):
    path = tmp_path / 'classes.txt'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_class_names(path)


def test_bad_split_lists(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.txt'):
        read_ids(tmp_path / 'no.txt')
    (tmp_path / 'empty.txt').write_text('\n')
    with pytest.raises(ValueError, match=r'empty\.txt is empty'):
        read_ids(tmp_path / 'empty.txt')
