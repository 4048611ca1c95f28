"""COCO annotations -> labels, splits, masks. Rectangles, so that the truth is known by hand."""

import codecs
import json
import math

import numpy as np
import pytest

from mmwsss.datasets.converters import coco_masks
from mmwsss.datasets.converters.coco import (
    image_labels,
    image_labels_of_files,
    read_instances,
    split_ids,
)
from mmwsss.datasets.converters.coco_masks import (
    compare_masks,
    semantic_mask,
    write_semantic_masks,
)
from mmwsss.datasets.converters.coco_shapes import decode_counts, rasterise
from mmwsss.utils.io import read_mask, write_mask

HEIGHT, WIDTH = 6, 8
CATEGORIES = [
    dict(id=18, name='dog'),
    dict(id=1, name='person'),
    dict(id=90, name='toothbrush'),
]


def rectangle(number, category, x0, y0, x1, y1, image=1):
    """Polygon that covers the pixels x0..x1-1, y0..y1-1."""
    polygon = [x0, y0, x1, y0, x1, y1, x0, y1]
    return dict(
        id=number,
        image_id=image,
        category_id=category,
        segmentation=[polygon],
        area=(x1 - x0) * (y1 - y0),
        iscrowd=0,
    )


def crowd_region(number, category, x0, x1, image=1):
    """Uncompressed run lengths (column-major) of the columns x0..x1-1."""
    counts = [x0 * HEIGHT, (x1 - x0) * HEIGHT, (WIDTH - x1) * HEIGHT]
    return dict(
        id=number,
        image_id=image,
        category_id=category,
        segmentation=dict(counts=counts, size=[HEIGHT, WIDTH]),
        area=(x1 - x0) * HEIGHT,
        iscrowd=1,
    )


# A large toothbrush first, a small person in it, a dog over both, and a crowd on the right.
ANNOTATIONS = [
    rectangle(1, 90, 0, 0, 6, 6),
    rectangle(2, 1, 0, 0, 2, 2),
    rectangle(3, 18, 1, 0, 5, 3),
    crowd_region(4, 1, 5, 8),
    crowd_region(5, 18, 2, 4, image=3),
]
IMAGES = [
    dict(id=number, file_name=f'COCO_val2014_{number:012d}.jpg', height=HEIGHT, width=WIDTH)
    for number in (3, 1, 2)
]


def dump(path, **changes):
    content = dict(images=IMAGES, annotations=ANNOTATIONS, categories=CATEGORIES)
    path.write_text(json.dumps({**content, **changes}))
    return path


@pytest.fixture
def coco(tmp_path):
    return read_instances(dump(tmp_path / 'instances_val2014.json'))


def key(number):
    return f'COCO_val2014_{number:012d}'


def test_classes_are_ranks_of_the_category_ids(coco):
    assert coco.classes == ('background', 'person', 'dog', 'toothbrush')
    assert coco.class_of == {1: 1, 18: 2, 90: 3}


def test_labels_and_splits(coco):
    everything = ['person', 'dog', 'toothbrush']
    assert image_labels(coco) == {key(1): everything, key(2): [], key(3): ['dog']}
    assert image_labels(coco, 'exclude') == {key(1): everything, key(2): [], key(3): []}
    assert split_ids(coco) == [key(1), key(3)]
    assert split_ids(coco, annotated_only=False) == [key(1), key(2), key(3)]


@pytest.mark.parametrize('crowd', ['include', 'exclude', 'ignore'])
@pytest.mark.parametrize('overlap', ['small', 'first', 'last'])
def test_every_rule_gives_the_mask_drawn_by_hand(coco, overlap, crowd):
    brush, person, dog, group = (np.zeros((HEIGHT, WIDTH), bool) for _ in range(4))
    brush[:, :6], person[:2, :2], dog[:3, 1:5], group[:, 5:] = True, True, True, True
    # Areas: brush 36, group 18, dog 12, person 4. Painted from back to front.
    objects = {'brush': (brush, 3), 'person': (person, 1), 'dog': (dog, 2), 'group': (group, 1)}
    order = {
        'small': ['brush', 'group', 'dog', 'person'],
        'last': ['brush', 'person', 'dog', 'group'],
        'first': ['group', 'dog', 'person', 'brush'],
    }[overlap]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    if crowd == 'ignore':
        expected[group] = 255
    for name in order:
        if name != 'group' or crowd == 'include':
            expected[objects[name][0]] = objects[name][1]
    np.testing.assert_array_equal(
        semantic_mask(coco.images[0], coco.class_of, overlap, crowd), expected
    )


