"""Masks in the formats of annotation tools, and back by our importers and by the tools' own."""

import json
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from mmwsss.exporters import FORMATS, ExportOptions, export_masks
from mmwsss.utils.io import read_mask, write_mask
from mmwsss.utils.provenance import ChangedError

from .conftest import CLASSES

OPTIONS = [
    ('coco', {}),
    ('coco', dict(shape='polygon')),
    ('yolo', {}),
    ('label-studio', {}),
    ('cvat', {}),
]


def export(root, to, **kwargs):
    kwargs = {'images': root / 'images', **kwargs}
    return export_masks(root / 'masks', to, CLASSES, root / 'out', **kwargs)


def known(mask):
    """What a format without unknown pixels can hold of a mask."""
    return np.where(mask == 255, 0, mask)


def imported(root, to):
    """The masks that our importer makes of an export."""
    from mmwsss.datasets.converters.coco import read_instances
    from mmwsss.datasets.converters.coco_masks import write_semantic_masks
    from mmwsss.datasets.converters.cvat import read_cvat
    from mmwsss.datasets.converters.label_studio import read_label_studio
    from mmwsss.datasets.converters.yolo import read_yolo

    out = root / 'out'
    found = {
        'coco': lambda: read_instances(out / 'instances_default.json'),
        'yolo': lambda: read_yolo(out / 'labels', root / 'images', CLASSES),
        'cvat': lambda: read_cvat(out / 'cvat_annotations.xml', CLASSES),
        'label-studio': lambda: read_label_studio(
            out / 'label_studio_tasks.json', CLASSES, 'predictions', images=root / 'images'
        )[0],
    }[to]()
    assert found.classes == ('background', *CLASSES)
    overlap = 'small' if to in ('coco', 'yolo') else 'last'
    write_semantic_masks(found, root / 'back', overlap)
    return {path.stem: read_mask(path) for path in (root / 'back').glob('*.png')}


@pytest.mark.parametrize('to, options', OPTIONS)
@pytest.mark.parametrize('processes', [1, 2])
def test_our_importers_give_the_masks_back(root, masks, to, options, processes):
    found = export(root, to, options=ExportOptions(**options), processes=processes)
    unknown = [(mask == 255).sum() for mask in masks.values()]
    assert (found.images, found.unknown) == (4, sum(unknown)) and sum(unknown) > 6
    assert found.with_unknown == np.count_nonzero(unknown)
    assert found.with_class == {
        name: sum((mask == i).any() for mask in masks.values())
        for i, name in enumerate(CLASSES, start=1)
    }
    assert f'{sum(unknown)} unknown pixels (255; ' in found.describe()
    back = imported(root, to)
    assert set(back) == set(masks)
    for key, mask in masks.items():
        assert np.array_equal(back[key], known(mask)), key


@pytest.mark.parametrize('shape', ['rle', 'polygon'])
def test_pycocotools_reads_coco(root, masks, shape):
    from pycocotools.coco import COCO

    export(root, 'coco', options=ExportOptions(shape, prefix='train/'))
    coco = COCO(root / 'out/instances_default.json')
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == CLASSES
    for image in coco.imgs.values():
        assert image['file_name'].startswith('train/') and image['file_name'].endswith('.jpeg')
        mask = known(masks[Path(image['file_name']).stem])
        drawn = np.zeros_like(mask)
        for annotation in coco.imgToAnns[image['id']]:
            region = coco.annToMask(annotation).astype(bool)
            assert region.sum() == annotation['area']
            rows, columns = np.nonzero(region)
            x, y, w, h = annotation['bbox']
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)
            drawn[region] = annotation['category_id']
        assert np.array_equal(drawn, mask)


