"""The image-label contract, and every way in which data can be wrong."""

import json
from typing import ClassVar

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mmwsss.datasets import (
    COCO14Dataset,
    ImageLabelDataset,
    MiniDataset,
    VOC12Dataset,
    image_label,
)
from mmwsss.datasets.image_label import Split
from mmwsss.stores.cam_store import save_cam
from mmwsss.stores.label_file import read_label_file, write_label_file
from mmwsss.utils.io import write_mask

CLASSES = ('background', 'cat', 'dog', 'bird')
PIPELINE = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='LoadAnnotations', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels', optional=True),
    dict(type='mmwsss.PackWSSSInputs'),
]
TRAIN_PIPELINE = [
    dict(type='LoadImageFromFile', _scope_='mmwsss'),
    dict(type='mmwsss.LoadImageLabels'),
    dict(type='mmwsss.PackWSSSInputs'),
]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def root(tmp_path):
    """Three images of 12x8 pixels with masks, a split list and a label file."""
    rng = np.random.default_rng(0)
    for name in ('images', 'masks'):
        (tmp_path / name).mkdir()
    for key in 'abc':
        pixels = rng.integers(0, 255, (8, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'images' / f'{key}.jpg')
        Image.fromarray(np.ones((8, 12), np.uint8)).save(tmp_path / 'masks' / f'{key}.png')
    (tmp_path / 'train.txt').write_text('c\na\n\nb\n')
    write_label_file(tmp_path / 'labels.json', {'a': ['dog', 'cat'], 'b': ['bird'], 'c': []})
    return tmp_path


def build(root, **changes):
    arguments = dict(
        metainfo=dict(classes=CLASSES),
        data_root=str(root),
        data_prefix=dict(img_path='images'),
        ann_file='train.txt',
        label_file='labels.json',
        pipeline=TRAIN_PIPELINE,
    )
    return ImageLabelDataset(**{**arguments, **changes})


def build_with_masks(root, **changes):
    prefix = dict(img_path='images', seg_map_path='masks')
    return build(root, **{'data_prefix': prefix, 'pipeline': PIPELINE, **changes})


def set_labels(root, labels):
    (root / 'labels.json').write_text(json.dumps(labels))


def test_labels_follow_the_order_of_the_classes(root):
    dataset = build(root)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['img_path'].rsplit('/', 1)[-1] for info in infos] == ['c.jpg', 'a.jpg', 'b.jpg']
    assert [info['image_labels'].tolist() for info in infos] == [[], [0, 1], [2]]
    assert {info['image_labels'].dtype for info in infos} == {np.dtype('int64')}
    label = dataset[1]['data_samples'].gt_image_labels.label
    assert label.tolist() == [1.0, 1.0, 0.0]
    assert str(label.dtype) == 'torch.float32'
    assert 'gt_sem_seg' not in dataset[1]['data_samples']


def test_without_a_split_list_the_whole_folder_is_used(root):
    assert len(build(root, ann_file='')) == 3


def test_evaluation_needs_no_labels(root):
    dataset = build_with_masks(root, label_file=None, test_mode=True)
    sample = dataset[0]['data_samples']
    assert sample.gt_sem_seg.data.shape == (1, 8, 12)
    assert 'gt_image_labels' not in sample


def test_training_without_labels_names_the_remedy(root):
    with pytest.raises(RuntimeError, match=r'c\.jpg.*no image labels.*label_file'):
        build(root, label_file=None)[0]


