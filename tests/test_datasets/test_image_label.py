"""The image-label contract, and every way in which data can be wrong."""

import json

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from mmwsss.datasets import COCO14Dataset, ImageLabelDataset, VOC12Dataset
from mmwsss.datasets.label_file import read_label_file, write_label_file

CLASSES = ('background', 'cat', 'dog', 'bird')
PIPELINE = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='LoadAnnotations'),
    dict(type='mmwsss.LoadImageLabels', optional=True),
    dict(type='mmwsss.PackWSSSInputs'),
]
TRAIN_PIPELINE = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
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
    dataset = build(
        root,
        label_file=None,
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        pipeline=PIPELINE,
        test_mode=True,
    )
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
    with pytest.raises(ValueError, match=r'train\.txt names no image.*img_suffix'):
        build(root)


def test_empty_folder(root):
    with pytest.raises(ValueError, match=r"image folder names no image.*img_suffix '\.png'"):
        build(root, ann_file='', img_suffix='.png')


def test_missing_split_list(root):
    with pytest.raises(FileNotFoundError, match=r'Split list .*val\.txt does not exist'):
        build(root, ann_file='val.txt')


def test_missing_image_folder(root):
    with pytest.raises(FileNotFoundError, match=r'Image folder .*pictures does not exist'):
        build(root, data_prefix=dict(img_path='pictures'))


def test_wrong_suffix_is_found_before_training(root):
    with pytest.raises(FileNotFoundError, match=r"c\.png, the first image.*now '\.png'"):
        build(root, img_suffix='.png')


def test_classes_must_begin_with_background(root):
    with pytest.raises(ValueError, match="must be 'background' followed by"):
        build(root, metainfo=dict(classes=('cat', 'dog', 'bird')))


def test_two_images_with_one_id(root):
    (root / 'images' / 'more').mkdir()
    (root / 'images' / 'a.jpg').rename(root / 'images' / 'more' / 'b.jpg')
    with pytest.raises(ValueError, match="have the same image id 'b'"):
        build(root, ann_file='')


def test_truncated_jpeg_is_named(root):
    path = root / 'images' / 'c.jpg'
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(RuntimeError, match=r'Cannot prepare image .*c\.jpg: OSError.*truncated'):
        build(root)[0]


def test_a_file_that_is_no_image_is_named(root):
    (root / 'images' / 'c.jpg').write_bytes(b'')
    with pytest.raises(RuntimeError, match=r'Cannot prepare image .*c\.jpg'):
        build(root)[0]


def test_mask_of_another_size_names_both_files(root):
    Image.fromarray(np.ones((8, 10), np.uint8)).save(root / 'masks' / 'c.png')
    dataset = build(
        root,
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        pipeline=PIPELINE,
        test_mode=True,
    )
    with pytest.raises(RuntimeError, match=r'masks/c\.png is 10x8.*images/c\.jpg is 12x8'):
        dataset[0]
    assert dataset[1]['data_samples'].gt_sem_seg.data.shape == (1, 8, 12)


def test_colour_mask_names_the_file(root):
    Image.new('RGB', (12, 8)).save(root / 'masks' / 'c.png')
    dataset = build(
        root, data_prefix=dict(img_path='images', seg_map_path='masks'), pipeline=PIPELINE
    )
    with pytest.raises(RuntimeError, match=r'masks/c\.png is not a label map: it has 3 channels'):
        dataset[0]


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