def test_yolo_as_ultralytics_lays_it_out(root, masks):
    export(root, 'yolo')
    files = sorted(path.stem for path in (root / 'out/labels').glob('*.txt'))
    assert files == sorted(masks)
    assert (root / 'out/labels/empty.txt').read_text() == ''
    settings = (root / 'out/data.yaml').read_text(encoding='utf-8')
    import yaml

    assert yaml.safe_load(settings)['names'] == dict(enumerate(CLASSES))
    one = np.zeros((4, 8), np.uint8)
    one[1:2, 2:4] = 2
    write_mask(root / 'one/x.png', one)
    export_masks(root / 'one', 'yolo', CLASSES, root / 'out_one')
    name, *numbers = (root / 'out_one/labels/x.txt').read_text().split()
    points = {(float(x), float(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)}
    assert name == '1'
    assert points == {(0.25, 0.25), (0.25, 0.5), (0.5, 0.25), (0.5, 0.5)}


def test_supervision_reads_yolo(root, masks):
    supervision = pytest.importorskip('supervision')
    export(root, 'yolo')
    data = supervision.DetectionDataset.from_yolo(
        str(root / 'images'), str(root / 'out/labels'), str(root / 'out/data.yaml'), True
    )
    for path, _, found in data:
        mask, drawn = known(masks[Path(path).stem]), np.zeros((*masks[Path(path).stem].shape, 3))
        for index, region in zip(found.class_id, found.mask, strict=True) if len(found) else ():
            drawn[..., index] += region
        # it draws the outline, too, so that a region gets some pixels around it
        for index in range(3):
            assert (drawn[..., index] > 0)[mask == index + 1].all()


def test_label_studio_tasks(root, masks):
    export(root, 'label-studio')
    tasks = json.loads((root / 'out/label_studio_tasks.json').read_text())
    assert tasks[0]['data'] == dict(
        image='/data/local-files/?d=a%20b%231.jpeg', image_id='a b#1', width=30, height=20
    )
    interface = ElementTree.parse(root / 'out/label_config.xml').getroot()
    assert [label.get('value') for label in interface.iter('Label')] == CLASSES
    brush = interface.find('BrushLabels')
    for task in tasks:
        for result in task['predictions'][0]['result']:
            assert result['type'] == 'brushlabels' and result['value']['format'] == 'rle'
            assert (result['from_name'], result['to_name']) == (brush.get('name'), 'image')
            height, width = masks[task['data']['image_id']].shape
            assert (result['original_height'], result['original_width']) == (height, width)


def test_the_sdk_reads_label_studio(root, masks):
    brush = pytest.importorskip('label_studio_sdk.converter.brush')
    export(root, 'label-studio')
    for task in json.loads((root / 'out/label_studio_tasks.json').read_text()):
        mask = known(masks[task['data']['image_id']])
        drawn = np.zeros_like(mask)
        for result in task['predictions'][0]['result']:
            picture = brush.decode_rle(result['value']['rle']).reshape(*mask.shape, 4)
            drawn[picture[..., 3] > 0] = 1 + CLASSES.index(result['value']['brushlabels'][0])
        assert np.array_equal(drawn, mask)


def test_cvat_by_hand(root):
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 1:4] = 2
    mask[1, 1] = 0
    write_mask(root / 'one/x.png', mask)
    options = ExportOptions(prefix='batch/')
    export_masks(root / 'one', 'cvat', CLASSES, root / 'out', options=options, image_suffix='.png')
    tree = ElementTree.parse(root / 'out/cvat_annotations.xml').getroot()
    assert tree.findtext('version') == '1.1'
    assert [label.findtext('name') for label in tree.iter('label')] == CLASSES
    image = tree.find('image')
    assert image.attrib == dict(id='0', name='batch/x.png', width='5', height='4')
    assert image.find('mask').attrib == dict(
        label=CLASSES[1], source='auto', occluded='0', z_order='0',
        rle='1, 5', left='1', top='1', width='3', height='2',
    )  # fmt: skip


def test_datumaro_reads_cvat(root, masks):
    datumaro = pytest.importorskip('datumaro')
    export(root, 'cvat')
    (root / 'images').rename(root / 'out/images')  # where it looks for them
    data = datumaro.Dataset.import_from(str(root / 'out/cvat_annotations.xml'), 'cvat')
    assert {item.id for item in data} == set(masks)
    for item in data:
        mask = known(masks[item.id])
        drawn = np.zeros_like(mask)
        for annotation in item.annotations:
            drawn[annotation.image.astype(bool)] = 1 + annotation.label
        assert np.array_equal(drawn, mask)


def test_without_images_their_suffix_is_said(root):
    export(root, 'coco', images=None, image_suffix='.tif')
    found = json.loads((root / 'out/instances_default.json').read_text())
    assert found['images'][0]['file_name'] == 'a b#1.tif'


@pytest.mark.parametrize('to', FORMATS)
def test_a_second_run_writes_nothing_and_other_settings_are_refused(root, to):
    export(root, to)
    files = [p for p in (root / 'out').rglob('*') if p.suffix in ('.txt', '.json')]
    before = {path: path.stat().st_mtime_ns for path in files if path.stat().st_size}
    again = export(root, to)
    assert again.images == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(ChangedError, match='classes'):
        export_masks(root / 'masks', to, [*CLASSES, 'emu'], root / 'out', root / 'images')
    suffix = None if to == 'yolo' else '.x'
    assert export(root, to, image_suffix=suffix, images=None, restart=True).images == 4


@pytest.mark.parametrize(
    ('to', 'name'), [('yolo', 'data.yaml'), ('label-studio', 'label_config.xml')]
)
def test_files_of_the_user_stay(root, to, name):
    (root / 'out').mkdir()
    (root / 'out' / name).write_text('mine')
    with pytest.raises(ValueError, match=rf'{name} would be overwritten'):
        export(root, to)
    assert (root / 'out' / name).read_text() == 'mine'


def test_yolo_goes_on_where_it_stopped(root):
    export(root, 'yolo')
    labels = root / 'out/labels'
    (labels / 'dots.txt').unlink()
    kept = (labels / 'blobs.2.txt').stat().st_mtime_ns
    export(root, 'yolo')
    assert (labels / 'dots.txt').is_file()
    assert (labels / 'blobs.2.txt').stat().st_mtime_ns == kept
    (root / 'masks/dots.png').unlink()
    with pytest.raises(ChangedError, match=r'1 images that do not belong.*dots'):
        export(root, 'yolo')
    export(root, 'yolo', restart=True)
    assert not (labels / 'dots.txt').exists()