def test_missing_label_file(root):
    (root / 'labels.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'labels\.json does not exist.*voc_labels\.py'):
        build(root)


def test_broken_label_file(root):
    (root / 'labels.json').write_text('{"a": ["cat"')
    with pytest.raises(ValueError, match=r'labels\.json is not valid JSON'):
        build(root)


@pytest.mark.parametrize('content', [['a'], {'a': 'cat'}, {'a': [1]}])
def test_label_file_of_another_form(root, content):
    set_labels(root, content)
    with pytest.raises(ValueError, match=r'labels\.json.*(must hold an object|image \'a\')'):
        build(root)


def test_images_without_labels_are_counted_and_named(root):
    set_labels(root, {'a': ['cat']})
    with pytest.raises(ValueError, match=r'labels\.json has no entry for 2 of 3 images.*: c, b\.'):
        build(root)


def test_unknown_class_names_the_image_and_the_nearest_class(root):
    set_labels(root, {'a': ['cat'], 'b': ['birds'], 'c': []})
    message = r"labels\.json, image 'b': unknown class 'birds'; did you mean 'bird'\?.*cat, dog"
    with pytest.raises(ValueError, match=message):
        build(root)


def test_unknown_class_outside_of_the_split_is_found_too(root):
    set_labels(root, {'a': ['cat'], 'b': [], 'c': [], 'elsewhere': ['zebra']})
    with pytest.raises(ValueError, match="image 'elsewhere': unknown class 'zebra'"):
        build(root)


def test_background_must_not_be_listed(root):
    set_labels(root, {'a': ['background', 'cat'], 'b': [], 'c': []})
    with pytest.raises(ValueError, match="image 'a': 'background' is implied"):
        build(root)


def test_no_positive_class_at_all(root):
    set_labels(root, {'a': [], 'b': [], 'c': []})
    with pytest.raises(ValueError, match=r'labels\.json: not one of the 3 images'):
        build(root)


def test_empty_split(root):
    (root / 'train.txt').write_text('\n')
    with pytest.raises(ValueError, match=r'Split list .*train\.txt is empty'):
        build(root)


def test_empty_folder(root):
    with pytest.raises(ValueError, match=r"images holds no image.*img_suffix '\.png'"):
        build(root, ann_file='', img_suffix='.png')


def test_missing_split_list(root):
    with pytest.raises(FileNotFoundError, match=r'Split list .*val\.txt does not exist'):
        build(root, ann_file='val.txt')


def test_missing_image_folder(root):
    with pytest.raises(FileNotFoundError, match=r'Image folder .*pictures does not exist'):
        build(root, data_prefix=dict(img_path='pictures'))


def test_wrong_suffix_is_found_before_training(root):
    with pytest.raises(FileNotFoundError, match=r"3 of 3 .*: c\.png \(there is c\.jpg\).*'\.png'"):
        build(root, img_suffix='.png')


def test_classes_must_begin_with_background(root):
    with pytest.raises(ValueError, match="must be 'background' followed by"):
        build(root, metainfo=dict(classes=('cat', 'dog', 'bird')))


def test_two_images_with_one_id(root):
    (root / 'images' / 'more').mkdir()
    (root / 'images' / 'a.jpg').rename(root / 'images' / 'more' / 'b.jpg')
    for label_file in ('labels.json', None):
        with pytest.raises(ValueError, match="have the same image id 'b'"):
            build(root, ann_file='', label_file=label_file)


def test_truncated_jpeg_is_named(root):
    path = root / 'images' / 'c.jpg'
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(RuntimeError, match=r'Cannot prepare image .*c\.jpg: .*broken.*truncated'):
        build(root)[0]


def test_a_file_that_is_no_image_is_named(root):
    (root / 'images' / 'c.jpg').write_bytes(b'')
    with pytest.raises(RuntimeError, match=r'Cannot prepare image .*c\.jpg'):
        build(root)[0]


def test_mask_of_another_size_names_both_files(root):
    Image.fromarray(np.ones((8, 10), np.uint8)).save(root / 'masks' / 'c.png')
    dataset = build_with_masks(root, test_mode=True)
    with pytest.raises(
        RuntimeError, match=r'masks/c\.png is a mask of 10x8 .*images/c\.jpg has 12x8'
    ):
        dataset[0]
    assert dataset[1]['data_samples'].gt_sem_seg.data.shape == (1, 8, 12)


def test_colour_mask_names_the_file(root):
    Image.new('RGB', (12, 8)).save(root / 'masks' / 'c.png')
    with pytest.raises(ValueError, match=r'masks/c\.png is not a label map: its mode is RGB'):
        build_with_masks(root)


def test_label_file_round_trip(tmp_path):
    labels = {'b': ['é'], 'a': []}
    write_label_file(tmp_path / 'x.json', labels)
    assert read_label_file(tmp_path / 'x.json') == labels
    assert list(read_label_file(tmp_path / 'x.json')) == ['a', 'b']


def test_shipped_class_lists():
    voc, coco = VOC12Dataset.METAINFO, COCO14Dataset.METAINFO
    assert len(voc['classes']) == 21
    assert len(coco['classes']) == len(set(coco['classes'])) == len(coco['palette']) == 81
    assert (coco['classes'][0], coco['classes'][1], coco['classes'][80]) == (
        'background',
        'person',
        'toothbrush',
    )
    # The colour map is VOC's, continued.
    assert coco['palette'][:21] == voc['palette']


def names_of(dataset) -> list[str]:
    return [dataset.get_data_info(i)['img_path'].rsplit('/', 1)[-1] for i in range(len(dataset))]


def test_images_that_are_missing_later_in_the_split_are_found_when_it_is_built(root):
    (root / 'images' / 'b.jpg').rename(root / 'images' / 'b.JPG')
    (root / 'images' / 'a.jpg').unlink()
    (root / 'images' / 'a.jpg').symlink_to(root / 'nowhere.jpg')
    message = (
        r'2 of 3 images of the split .*train\.txt do not exist: '
        r'a\.jpg \(a broken link.*\), b\.jpg \(there is b\.J'
    )
    with pytest.raises(FileNotFoundError, match=message):
        build(root)


def test_a_list_of_file_names_is_told_from_ids(root):
    (root / 'train.txt').write_text('a.jpg\n')
    with pytest.raises(FileNotFoundError, match=r'a\.jpg\.jpg \(there is a\.jpg\)'):
        build(root)


@pytest.mark.parametrize('pipeline', [PIPELINE, []])
def test_masks_that_are_missing_are_found_when_it_is_built(root, pipeline):
    (root / 'masks' / 'b.png').rename(root / 'masks' / 'b.PNG')
    message = r'1 of 3 images .* have no mask in .*masks: b\.png \(there is b\.PNG\).*seg_map_path'
    with pytest.raises(FileNotFoundError, match=message):
        build_with_masks(root, pipeline=pipeline)
    with pytest.raises(FileNotFoundError, match=r'1 of 3 .*b\.png.*`mask_dir`'):
        build(root, mask_dir=str(root / 'masks'))


def test_mask_dir_needs_no_data_root(root, monkeypatch):
    monkeypatch.chdir(root)
    dataset = build(
        root,
        data_root=None,
        mask_dir='masks',
        pipeline=PIPELINE,
        data_prefix=dict(img_path='images'),
    )
    assert dataset[0]['data_samples'].gt_sem_seg.data.unique().tolist() == [1]


def test_a_pipeline_that_loads_masks_without_a_folder_of_them_is_refused(root):
    with pytest.raises(ValueError, match=r'neither `mask_dir` nor `data_prefix\.seg_map_path`'):
        build(root, pipeline=PIPELINE)


def test_masks_of_0_and_255_are_refused_when_it_is_built(root):
    for key, value in zip('abc', (0, 255, 0), strict=True):
        mask = np.zeros((8, 12), np.uint8)
        mask[2:5] = value
        Image.fromarray(mask).save(root / 'masks' / f'{key}.png')
    with pytest.raises(ValueError, match=r'not one of the 3 masks.*255 .*b\.png.*divide by 255'):
        build_with_masks(root)
    Image.fromarray(np.ones((8, 12), np.uint8)).save(root / 'masks' / 'b.png')
    assert len(build_with_masks(root)) == 3


@pytest.mark.parametrize('stock', [False, True])
def test_mask_values_beyond_the_classes_are_named_where_they_are_loaded(root, stock):
    """Also where the pipeline has MMSegmentation's own reader, and the value would wrap."""
    Image.fromarray(np.full((8, 12), 4, np.uint8)).save(root / 'masks' / 'c.png')
    Image.fromarray(np.full((8, 12), 257, np.uint16)).save(root / 'masks' / 'a.png')
    pipeline = PIPELINE
    if stock:
        pipeline = [
            dict(type='LoadImageFromFile', imdecode_backend='pillow'),
            dict(type='LoadAnnotations'),
            *PIPELINE[2:],
        ]
    dataset = build_with_masks(root, pipeline=pipeline)
    with pytest.raises(RuntimeError, match=r'masks/c\.png holds the values \[4\].* classes 0\.\.3'):
        dataset[0]
    with pytest.raises(RuntimeError, match=r'masks/a\.png is not a label map: its mode is I;16'):
        dataset[1]


def test_explicit_readers_of_mmseg_are_kept_and_their_values_checked(root):
    Image.fromarray(np.full((8, 12), 7, np.uint8)).save(root / 'masks' / 'c.png')
    pipeline = [dict(type='mmengine.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
    dataset = build_with_masks(root, pipeline=[*pipeline, *PIPELINE[2:]])
    assert [type(step).__module__.split('.')[0] for step in dataset.pipeline.transforms[:2]] == [
        'mmcv',
        'mmseg',
    ]
    with pytest.raises(RuntimeError, match=r'mask .*masks/c\.png holds the values \[7\]'):
        dataset[0]


def test_a_choice_of_classes_renumbers_the_masks(root):
    class Fixed(ImageLabelDataset):
        METAINFO = dict(classes=CLASSES, palette=[[i] * 3 for i in range(4)])

    Image.fromarray(np.array([[0, 1, 2, 3, 255, 0]] * 4, np.uint8)).resize((12, 8), 0).save(
        root / 'masks' / 'c.png'
    )
    dataset = Fixed(
        data_root=str(root),
        metainfo=dict(classes=('background', 'bird', 'cat')),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        ann_file='train.txt',
        pipeline=PIPELINE,
    )
    mask = dataset[0]['data_samples'].gt_sem_seg.data[0, 0, ::2]
    assert mask.tolist() == [0, 2, 255, 1, 255, 0]


def test_pictures_of_16_bits_are_read_whatever_the_reader_in_the_config(root):
    ramp = np.arange(96, dtype=np.uint16).reshape(8, 12) * 600
    Image.fromarray(ramp).save(root / 'images' / 'a.png')
    (root / 'train.txt').write_text('a\n')
    stock = dict(type='LoadImageFromFile', imdecode_backend='pillow')
    dataset = build(root, img_suffix='.png', pipeline=[stock])
    np.testing.assert_array_equal(dataset[0]['img'][..., 0], ramp >> 8)


def test_blanks_marks_and_line_ends_of_a_split_list(root):
    (root / 'images' / 'a.jpg').rename(root / 'images' / 'two words.jpg')
    set_labels(root, {'two words': ['cat'], 'b': [], 'c': []})
    (root / 'train.txt').write_bytes(b'\xef\xbb\xbfb\r\n two words \r\n\r\nc')
    assert names_of(build(root)) == ['b.jpg', 'two words.jpg', 'c.jpg']
    (root / 'train.txt').write_text('c\ntwo words\n', encoding='utf-16')
    assert names_of(build(root)) == ['c.jpg', 'two words.jpg']


def test_an_image_listed_twice_is_refused(root):
    (root / 'train.txt').write_text('a\nb\na\n')
    with pytest.raises(ValueError, match=r'train\.txt names 1 images more than once: a'):
        build(root)


def test_only_the_end_of_a_name_is_its_suffix(root):
    (root / 'images' / 'a.jpg').rename(root / 'images' / 'x.jpg.jpg')
    (root / 'masks' / 'a.png').rename(root / 'masks' / 'x.jpg.png')
    for key in 'bc':
        (root / 'images' / f'{key}.jpg').unlink()
    dataset = build_with_masks(root, ann_file='', label_file=None)
    assert names_of(dataset) == ['x.jpg.jpg']
    assert dataset.get_data_info(0)['seg_map_path'].endswith('masks/x.jpg.png')


def test_a_whole_folder_leaves_hidden_files_out_and_says_what_else_it_leaves(root, monkeypatch):
    images = root / 'images'
    (images / '.thumbnails').mkdir()
    (images / 'more').mkdir()
    (images / 'more' / 'above').symlink_to(images)
    for name in ('._a.jpg', '.thumbnails/a.jpg', 'more/d.jpg', 'e.JPG', 'f.png', 'notes.txt'):
        (images / name).write_bytes((images / 'a.jpg').read_bytes())
    (images / 'g.jpg').symlink_to(root / 'nowhere')
    log = []
    monkeypatch.setattr(image_label, 'print_log', lambda message, *_: log.append(message))
    dataset = build(root, ann_file='', label_file=None)
    assert names_of(dataset) == ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg']
    assert '3 pictures are left out' in log[0]
    assert 'e.JPG, f.png, g.jpg' in log[0]


@pytest.mark.parametrize(
    'classes, message',
    [
        (('background', *map(str, range(255))), 'there are 256 classes .* 255 means ignored'),
        (('background', 'cat', 'dog', 'Cat'), 'names cat, Cat more than once'),
        (('background', 'cat', 'Background'), "'Background' is implied"),
        (('background', 'cat', ' '), 'empty class name'),
        (('background', 'c\x01at'), 'is a name with control characters'),
        (('background', 'cat', 7), "must be 'background' followed by"),
    ],
)
def test_class_names_are_different_and_no_background(root, classes, message):
    with pytest.raises(ValueError, match=message):
        build(root, metainfo=dict(classes=classes))


@pytest.mark.parametrize('first', [b'background\r\n', b''], ids=['with', 'without background'])
def test_classes_may_be_a_file(root, first):
    (root / 'classes.txt').write_bytes(b'\xef\xbb\xbf' + first + b'cat\r\ndog\r\nbird\r\n')
    assert build(root, metainfo=dict(classes=str(root / 'classes.txt'))).metainfo['classes'] == (
        CLASSES
    )
    with pytest.raises(FileNotFoundError, match=r'Class list .*names\.txt does not exist'):
        build(root, metainfo=dict(classes=str(root / 'names.txt')))


def test_an_image_without_a_file_in_a_store_is_found_when_it_is_built(root):
    store = root / 'cams'
    with pytest.raises(FileNotFoundError, match=r'3 of 3 .*cams: c\.npz, a\.npz, b\.npz.*cam_dir'):
        build(root, cam_dir=str(store))
    for key in 'ac':
        save_cam(store / f'{key}.npz', np.array([0, 1]), np.zeros((2, 4, 6)), (8, 12))
    with pytest.raises(FileNotFoundError, match=r'1 of 3 .*cams: b\.npz\. Run the stage'):
        build(root, score_dir=str(store))


def test_an_image_that_cannot_be_prepared_brings_the_remedy_of_its_cause_only(root):
    store = root / 'cams'
    for key in 'abc':
        save_cam(store / f'{key}.npz', np.array([0, 1]), np.zeros((2, 4, 6)), (8, 12))
    (store / 'a.npz').write_bytes(b'PK\x05\x06 looks whole')
    pipeline = [*TRAIN_PIPELINE[:2], dict(type='mmwsss.LoadCAM')]
    with pytest.raises(RuntimeError) as error:
        build(root, pipeline=pipeline, cam_dir=str(store))[1]
    assert 'a.jpg: ValueError: ' in str(error.value)
    assert str(error.value).endswith('or correct the folder in the config.')


@pytest.mark.parametrize('key', ['mask_dir', 'cam_dir'])
@pytest.mark.parametrize('left', [0, 40])
def test_results_that_were_cut_off_are_found_when_it_is_built(root, key, left):
    """Not after hours of training."""
    store = root / 'store'
    for name in 'abc':
        if key == 'mask_dir':
            write_mask(store / f'{name}.png', np.eye(8, 12, dtype=np.uint8))
        else:
            save_cam(store / f'{name}.npz', np.array([0]), np.zeros((1, 4, 6)), (8, 12))
    assert len(build(root, **{key: str(store)})) == 3
    path = next(store.glob('b.*'))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match=rf'1 of 3 files of {key} .* cut off: .*b\.'):
        build(root, **{key: str(store)})


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a 1\nb -1\n', r"a 1\.jpg \(there is 'a\.jpg': an id is its name"),
        ('A\n', r"A\.jpg \(there is 'a\.jpg': the names differ in case"),
        ('caf\u00e9\n', r"\(there is 'cafe\\u0301\.jpg': the names differ in case, suffix or acc"),
    ],
)
def test_ids_in_another_spelling_are_named(root, text, message):
    (root / 'images/a.jpg').rename(root / 'images/a.tmp')
    for name in ('a', 'b', 'cafe\u0301'):
        Image.new('RGB', (12, 8)).save(root / f'images/{name}.jpg')
    (root / 'train.txt').write_text(text, encoding='utf-8')
    with pytest.raises(FileNotFoundError, match=message):
        build(root)