def test_images_without_annotation_get_a_background_mask_and_meta_tells_the_rule(coco, tmp_path):
    out = tmp_path / 'masks'
    meta = write_semantic_masks(coco, out)
    assert sorted(path.stem for path in out.glob('*.png')) == [key(1), key(2), key(3)]
    assert not read_mask(out / f'{key(2)}.png').any()
    assert json.loads((out / 'meta.json').read_text()) == meta
    assert (meta['overlap'], meta['crowd'], meta['complete']) == ('small', 'include', True)
    assert len(meta['annotation_sha1']) == 40
    assert meta['pixels'] == {
        'background': 48 + 36,
        'person': 4 + 18,
        'dog': 10 + 12,
        'toothbrush': 48 - 4 - 18 - 10,
        'ignore': 0,
    }
    assert meta['images'] == {
        'background': 2,
        'person': 1,
        'dog': 2,
        'toothbrush': 1,
        'ignore': 0,
    }


def test_annotated_classes_without_a_pixel_are_told_after_an_interruption_too(
    tmp_path, monkeypatch
):
    told = []
    monkeypatch.setattr(coco_masks, 'print_log', lambda message, *_: told.append(message))
    thin, beside = [1, 1, 3, 1, 1, 1], [90, 90, 95, 90, 95, 95]
    items = [
        rectangle(1, 1, 0, 0, 4, 4),
        {**rectangle(2, 18, 0, 0, 0, 0), 'segmentation': [thin]},
        {**rectangle(3, 90, 0, 0, 0, 0, image=3), 'segmentation': [beside]},
        crowd_region(4, 18, 0, 0, image=3),
    ]
    found = read_instances(dump(tmp_path / 'x.json', annotations=items))
    first = write_semantic_masks(found, tmp_path / 'a')
    assert first['without_pixels'] == {'dog': [key(1), key(3)], 'toothbrush': [key(3)]}
    (tmp_path / 'a' / f'{key(3)}.png').unlink()
    assert write_semantic_masks(found, tmp_path / 'a') == first
    assert len(told) == 2 and told[0] == told[1]
    assert '2 images have annotated classes without a pixel' in told[0]
    assert f"'toothbrush' in {key(3)}" in told[0]
    excluded = write_semantic_masks(found, tmp_path / 'b', crowd='exclude')
    assert excluded['without_pixels'] == {'dog': [key(1)], 'toothbrush': [key(3)]}


def test_images_that_would_be_one_file_are_refused(tmp_path, monkeypatch):
    names = [dict(IMAGES[0], id=1, file_name='a.jpg'), dict(IMAGES[1], id=2, file_name='A.jpg')]
    path = dump(tmp_path / 'x.json', images=names, annotations=[])
    monkeypatch.setattr('mmwsss.utils.checks._tells_apart', lambda folder, names: False)
    with pytest.raises(ValueError, match='would be one file in'):
        write_semantic_masks(read_instances(path), tmp_path / 'masks')
    assert not (tmp_path / 'masks').exists()


def test_an_interrupted_run_goes_on(coco, tmp_path):
    whole = write_semantic_masks(coco, tmp_path / 'a')
    out = tmp_path / 'a'
    kept = out / f'{key(1)}.png'
    before = kept.stat().st_mtime_ns
    (out / f'{key(3)}.png').unlink()
    meta = json.loads((out / 'meta.json').read_text())
    for name in ('pixels', 'images', 'without_pixels'):
        del meta[name]
    (out / 'meta.json').write_text(json.dumps({**meta, 'complete': False}))
    assert write_semantic_masks(coco, out, nproc=2) == whole
    assert kept.stat().st_mtime_ns == before


def test_a_folder_is_not_filled_by_two_rules(coco, tmp_path):
    write_semantic_masks(coco, tmp_path / 'a')
    with pytest.raises(ValueError, match="made differently \\(overlap 'small' -> 'last'\\)"):
        write_semantic_masks(coco, tmp_path / 'a', overlap='last')
    write_mask(tmp_path / 'b' / 'x.png', np.zeros((1, 1), np.uint8))
    with pytest.raises(ValueError, match=r'b holds masks but no meta\.json'):
        write_semantic_masks(coco, tmp_path / 'b')


def test_unwritable_folder(coco, tmp_path):
    with pytest.raises(OSError, match='is not writable'):
        write_semantic_masks(coco, coco.path / 'masks')


