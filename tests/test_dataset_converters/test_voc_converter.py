import json
import runpy
import sys
from pathlib import Path

import pytest

from mmwsss.datasets.converters.common import read_class_names, read_ids
from mmwsss.datasets.converters.voc import labels_from_xml, names_in_xml, train_aug_ids

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'voc_labels.py'
FOREGROUND = ['cat', 'dog', 'person']


def write_xml(folder, image_id, objects, filename=None):
    folder.mkdir(exist_ok=True)
    filename = f'{image_id}.jpg' if filename is None else filename
    path = folder / f'{image_id}.xml'
    path.write_text(f'<annotation><filename>{filename}</filename>{"".join(objects)}</annotation>')
    return path


def thing(name, extra=''):
    return f'<object><name>{name}</name>{extra}</object>'


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


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
    path = write_xml(tmp_path, 'a', [], filename='b.jpg')
    with pytest.raises(ValueError, match=r'a\.xml says that it annotates b\.jpg'):
        names_in_xml(path, FOREGROUND)


def test_missing_and_empty_input(tmp_path):
    with pytest.raises(FileNotFoundError, match='Annotation folder'):
        labels_from_xml(tmp_path / 'nothing', FOREGROUND)
    with pytest.raises(ValueError, match=r'holds no \.xml'):
        labels_from_xml(tmp_path, FOREGROUND)
    with pytest.raises(FileNotFoundError, match=r'b\.xml does not exist'):
        labels_from_xml(tmp_path, FOREGROUND, ['b'])


def test_train_aug_is_the_union_without_val():
    assert train_aug_ids(['b', 'a'], ['v', 'w'], ['z', 'a', 'v']) == ['a', 'b', 'z']


def test_tool_writes_labels_and_the_train_aug_list(tmp_path, monkeypatch, capsys):
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

    run_tool(monkeypatch, tmp_path, '--sbd', sbd, '--ids', split, lists / 'val.txt')

    assert split.read_text() == 'a\ns\n'
    labels = json.loads((tmp_path / 'image_labels.json').read_text())
    assert labels == {'a': ['dog'], 's': ['tvmonitor'], 'v': ['person']}
    out = capsys.readouterr().out
    assert 'it would be 10582 images' in out
    assert '3 images, 1.00 labels per image' in out


def test_tool_with_own_classes_and_unwritable_output(tmp_path, monkeypatch):
    write_xml(tmp_path / 'Annotations', 'a', [thing('zebra')])
    (tmp_path / 'classes.txt').write_text('lion\nzebra\n')
    options = ['--classes', tmp_path / 'classes.txt', '--out']
    run_tool(monkeypatch, tmp_path, *options, tmp_path / 'new' / 'x.json')
    assert json.loads((tmp_path / 'new' / 'x.json').read_text()) == {'a': ['zebra']}
    with pytest.raises(OSError, match=r'classes\.txt is not writable'):
        run_tool(monkeypatch, tmp_path, *options, tmp_path / 'classes.txt' / 'x.json')


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
