"""COCO annotations -> labels, splits, masks. Rectangles, so that the truth is known by hand."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mmwsss.datasets.converters.coco import image_labels, read_instances, split_ids
from mmwsss.datasets.converters.coco_masks import (
    compare_masks,
    semantic_mask,
    write_semantic_masks,
)
from mmwsss.utils.io import read_mask, write_mask

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'coco.py'
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


def test_an_interrupted_run_goes_on(coco, tmp_path):
    whole = write_semantic_masks(coco, tmp_path / 'a')
    out = tmp_path / 'a'
    kept = out / f'{key(1)}.png'
    before = kept.stat().st_mtime_ns
    (out / f'{key(3)}.png').unlink()
    meta = json.loads((out / 'meta.json').read_text())
    for name in ('pixels', 'images'):
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


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(categories=None), "no list 'categories'"),
        (dict(annotations=[dict(id=7, image_id=99, category_id=1)]), '7 is of unknown image 99'),
        (dict(annotations=[dict(id=7, image_id=1, category_id=2)]), '7 is of unknown category 2'),
        (dict(images=[dict(id=1)], annotations=[]), "missing field 'file_name'"),
        (dict(categories=[]), '1 to 254 categories'),
        (
            dict(images=[{**IMAGES[0], 'id': number} for number in (1, 3)]),
            f"two images have the file name '{key(3)}'",
        ),
    ],
)
def test_wrong_json_is_named(tmp_path, changes, message):
    path = dump(tmp_path / 'instances.json', **changes)
    with pytest.raises(ValueError, match=message) as caught:
        read_instances(path)
    assert str(path) in str(caught.value)


def test_missing_and_truncated_json(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.json'):
        read_instances(tmp_path / 'no.json')
    path = dump(tmp_path / 'cut.json')
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r'cut\.json is not valid JSON'):
        read_instances(path)


@pytest.mark.parametrize(
    ('item', 'message'),
    [
        (dict(segmentation=[]), 'no valid segmentation'),
        (dict(segmentation=[[1, 2]]), 'no valid segmentation'),
        (dict(segmentation=3), 'no valid segmentation'),
        (dict(segmentation=dict(counts=[12], size=[3, 4])), 'its mask is 4x3 but .* is 8x6'),
        (dict(area=None), "has no 'area'"),
    ],
)
def test_a_broken_annotation_is_named(tmp_path, item, message):
    item = {name: value for name, value in {**ANNOTATIONS[0], **item}.items() if value is not None}
    coco = read_instances(dump(tmp_path / 'x.json', annotations=[item]))
    with pytest.raises(ValueError, match=f'image {key(1)}: annotation 1.*{message}'):
        write_semantic_masks(coco, tmp_path / 'out')


def test_tool_makes_a_whole_data_set(tmp_path, monkeypatch, capsys):
    path = dump(tmp_path / 'instances_val2014.json')

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    run('labels', path, '--out', tmp_path / 'image_labels.json')
    assert json.loads((tmp_path / 'image_labels.json').read_text())[key(3)] == ['dog']
    run('split', path, '--out', tmp_path / 'val.txt')
    assert (tmp_path / 'val.txt').read_text() == f'{key(1)}\n{key(3)}\n'
    run('split', path, '--out', tmp_path / 'all.txt', '--all')
    assert len((tmp_path / 'all.txt').read_text().split()) == 3
    run('masks', path, '--out', tmp_path / 'a')
    run('masks', path, '--out', tmp_path / 'b', '--crowd', 'exclude')
    run('compare', tmp_path / 'a', tmp_path / 'b')
    out = capsys.readouterr().out
    # Image 1: the crowd's 18 pixels, 6 of which are toothbrush in b; image 3: 12.
    assert '30 of 144 pixels differ (20.833 %), in 2 of 3 images' in out
    assert 'person -> toothbrush: 6 pixels' in out