@pytest.mark.parametrize('name', ['{:s}', '{:.0s}000000000001', '{:.0s}1'])
@pytest.mark.parametrize('raw_ids', [False, True])
def test_compare_counts_differing_pixels(coco, tmp_path, name, raw_ids):
    write_semantic_masks(coco, tmp_path / 'ours')
    other = read_mask(tmp_path / 'ours' / f'{key(1)}.png')
    other[5, :3] = 0
    other[0, 0] = 255
    if raw_ids:
        raw = np.array([0, 1, 18, 90] + [0] * 251 + [255], np.uint8)
        other = raw[other]
    write_mask(tmp_path / 'other' / f'{name.format(key(1))}.png', other)
    result = compare_masks(tmp_path / 'ours', tmp_path / 'other', raw_ids)
    assert result == {
        'images': 1,
        'missing': [key(2), key(3)],
        'pixels': 48,
        'differing_pixels': 4,
        'differing_images': 1,
        'pairs': [['toothbrush', 'background', 3], ['person', 'ignore', 1]],
    }


def test_compare_refuses_what_it_cannot_compare(coco, tmp_path):
    write_semantic_masks(coco, tmp_path / 'ours')
    other = tmp_path / 'other'
    with pytest.raises(FileNotFoundError, match='no mask of the images'):
        compare_masks(tmp_path / 'ours', other)
    write_mask(other / f'{key(1)}.png', np.full((HEIGHT, WIDTH), 90, np.uint8))
    with pytest.raises(ValueError, match=r'values \[90\].*--raw-ids'):
        compare_masks(tmp_path / 'ours', other)
    write_mask(other / f'{key(1)}.png', np.zeros((HEIGHT, 3), np.uint8))
    with pytest.raises(ValueError, match='has shape'):
        compare_masks(tmp_path / 'ours', other)
    with pytest.raises(FileNotFoundError, match=r'meta\.json does not exist'):
        compare_masks(other, tmp_path / 'ours')


def image(number, name, **changes):
    return {**dict(id=number, file_name=name, height=HEIGHT, width=WIDTH), **changes}


def labelled(number, **changes):
    return {**dict(id=number, image_id=1, category_id=1, iscrowd=0), **changes}


A = [image(1, 'a.jpg')]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(categories=None), "no list 'categories'"),
        (dict(annotations=[labelled(7, image_id=99)]), 'annotation 7 is of unknown image 99'),
        (dict(annotations=[labelled(7, category_id=2)]), '7 is of unknown category 2'),
        (dict(images=[dict(id=1)], annotations=[]), "image 1: missing field 'file_name'"),
        (dict(images=[dict(file_name='a.jpg')]), r"images\[0\]: missing field 'id'"),
        (dict(images=['a.jpg']), r"images\[0\] is no object but 'a.jpg'"),
        (dict(annotations=[dict(id=7, image_id=1)]), "7: missing field 'category_id'"),
        (dict(annotations=[None]), r'annotations\[0\] is no object but None'),
        (dict(categories=[]), '1 to 254 categories'),
        (dict(categories=[dict(id=i, name=str(i)) for i in range(255)]), '1 to 254 .* got 255'),
        (dict(images=[], annotations=[]), "'images' is empty"),
    ],
)
def test_wrong_json_is_named(tmp_path, changes, message):
    path = dump(tmp_path / 'instances.json', **changes)
    with pytest.raises(ValueError, match=message) as caught:
        read_instances(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        ([image(1, 'a.gif'), image(1, 'b.jpg')], "'a.gif' and 'b.jpg' have the same id 1"),
        ([image(1, 'a.gif'), image(1.0, 'b.jpg')], 'have the same id 1'),
        ([image(1, 'x/a.gif'), image(2, 'a.jpg')], "two .* 'a' .*'x/a.gif' and 'a.jpg'"),
        ([image(1, 'C:\\x\\a.jpg'), image(2, 'a.JPEG')], "two images have the file name 'a'"),
    ],
)
def test_two_images_of_one_id_or_name_are_refused(tmp_path, images, message):
    path = dump(tmp_path / 'x.json', images=images, annotations=[])
    with pytest.raises(ValueError, match=message):
        read_instances(path)


def test_names_of_every_system_give_the_id_that_the_data_set_uses(tmp_path):
    names = ['data\\train\\a.jpg', '2019.05.11_x', 'sub/b.1.PNG', 'room 1.jpg']
    images = [image(number, name) for number, name in enumerate(names)]
    coco = read_instances(dump(tmp_path / 'x.json', images=images, annotations=[]))
    assert [i.image_id for i in coco.images] == ['2019.05.11_x', 'a', 'b.1', 'room 1']


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('\ud800.jpg', 'name that is not UTF-8'),
        ('a .jpg', 'name with blanks at its ends'),
        ('a\nb.jpg', 'name with blanks at its ends or line breaks'),
        ('', 'name of no file'),
        ('._a.jpg', 'hidden file'),
        ('a' * 251 + '.jpg', 'more than 250 bytes'),
        (17, "'file_name' must be text, got 17"),
        (None, "'file_name' must be text, got None"),
    ],
)
def test_a_name_that_cannot_be_written_is_refused_at_the_start(tmp_path, name, message):
    path = dump(tmp_path / 'x.json', images=[image(3, name)], annotations=[])
    with pytest.raises(ValueError, match=f'image 3.*{message}'):
        read_instances(path)