def test_ids_that_look_the_same_are_refused(root):
    (root / 'train.txt').write_text('caf\u00e9\ncafe\u0301\n', encoding='utf-8')
    with pytest.raises(ValueError, match='which look the same: an accent'):
        build(root)


def test_pictures_whose_names_cannot_stand_in_a_list_are_left_out(root):
    """A list of what is left to do could not name them."""
    Image.new('RGB', (12, 8)).save(root / 'images/ d.jpg')
    dataset = build(root, ann_file='', label_file=None)
    assert sorted(names_of(dataset)) == ['a.jpg', 'b.jpg', 'c.jpg']


class Pets(ImageLabelDataset):
    METAINFO = dict(classes=CLASSES, palette=[[i] * 3 for i in range(4)])
    SPLITS: ClassVar = {
        'train': Split('train.txt', 'images', 'masks'),
        'more': Split('train.txt', 'images'),
    }


def build_pets(root, **changes):
    arguments = dict(data_root=str(root), label_file='labels.json', pipeline=TRAIN_PIPELINE)
    return Pets(**{**arguments, **changes})


def test_a_split_names_list_and_images_but_no_masks(root):
    dataset = build_pets(root, split='more')
    assert names_of(dataset) == ['c.jpg', 'a.jpg', 'b.jpg']
    assert 'seg_map_path' not in dataset.get_data_info(0)
    with pytest.raises(ValueError, match=r'neither `mask_dir` .* \(with a split: masks=True\)'):
        build_pets(root, split='train', pipeline=PIPELINE)


