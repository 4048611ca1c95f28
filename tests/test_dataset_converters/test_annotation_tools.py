"""Corrected masks of Label Studio, CVAT and YOLO."""

import json

import numpy as np
import pytest
from PIL import Image

from mmwsss.datasets.converters.coco_masks import semantic_mask
from mmwsss.datasets.converters.cvat import read_cvat
from mmwsss.datasets.converters.label_studio import read_label_studio
from mmwsss.datasets.converters.yolo import read_yolo
from mmwsss.utils.io import read_mask
from mmwsss.utils.run_lengths import encode_brush

CLASSES = ['cat', 'dog']


def drawn(found, place=0, overlap='last'):
    return semantic_mask(found.images[place], found.class_of, overlap).tolist()


# Label Studio


def region(kind='polygonlabels', label='cat', size=(4, 5), **value):
    height, width = size
    common = dict(original_height=height, original_width=width, image_rotation=0, id='r')
    return dict(common, type=kind, value={kind: [label], **value})


def brush(mask, label='cat'):
    mask = np.array(mask, bool)
    return region('brushlabels', label, mask.shape, format='rle', rle=encode_brush(mask))


def task(*results, key='a', **others):
    entry = dict(result=list(results), updated_at='2024-01-01')
    return dict(id=7, data=dict(image=f'/data/upload/{key}.jpg'), annotations=[entry], **others)


@pytest.fixture
def labelled(tmp_path):
    """Read tasks from a file."""

    def read(*tasks, **kwargs):
        path = tmp_path / 'tasks.json'
        path.write_text(json.dumps(tasks))
        return read_label_studio(path, CLASSES, **kwargs)

    return read


def test_label_studio_regions(labelled):
    square = [[20, 25], [60, 25], [60, 75], [20, 75]]  # percent of 5 x 4 pixels
    on_top = brush([[0] * 5, [0, 1, 0, 0, 0], [0] * 5, [0] * 5], 'dog')
    found, left_out = labelled(task(region(points=square), on_top))
    assert drawn(found) == [[0] * 5, [0, 2, 1, 0, 0], [0, 1, 1, 0, 0], [0] * 5]
    assert left_out == []
    rectangle = region('rectanglelabels', 'dog', x=0, y=50, width=100, height=50, rotation=0)
    found, _ = labelled(task(rectangle))
    assert drawn(found) == [[0] * 5, [0] * 5, [2] * 5, [2] * 5]


@pytest.mark.parametrize(
    'data, image_id',
    [
        (dict(image='/data/local-files/?d=my%20set/a%20b%231.jpg'), 'a b#1'),
        (dict(image='https://host/x/c.2.png?token=9'), 'c.2'),
        (dict(image='s3://bucket/d.jpg', image_id='e.f'), 'e.f'),
        (dict(image='my set/photo #1?.jpg'), 'photo #1?'),
    ],
)
def test_label_studio_names(labelled, data, image_id):
    found, _ = labelled(dict(task(brush([[1]])), data=data))
    assert [image.image_id for image in found.images] == [image_id]


def test_label_studio_versions(labelled):
    old, new = task(brush([[1]]))['annotations'][0], task(brush([[0]]))['annotations'][0]
    new['updated_at'] = '2024-02-01'
    both = dict(task(), annotations=[new, old])
    with pytest.raises(ValueError, match=r"image 'a': it has 2 annotations: .*--several"):
        labelled(both)
    assert drawn(labelled(both, several='newest')[0]) == [[0]]
    with pytest.raises(ValueError, match='which is the newest is not known'):
        labelled(dict(both, annotations=[old, old]), several='newest')
    cancelled = dict(both, annotations=[dict(new, was_cancelled=True), old])
    assert drawn(labelled(cancelled)[0]) == [[1]]
    predicted = dict(task(key='b'), annotations=[], predictions=[dict(result=[brush([[1]])])])
    found, left_out = labelled(task(brush([[1]])), predicted)
    assert (len(found.images), left_out) == (1, ['b'])
    with pytest.raises(ValueError, match='not one of 1 tasks has annotations'):
        labelled(predicted)
    assert drawn(labelled(predicted, use='predictions')[0]) == [[1]]


def test_label_studio_images_without_regions(labelled, tmp_path):
    with pytest.raises(ValueError, match=r'it has no region, and so no size: .*--images'):
        labelled(task())
    Image.new('RGB', (3, 2)).save(tmp_path / 'a.jpg')
    assert drawn(labelled(task(), images=tmp_path)[0]) == [[0] * 3] * 2
    with pytest.raises(ValueError, match='its sizes differ: 1x1 and 3x2'):
        labelled(task(brush([[1]])), images=tmp_path)