@pytest.mark.parametrize(
    ('side', 'message'),
    [
        ('640', "must be a whole number, got '640'"),
        (640.5, 'must be a whole number, got 640.5'),
        (math.nan, 'must be a whole number, got nan'),
        (math.inf, 'must be a whole number, got inf'),
        (True, 'must be a whole number, got True'),
        (None, 'must be a whole number, got None'),
        ([6], r'must be a whole number, got \[6\]'),
        (0, r'must be in 1\.\.65535, got 0'),
        (-6, r'must be in 1\.\.65535'),
        (1e8, r'must be in 1\.\.65535'),
    ],
)
@pytest.mark.parametrize('key', ['height', 'width'])
def test_sizes_that_are_no_sizes_name_the_image(tmp_path, key, side, message):
    path = dump(tmp_path / 'x.json', images=[image(1, 'a.jpg', **{key: side})], annotations=[])
    with pytest.raises(ValueError, match=rf"x\.json: image 1: '{key}' {message}"):
        read_instances(path)


def test_sizes_may_be_written_with_a_point_but_not_fill_the_memory(tmp_path):
    images = [image(1.0, 'a.jpg', height=6.0)]
    coco = read_instances(dump(tmp_path / 'x.json', images=images, annotations=[labelled(1)]))
    assert coco.images[0].height == 6 and len(coco.images[0].annotations) == 1
    images = [image(1, 'a.jpg', height=60000, width=60000)]
    with pytest.raises(ValueError, match='60000x60000 are more than 178956970 pixels'):
        read_instances(dump(tmp_path / 'x.json', images=images))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(category_id='1'), "'category_id' must be a whole number, got '1'"),
        (dict(category_id=1.5), "'category_id' must be a whole number, got 1.5"),
        (dict(category_id=True), "'category_id' must be a whole number, got True"),
        (dict(category_id=[1]), "'category_id' must be a whole number"),
        (dict(image_id=None), "'image_id' must be a whole number, got None"),
        (dict(image_id='1'), "unknown image '1'"),
        (dict(iscrowd='0'), "'iscrowd' must be 0 or 1, got '0'"),
        (dict(iscrowd=2), "'iscrowd' must be 0 or 1, got 2"),
        (dict(iscrowd=math.nan), "'iscrowd' must be 0 or 1, got nan"),
        (dict(iscrowd=[]), "'iscrowd' must be 0 or 1"),
    ],
)
def test_fields_of_another_type_name_the_annotation(tmp_path, changes, message):
    path = dump(tmp_path / 'x.json', images=A, annotations=[labelled(7, **changes)])
    with pytest.raises(ValueError, match=f'x.json: annotation 7.*{message}'):
        read_instances(path)


@pytest.mark.parametrize(
    ('categories', 'message'),
    [
        ([(1, 'cat'), (1, 'dog')], "'cat' and 'dog' have the same id 1"),
        ([(1, 'cat'), (2, ' Cat')], "categories 1 'cat' and 2 ' Cat' have the same name"),
        ([(0, 'background'), (1, 'cat')], "category 0: 'background' is .* --drop-categories 0"),
        ([(4, '_background_'), (1, 'cat')], '--drop-categories 4'),
        ([(1, ' ')], 'category 1 holds an empty class name'),
        ([(1, 'a\ud800')], 'category 1 has the name .* not UTF-8'),
        ([(1, 5)], "category 1: 'name' must be text, got 5"),
        ([('1', 'cat')], "category '1': 'id' must be a whole number, got '1'"),
        ([(None, 'cat')], r"categories\[0\]: 'id' must be a whole number, got None"),
    ],
)
def test_categories_that_are_not_different_classes(tmp_path, categories, message):
    categories = [dict(id=key, name=name) for key, name in categories]
    path = dump(tmp_path / 'x.json', images=A, annotations=[], categories=categories)
    with pytest.raises(ValueError, match=message):
        read_instances(path)


def test_category_ids_may_be_any_whole_numbers(tmp_path):
    categories = [dict(id=key, name=name) for key, name in ((10**9, 'c'), (0, ' b '), (-3, 'a'))]
    annotations = [labelled(1, category_id=10**9), labelled(2, category_id=-3.0)]
    path = dump(tmp_path / 'x.json', images=A, annotations=annotations, categories=categories)
    coco = read_instances(path)
    assert coco.classes == ('background', 'a', 'b', 'c')
    assert image_labels(coco) == {'a': ['a', 'c']}