def test_one_file_follows_its_masks(root):
    export(root, 'coco')
    write_mask(root / 'masks/more.png', np.ones((5, 7), np.uint8))
    (root / 'images/more.png').write_bytes((root / 'images/empty.jpeg').read_bytes())
    with pytest.raises(ChangedError, match='other settings: images'):
        export(root, 'coco')
    (root / 'masks/more.png').unlink()
    before = (root / 'out/instances_default.json').read_text()
    write_mask(root / 'masks/dots.png', np.ones((11, 13), np.uint8))
    with pytest.raises(ChangedError, match=r'inputs of 1 images have changed since\. Use'):
        export(root, 'coco')
    export(root, 'coco', restart=True)
    assert (root / 'out/instances_default.json').read_text() != before


@pytest.mark.parametrize('to', ['coco', 'label-studio', 'cvat'])
def test_renamed_images_are_noticed_and_files_of_the_user_left_alone(root, to):
    (file,) = export(root, to).paths
    mine = file.with_name(f'corrected_{file.name.rpartition("_")[2]}')
    mine.write_text('mine')
    (root / 'images/empty.jpeg').rename(root / 'images/empty.jpg')
    with pytest.raises(ChangedError, match='other settings: images'):
        export(root, to)
    export(root, to, restart=True)
    assert 'empty.jpg' in file.read_text() and mine.read_text() == 'mine'


def test_bad_input(root, masks, tmp_path):
    with pytest.raises(ValueError, match=r"format must be one of coco, .*'cvta'.*mean 'cvat'"):
        export(root, 'cvta')
    with pytest.raises(ValueError, match=r'a b#1\.png holds the values \[3\], which are none'):
        export_masks(root / 'masks', 'coco', CLASSES[:2], root / 'out')
    with pytest.raises(ValueError, match=r'holds no \.png file'):
        export_masks(root / 'images', 'coco', CLASSES, root / 'out')
    with pytest.raises(FileNotFoundError, match=r'Mask folder .*nowhere does not exist'):
        export_masks(root / 'nowhere', 'coco', CLASSES, root / 'out')
    with pytest.raises(ValueError, match='which is also the mask folder'):
        export_masks(root / 'masks', 'coco', CLASSES, root / 'masks')
    with pytest.raises(ValueError, match="'background' is implied"):
        export_masks(root / 'masks', 'coco', ['background', *CLASSES], root / 'out')
    with pytest.raises(ValueError, match='yolo has no option prefix'):
        export(root, 'yolo', options=ExportOptions(prefix='x'))
    with pytest.raises(ValueError, match='yolo has no option shape'):
        export(root, 'yolo', options=ExportOptions('rle'))
    with pytest.raises(ValueError, match='images say their suffixes'):
        export(root, 'cvat', image_suffix='.png')
    with pytest.raises(ValueError, match='image_suffix must begin with a dot'):
        export(root, 'cvat', images=None, image_suffix='png')
    with pytest.raises(ValueError, match='yolo does not name the images'):
        export(root, 'yolo', images=None, image_suffix='.png')
    with pytest.raises(ValueError, match='cvat has no option tolerance'):
        export(root, 'cvat', options=ExportOptions(tolerance=1))
    with pytest.raises(ValueError, match="say shape='polygon'"):
        export(root, 'coco', options=ExportOptions(tolerance=1))
    with pytest.raises(ValueError, match='shape must be one of rle, polygon'):
        ExportOptions('box')
    with pytest.raises(ValueError, match='tolerance must be a number in'):
        ExportOptions(tolerance=-1)
    assert not (root / 'out/instances_default.json').exists()


def test_masks_of_other_sizes_than_the_images(root):
    write_mask(root / 'masks/dots.png', np.ones((13, 11), np.uint8))
    with pytest.raises(ValueError, match=r'dots\.png is a mask of 11x13 .* has 13x11'):
        export(root, 'cvat')
    (root / 'images/dots.jpeg').unlink()
    with pytest.raises(FileNotFoundError, match='no image for 1 of 4 ids: dots'):
        export(root, 'cvat')


def test_binary_masks(root):
    write_mask(root / 'binary/a.png', np.uint8([[0, 255]]))
    with pytest.raises(ValueError, match='binary masks'):
        export_masks(root / 'binary', 'coco', CLASSES, root / 'out')


@pytest.mark.skipif(os.geteuid() == 0, reason='root writes everywhere')
def test_no_permission(root):
    (root / 'out').mkdir()
    (root / 'out').chmod(0o500)
    with pytest.raises(OSError, match='Cannot write into'):
        export(root, 'coco')


def test_a_file_in_place_of_the_folder(root):
    (root / 'out').write_text('')
    with pytest.raises(OSError, match='Cannot write into'):
        export(root, 'coco')