@pytest.mark.parametrize(
    'entry, message',
    [
        ([], 'is no list of tasks'),
        ({}, "task 0 has no 'data'"),
        (dict(data={}), "neither 'image_id' nor 'image'"),
        (task(region(label='cow', points=[])), "result 'r': .*cow"),
        (task(region('keypointlabels')), "of type 'keypointlabels'"),
        (task(region(points=[[0, 0], [1, 1]])), 'needs three points'),
        (task(region()), "result 'r': 'points'"),
        (task(dict(brush([[1]]), image_rotation=90)), 'drawn on a rotated image'),
        (task(dict(brush([[1]]), value=dict(brushlabels=['cat', 'dog']))), 'must have one label'),
        (task(region(points=[[10**400, 1], [2, 2], [3, 1]])), 'too large'),
        (task(dict(brush([[1]]), original_width=2)), 'expected 8 of 8 for an image of 2x1'),
        (task(dict(brush([[1]]), original_width=None)), "'width' must be a whole number"),
        (
            task(region('rectanglelabels', x=0, y=0, width=1, height=1, rotation=5)),
            'rotated rectangle',
        ),
        (dict(task(), annotations=[dict(result=None)]), "has no list 'result'"),
    ],
)
def test_label_studio_bad_input(labelled, entry, message):
    with pytest.raises(ValueError, match=message):
        labelled(entry)


def test_label_studio_two_tasks_of_an_image(labelled):
    with pytest.raises(ValueError, match="two tasks are of image 'a'"):
        labelled(task(brush([[1]])), task(brush([[1]])))


# CVAT


@pytest.fixture
def xml(tmp_path):
    """Read shapes of an image of 4 x 3 pixels from a file."""

    def read(shapes, head='<image id="0" name="set/a.jpg" width="4" height="3">', tail='</image>'):
        path = tmp_path / 'annotations.xml'
        path.write_text(f'<annotations>{head}{shapes}{tail}</annotations>')
        return read_cvat(path, CLASSES)

    return read


def test_cvat_shapes(xml):
    found = xml(
        '<mask label="dog" rle="1, 3" left="1" top="1" width="2" height="2" z_order="2"/>'
        '<polygon label="cat" points="0.0,0.0;4.0,0;4,2;0,2" z_order="1"/>'
        '<box label="dog" xtl="3" ytl="2" xbr="4" ybr="3"/><tag label="cat"/>'
    )
    assert found.images[0].image_id == 'a'
    assert drawn(found) == [[1, 1, 1, 1], [1, 1, 2, 1], [0, 2, 2, 2]]


@pytest.mark.parametrize(
    'shapes, message',
    [
        ('<points label="cat" points="1,1"/>', 'it has a <points>'),
        ('<polygon label="cow" points="0,0;1,0;1,1"/>', r"image 0 \('set/a.jpg'\): .*cow"),
        ('<polygon label="cat" points="0,0;1,1"/>', 'needs three points'),
        ('<polygon label="cat" points="0,0;1;2,2"/>', 'not enough values'),
        ('<box label="cat" xtl="0" ytl="0" xbr="1"/>', 'all of them finite'),
        ('<box label="cat" rotation="30" xtl="0" ytl="0" xbr="1" ybr="1"/>', 'rotated box'),
        ('<mask label="cat" rle="4" left="3" top="0" width="2" height="2"/>', 'does not fit'),
        ('<mask label="cat" rle="3" left="0" top="0" width="2" height="2"/>', 'do not fill it'),
        ('<mask label="cat" rle="4" top="0" width="2" height="2"/>', "'left' must be a whole"),
        ('<mask label="cat" rle="x" left="0" top="0" width="2" height="2"/>', 'invalid literal'),
    ],
)
def test_cvat_bad_shapes(xml, shapes, message):
    with pytest.raises(ValueError, match=message):
        xml(shapes)


def test_cvat_bad_files(xml, tmp_path):
    with pytest.raises(ValueError, match='holds no annotated image'):
        xml('', head='', tail='')
    with pytest.raises(ValueError, match="two images are called 'a'"):
        xml('</image><image id="1" name="a.png" width="4" height="3">')
    with pytest.raises(ValueError, match="'height' must be a whole number"):
        xml('', head='<image name="a.jpg" width="4">')
    (tmp_path / 'other.xml').write_text('<annotation/>')
    with pytest.raises(ValueError, match='the root element is <annotation>'):
        read_cvat(tmp_path / 'other.xml', CLASSES)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_cvat(tmp_path / 'none.xml', CLASSES)