ROOT = [
    dict(id=0, name='sea-animals', supercategory='none'),
    dict(id=1, name='fish', supercategory='Sea-Animals'),
    dict(id=2, name='crab', supercategory='sea-animals'),
]


def test_a_root_without_objects_is_refused_until_it_is_dropped(tmp_path):
    path = dump(tmp_path / 'x.json', images=A, annotations=[labelled(1)], categories=ROOT)
    with pytest.raises(ValueError, match=r"0 'sea-animals' has no.*1 'fish'.*--drop-categories 0"):
        read_instances(path)
    coco = read_instances(path, drop=[0])
    assert coco.classes == ('background', 'fish', 'crab')
    assert coco.class_of == {1: 1, 2: 2}
    assert coco.dropped == {"0 'sea-animals'": 0}
    with pytest.raises(ValueError, match='no category 7 to drop; the ids are 0, 1, 2'):
        read_instances(path, drop=[0, 7])


def test_a_parent_that_has_objects_is_a_class(tmp_path):
    annotations = [labelled(1, category_id=0)]
    path = dump(tmp_path / 'x.json', images=A, annotations=annotations, categories=ROOT)
    assert read_instances(path).classes[1] == 'sea-animals'


def test_classes_of_coco_without_objects_keep_their_place(tmp_path):
    categories = [
        dict(id=1, name='person', supercategory='person'),
        dict(id=2, name='bicycle', supercategory='vehicle'),
        dict(id=3, name='car', supercategory='vehicle'),
    ]
    annotations = [labelled(1, category_id=3)]
    path = dump(tmp_path / 'x.json', images=A, annotations=annotations, categories=categories)
    assert read_instances(path).class_of == {1: 1, 2: 2, 3: 3}


def test_dropped_annotations_are_counted_and_count_for_nothing(tmp_path, run_tool):
    path = dump(tmp_path / 'x.json')
    result = run_tool('coco.py', 'split', path, '--out', tmp_path / 's', '--drop-categories', 18)
    assert result.code == 0 and "left out: category 18 'dog' with 2 annotations" in result.out
    assert (tmp_path / 's').read_text() == f'{key(1)}\n'
    assert '1 images; 2 without annotation are left out (--all keeps them)' in result.out
    run_tool('coco.py', 'masks', path, '--out', tmp_path / 'm', '--drop-categories', 18, 90)
    assert np.unique(read_mask(tmp_path / 'm' / f'{key(1)}.png')).tolist() == [0, 1]
    result = run_tool(
        'coco.py', 'labels', path, '--out', tmp_path / 'l', '--drop-categories', 1, 90
    )
    assert json.loads((tmp_path / 'l').read_text())[key(1)] == ['dog']
    assert "left out: category 90 'toothbrush' with 1 annotations" in result.out


def test_one_image_in_two_files_is_refused_naming_both(tmp_path):
    first = dump(tmp_path / 'train.json', images=A, annotations=[labelled(1)])
    second = dump(tmp_path / 'val.json', images=[image(9, 'x/a.png')], annotations=[])
    with pytest.raises(ValueError, match=r"image 'a' stands in both .*train.json and .*val.json"):
        image_labels_of_files([first, second])
    with pytest.raises(ValueError, match='annotation files given more than once'):
        image_labels_of_files([first, tmp_path / '.' / 'train.json'])


def test_numbers_of_images_may_agree_between_files_but_spelling_must(tmp_path):
    first = dump(tmp_path / 'train.json', images=A, annotations=[labelled(1)])
    images, annotations = [image(1, 'b.jpg')], [labelled(1, category_id=18)]
    second = dump(tmp_path / 'val.json', images=images, annotations=annotations)
    labels, _ = image_labels_of_files([first, second])
    assert labels == {'a': ['person'], 'b': ['dog']}
    dump(second, images=images, annotations=[], categories=[dict(id=1, name='Dog')])
    with pytest.raises(ValueError, match=r"'dog' in .*train.json and 'Dog' in .*val.json"):
        image_labels_of_files([first, second])


def test_a_key_twice_in_the_json_is_refused(tmp_path):
    path = dump(tmp_path / 'x.json')
    path.write_text(path.read_text()[:-1] + ', "images": []}')
    with pytest.raises(ValueError, match=r"x\.json holds the key 'images' twice"):
        read_instances(path)