def test_masks_of_a_split_come_into_reach_by_masks(root):
    Image.fromarray(np.full((8, 12), 3, np.uint8)).save(root / 'masks' / 'c.png')
    dataset = build_pets(root, split='train', masks=True, pipeline=PIPELINE)
    assert dataset[0]['data_samples'].gt_sem_seg.data.unique().tolist() == [3]
    assert 'seg_map_path' not in build_pets(root, split='train', masks=False).get_data_info(0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(split='trian'), "split of Pets must be one of train, more, .* 'train'"),
        (dict(split='train', ann_file='train.txt'), "both name the images. Say split='train' al"),
        (dict(split='train', ann_file='few.txt'), r'Say ids=LIST .* or split=None and data_prefix'),
        (dict(split='train', data_prefix=dict(img_path='x')), r"{'img_path': 'x'} both name fold"),
        (dict(split='more', masks=True), "no true masks of split 'more', only of train"),
        (dict(split='train', masks=True, mask_dir='m'), 'mask_dir=None for the true ones'),
        (dict(data_prefix=dict(img_path='images'), masks=True), 'seg_map_path is None'),
        (dict(data_prefix=dict(seg_map_path='masks'), masks=False), "seg_map_path is 'masks'"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_pets(root, **arguments)


def test_own_data_that_inherit_a_split_are_told_to_drop_it(root):
    with pytest.raises(ValueError, match=r"ImageLabelDataset has no split 'train_aug'.*split=None"):
        build(root, split='train_aug')
    assert len(build_with_masks(root, split=None, masks=True)) == 3
    images_only = dict(data_root=str(root / 'images'), data_prefix=None, ann_file='')
    dataset = build(root, masks=False, label_file=None, **images_only)
    assert len(dataset) == 3 and 'seg_map_path' not in dataset.get_data_info(0)


def test_ids_choose_images_of_a_split(root, tmp_path):
    (tmp_path / 'few').write_text('b\nc\n')
    assert names_of(build_pets(root, split='train', ids=str(tmp_path / 'few'))) == [
        'c.jpg',
        'b.jpg',
    ]
    assert names_of(build(root, ids=str(tmp_path / 'few'))) == ['c.jpg', 'b.jpg']
    (tmp_path / 'few').write_text('b\nz\n')
    with pytest.raises(ValueError, match=r'1 of 2 ids of .*few are not in the split .*: z'):
        build(root, ids=str(tmp_path / 'few'))


def test_an_optional_mask_is_read_where_there_is_one(root):
    optional = [PIPELINE[0], dict(PIPELINE[1], optional=True), *PIPELINE[2:]]
    assert 'gt_sem_seg' not in build_pets(root, split='more', pipeline=optional)[0]['data_samples']
    dataset = build_pets(root, split='train', masks=True, pipeline=optional)
    assert 'gt_sem_seg' in dataset[0]['data_samples']
    (root / 'masks' / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 3 images .* have no mask'):
        build_pets(root, split='train', masks=True, pipeline=optional)


def test_saliency_maps_are_a_store_of_pictures(root):
    store = root / 'saliency'
    store.mkdir()
    for key in 'abc':
        Image.new('L', (12, 8)).save(store / f'{key}.png')
    info = build_pets(root, split='train', saliency_dir=str(store)).get_data_info(0)
    assert info['saliency_path'] == str(store / 'c.png')
    (store / 'c.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 3 .*saliency: c\.png.*`saliency_dir`'):
        build_pets(root, split='train', saliency_dir=str(store))


def test_true_masks_of_the_shipped_splits():
    judged = {
        kind.__name__: [name for name, place in kind.SPLITS.items() if place.masks]
        for kind in (VOC12Dataset, COCO14Dataset, MiniDataset)
    }
    assert judged == {
        'VOC12Dataset': ['train', 'val', 'trainval'],
        'COCO14Dataset': ['train', 'val'],
        'MiniDataset': ['train', 'val'],
    }
    assert VOC12Dataset.SPLITS['train_aug'].ann_file == 'ImageSets/Segmentation/train_aug.txt'
    assert COCO14Dataset.SPLITS['val'] == ('val.txt', 'val2014', 'semantic_masks/val2014')