# YOLO


@pytest.fixture
def lines(tmp_path):
    """Read lines of labels of an image of 4 x 2 pixels."""
    (tmp_path / 'labels').mkdir()
    Image.new('RGB', (4, 2)).save(tmp_path / 'a.png')

    def read(text):
        (tmp_path / 'labels/a.txt').write_text(text)
        return read_yolo(tmp_path / 'labels', tmp_path, CLASSES)

    return read


def test_yolo_polygons(lines):
    found = lines('1 0 0 0.25 0 0.25 1 0 1\n0 0 0 1 0 1 1 0 1\n')
    assert drawn(found, overlap='small') == [[2, 1, 1, 1]] * 2
    assert drawn(lines('')) == [[0] * 4] * 2


@pytest.mark.parametrize(
    'line, message',
    [
        ('0 0.5 0.5 1 1', r'a\.txt, line 1: it is a box'),
        ('0 0 0 1 1 0', 'three points or more, got 6 numbers'),
        ('2 0 0 1 0 1 1', "class '2' is none of the 2"),
        ('-1 0 0 1 0 1 1', "class '-1' is none"),
        ('0 0 0 1 0 1 1.5', 'shares of the sides'),
        ('0 0 0 1 0 1 nan', 'shares of the sides'),
        ('0 0 0 1 0 1 x', 'could not convert'),
    ],
)
def test_yolo_bad_lines(lines, line, message):
    with pytest.raises(ValueError, match=message):
        lines(line)


def test_yolo_class_list_beside_the_labels(lines, tmp_path):
    beside = tmp_path / 'labels/classes.txt'
    beside.write_text(''.join(f'{name}\n' for name in CLASSES))
    assert [image.image_id for image in lines('').images] == ['a']
    beside.write_text(''.join(f'{name}\n' for name in reversed(CLASSES)))
    with pytest.raises(ValueError, match=r'labels/classes\.txt lists .* but those given are'):
        lines('')


def test_yolo_without_image(lines, tmp_path):
    (tmp_path / 'labels/b.txt').write_text('')
    with pytest.raises(FileNotFoundError, match='no image for 1 of 2 ids: b'):
        lines('')


# the tools


def test_tools(run_tool, tmp_path):
    Image.new('RGB', (1, 1)).save(tmp_path / 'a.jpg')
    (tmp_path / 'classes.txt').write_text('cat\ndog')
    (tmp_path / 'tasks.json').write_text(json.dumps([task(brush([[1]], 'dog')), task(key='b')]))
    (tmp_path / 'x.xml').write_text(
        '<annotations><image name="a.jpg" width="1" height="1">'
        '<box label="dog" xtl="0" ytl="0" xbr="1" ybr="1"/></image></annotations>'
    )
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels/a.txt').write_text('1 0 0 1 0 1 1 0 1')
    classes = ('--classes', tmp_path / 'classes.txt')
    for tool, source, *options in (
        ('cvat.py', 'x.xml'),
        ('yolo.py', 'labels', '--images', tmp_path),
    ):
        done = run_tool(tool, tmp_path / source, tmp_path / f'out_{tool}', *classes, *options)
        assert (done.code, done.err) == (0, ''), done
        assert '1 masks, pixels per class in meta.json' in done.out
        assert read_mask(tmp_path / f'out_{tool}/a.png').tolist() == [[2]]
    unfinished = [task(brush([[1]], 'dog')), dict(task(key='b'), annotations=[])]
    (tmp_path / 'tasks.json').write_text(json.dumps(unfinished))
    done = run_tool('label_studio.py', tmp_path / 'tasks.json', tmp_path / 'out_ls', *classes)
    assert done.code == 1 and 'left out: 1 images without annotation: b' in done.err
    assert read_mask(tmp_path / 'out_ls/a.png').tolist() == [[2]]
    Image.new('RGB', (1, 1)).save(tmp_path / 'c.jpg')
    source = tmp_path / 'labels', tmp_path / 'out_more'
    done = run_tool('yolo.py', *source, *classes, '--images', tmp_path)
    assert done.code == 1 and 'left out: 1 images without annotation: c' in done.err
    done = run_tool('yolo.py', tmp_path / 'labels', tmp_path / 'labels', *classes, '--images', '.')
    assert done.code == 1 and 'OUT is' in done.err and 'also SOURCE' in done.err