@pytest.mark.parametrize('coding', ['utf-8-sig', 'utf-16'])
def test_byte_order_marks_are_skipped(tmp_path, coco, coding):
    path = tmp_path / 'x.json'
    path.write_bytes(coco.path.read_text().replace('dog', 'döner').encode(coding))
    assert path.read_bytes()[:2] in (codecs.BOM_UTF8[:2], codecs.BOM_UTF16_LE)
    assert read_instances(path).classes[2] == 'döner'


def test_missing_and_truncated_json(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.json'):
        read_instances(tmp_path / 'no.json')
    path = dump(tmp_path / 'cut.json')
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r'cut\.json is not valid JSON'):
        read_instances(path)


def polygon(*numbers):
    return dict(segmentation=[[*numbers]])


def runs(counts, size=(HEIGHT, WIDTH)):
    return dict(segmentation=dict(counts=counts, size=list(size)))


@pytest.mark.parametrize(
    ('item', 'message'),
    [
        (dict(segmentation=[]), r'must be a list of polygons, or run lengths, got \[\]'),
        (dict(segmentation=None), 'must be a list of polygons, or run lengths, got None'),
        (dict(segmentation=3), 'must be a list of polygons, or run lengths, got 3'),
        (dict(segmentation='1 2 3 4 5 6'), 'must be a list of polygons'),
        (dict(segmentation=[1, 2, 3, 4, 5, 6]), 'polygon must be a list of numbers, got 1'),
        (dict(segmentation=[dict(x=1)]), 'polygon must be a list of numbers'),
        (polygon(), 'three points, got 0 numbers'),
        (polygon(1, 2), 'three points, got 2 numbers'),
        (polygon(1, 1, 4, 4), 'three points, got 4 numbers'),  # pycocotools takes it for a box
        (polygon(1, 1, 4, 4, 5, 5, 6), 'three points, got 7 numbers'),
        (polygon(1, 1, 4, 4, math.nan, 5), 'coordinate must be a number .* got nan'),
        (polygon(1, 1, 4, 4, math.inf, 5), 'got inf'),
        (polygon(1, 1, 4, 4, 1e8, 5), 'got 100000000.0'),
        (polygon(1, 1, 4, 4, -1e308, 5), 'got -1e'),
        (polygon(1, 1, 4, 4, 10**400, 5), 'got 1000'),
        (polygon(1, 1, 4, 4, '5', 5), "got '5'"),
        (polygon(1, 1, 4, 4, None, 5), 'got None'),
        (polygon(1, 1, 4, 4, True, 5), 'got True'),
        (polygon([1, 1], [4, 4], [5, 5], [6, 6], [7, 7], [8, 8]), r'got \[1, 1\]'),
        (runs([12], (3, 4)), 'its mask is 4x3 but the image is 8x6'),
        (runs([12], (WIDTH, HEIGHT)), 'its mask is 6x8 but the image is 8x6'),
        (runs([48], ('6', 8)), "'size' must be a whole number, got '6'"),
        (dict(segmentation=dict(counts=[48])), r"need 'size': \[height, width\], got None"),
        (dict(segmentation=dict(size=[HEIGHT, WIDTH])), "need 'counts', got None"),
        (runs([20, 10]), 'add up to the 48 pixels of 8x6; they add up to 30'),
        (runs([40, 10]), 'they add up to 50'),
        (runs([50, -2]), 'must be 0 or more'),
        (runs([20.5, 27.5]), "'counts' must be a whole number, got 20.5"),
        (runs(['48']), "'counts' must be a whole number, got '48'"),
        (runs([math.nan, 48]), "'counts' must be a whole number, got nan"),
        (runs([True, 47]), "'counts' must be a whole number, got True"),
        (runs([]), 'they add up to 0'),
        (runs(''), 'they add up to 0'),
        (runs('`'), 'compressed run lengths are cut off'),
        (runs('`1 `'), "compressed run lengths are damaged at ' '"),
        (runs('p' * 40), "compressed run lengths are damaged at 'p'"),
        (runs('`o1'), 'they add up to'),
        (runs('é'), "damaged at 'é'"),
    ],
)
def test_a_broken_segmentation_is_named_before_anything_is_written(tmp_path, item, message):
    annotations = [ANNOTATIONS[0], {**ANNOTATIONS[1], 'id': 77, **item}]
    coco = read_instances(dump(tmp_path / 'x.json', annotations=annotations))
    name = rf'x\.json: image {key(1)}: annotation 77 has no valid segmentation: .*'
    with pytest.raises(ValueError, match=name + message):
        write_semantic_masks(coco, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    with pytest.raises(ValueError, match=message):
        semantic_mask(coco.images[0], coco.class_of)


@pytest.mark.parametrize('area', ['missing', None, '12', math.nan, math.inf, -1, True, [3]])
def test_an_area_is_checked_where_it_is_needed(tmp_path, area):
    item = {**ANNOTATIONS[0], 'area': area}
    if area == 'missing':
        del item['area']
    coco = read_instances(dump(tmp_path / 'x.json', annotations=[item]))
    message = rf"x\.json: image {key(1)}: annotation 1.*'area', which the overlap 'small' needs"
    with pytest.raises(ValueError, match=message):
        write_semantic_masks(coco, tmp_path / 'out')
    assert write_semantic_masks(coco, tmp_path / 'out', overlap='last')['complete']


def test_crowd_regions_that_are_left_out_may_be_broken(tmp_path):
    item = {**ANNOTATIONS[3], 'segmentation': []}
    coco = read_instances(dump(tmp_path / 'x.json', annotations=[item]))
    assert not semantic_mask(coco.images[0], coco.class_of, crowd='exclude').any()
    with pytest.raises(ValueError, match='annotation 4 has no valid segmentation'):
        semantic_mask(coco.images[0], coco.class_of, crowd='ignore')


def test_an_annotation_without_id_is_found_by_its_image(tmp_path):
    item = dict(image_id=1, category_id=1, segmentation=[])
    coco = read_instances(dump(tmp_path / 'x.json', annotations=[item]))
    with pytest.raises(ValueError, match=f'image {key(1)}: an annotation without id has no valid'):
        write_semantic_masks(coco, tmp_path / 'out')


@pytest.mark.parametrize('fill', [0, 0.02, 0.5, 1])
def test_compressed_run_lengths_are_read_as_pycocotools_writes_them(fill):
    from pycocotools import mask as coco_mask

    mask = np.random.default_rng(0).random((300, 70)) < fill
    mask[:, 20:50] |= fill > 0  # long runs need several characters
    text = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))['counts'].decode()
    counts = decode_counts(text)
    assert sum(counts) == mask.size
    for form in (text, counts, [float(count) for count in counts]):
        shape = dict(size=[300, 70], counts=form)
        np.testing.assert_array_equal(rasterise(shape, 300, 70), mask)


def test_polygons_that_leave_the_image_are_cut():
    region = rasterise([[-60000, -5, 3, -5, 3, 60000, -60000, 60000]], HEIGHT, WIDTH)
    assert region[:, :3].all() and not region[:, 3:].any()


def test_a_cut_mask_is_made_again_and_a_foreign_one_is_named(coco, tmp_path):
    out = tmp_path / 'a'
    whole = write_semantic_masks(coco, out)
    path = out / f'{key(1)}.png'
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    (out / '._x.png').write_bytes(b'no picture')
    assert write_semantic_masks(coco, out) == whole
    assert path.read_bytes() == content
    write_mask(path, np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=rf'{key(1)}\.png is a mask of 3x2 but .* 8x6; remove it'):
        write_semantic_masks(coco, out)
    write_mask(path, np.full((HEIGHT, WIDTH), 9, np.uint8))
    with pytest.raises(ValueError, match=rf'{key(1)}\.png holds the values \[9\]'):
        write_semantic_masks(coco, out)


@pytest.mark.parametrize('nproc', [0, -1, 1.5])
def test_a_number_of_processes_that_is_none(coco, tmp_path, nproc):
    with pytest.raises(ValueError, match='nproc must be a whole number in'):
        write_semantic_masks(coco, tmp_path / 'out', nproc=nproc)
    assert not (tmp_path / 'out').exists()


def kill_worker(image, **_):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_ends_the_run(coco, tmp_path, monkeypatch):
    images = [image(number, f'{number:02d}.jpg') for number in range(40)]
    many = read_instances(dump(tmp_path / 'y.json', images=images, annotations=[]))
    monkeypatch.setattr(coco_masks, '_write_one', kill_worker)
    with pytest.raises(RuntimeError, match='a worker process was killed'):
        write_semantic_masks(many, tmp_path / 'out', nproc=2)


@pytest.mark.parametrize('content', ['[]', '{}', '{"classes": ["a"], "category_ids": [1]}'])
def test_a_foreign_meta_file_is_named(coco, tmp_path, content):
    (tmp_path / 'm').mkdir()
    (tmp_path / 'm' / 'meta.json').write_text(content)
    message = r'meta\.json was not written by tools/dataset_converters/coco\.py'
    with pytest.raises(ValueError, match=message):
        compare_masks(tmp_path / 'm', tmp_path / 'other')
    with pytest.raises(ValueError, match=message):
        write_semantic_masks(coco, tmp_path / 'm')


def test_compare_takes_numbers_for_names_of_coco_only(tmp_path):
    images = [image(1, 'a_1.jpg'), image(2, 'b_1.jpg')]
    coco = read_instances(dump(tmp_path / 'x.json', images=images, annotations=[]))
    write_semantic_masks(coco, tmp_path / 'ours')
    write_mask(tmp_path / 'other' / '1.png', np.ones((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(FileNotFoundError, match='holds no mask of the images'):
        compare_masks(tmp_path / 'ours', tmp_path / 'other')


def test_compare_refuses_two_masks_of_one_image_and_one_folder_twice(coco, tmp_path):
    write_semantic_masks(coco, tmp_path / 'ours')
    with pytest.raises(ValueError, match='both folders are'):
        compare_masks(tmp_path / 'ours', tmp_path / '.' / 'ours')
    for name in (key(1), '1'):
        write_mask(tmp_path / 'other' / f'{name}.png', np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(ValueError, match=r'1\.png are masks of one image'):
        compare_masks(tmp_path / 'ours', tmp_path / 'other')
    meta = json.loads((tmp_path / 'ours' / 'meta.json').read_text())
    (tmp_path / 'ours' / 'meta.json').write_text(json.dumps({**meta, 'complete': False}))
    with pytest.raises(ValueError, match='are not finished'):
        compare_masks(tmp_path / 'ours', tmp_path / 'other')


@pytest.mark.parametrize('number', [0, 255, 1000])
def test_raw_ids_that_no_mask_can_hold(tmp_path, number):
    categories, annotations = [dict(id=number, name='cat')], []
    path = dump(tmp_path / 'x.json', images=A, annotations=annotations, categories=categories)
    write_semantic_masks(read_instances(path), tmp_path / 'ours')
    write_mask(tmp_path / 'other' / 'a.png', np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(ValueError, match=rf'--raw-ids must be .* in \[1, 254\], got {number}'):
        compare_masks(tmp_path / 'ours', tmp_path / 'other', raw_ids=True)


def test_a_class_called_ignore_is_counted_apart_from_255(tmp_path):
    item = rectangle(1, 1, 0, 0, 2, 2)
    categories = [dict(id=1, name='ignore')]
    path = dump(tmp_path / 'x.json', images=A, annotations=[item], categories=categories)
    meta = write_semantic_masks(read_instances(path), tmp_path / 'm')
    assert meta['pixels'] == {'background': 44, 'ignore': 4, '255': 0}


def test_tool_makes_a_whole_data_set(tmp_path, run_tool):
    path = dump(tmp_path / 'instances_val2014.json')
    run_tool('coco.py', 'labels', path, '--out', tmp_path / 'image_labels.json')
    assert json.loads((tmp_path / 'image_labels.json').read_text())[key(3)] == ['dog']
    run_tool('coco.py', 'split', path, '--out', tmp_path / 'val.txt')
    assert (tmp_path / 'val.txt').read_text() == f'{key(1)}\n{key(3)}\n'
    run_tool('coco.py', 'split', path, '--out', tmp_path / 'all.txt', '--all')
    assert len((tmp_path / 'all.txt').read_text().split()) == 3
    run_tool('coco.py', 'masks', path, '--out', tmp_path / 'a')
    run_tool('coco.py', 'masks', path, '--out', tmp_path / 'b', '--crowd', 'exclude')
    result = run_tool('coco.py', 'compare', tmp_path / 'a', tmp_path / 'b')
    # Image 1: the crowd's 18 pixels, 6 of which are toothbrush in b; image 3: 12.
    assert '30 of 144 pixels differ (20.833 %), in 2 of 3 images' in result.out
    assert 'person -> toothbrush: 6 pixels' in result.out
    assert result.code == 0


@pytest.mark.parametrize('command', ['labels', 'split', 'masks'])
def test_tool_does_not_overwrite_what_it_reads(tmp_path, run_tool, command):
    path = dump(tmp_path / 'x.json')
    before = path.read_bytes()
    (tmp_path / 'link.json').symlink_to(path)
    result = run_tool('coco.py', command, path, '--out', tmp_path / 'link.json')
    assert result.code == 1 and 'error: --out is' in result.err
    assert path.read_bytes() == before


def test_tool_says_in_one_line_what_is_wrong(tmp_path, run_tool):
    result = run_tool('coco.py', 'split', tmp_path / 'no.json', '--out', tmp_path / 's')
    assert result.err == f'error: Annotation file {tmp_path / "no.json"} does not exist.'
    path = dump(tmp_path / 'x.json', annotations=[])
    result = run_tool('coco.py', 'split', path, '--out', tmp_path / 's')
    assert result.code == 1 and 'no image has an annotation; --all lists' in result.err
    assert not (tmp_path / 's').exists()
