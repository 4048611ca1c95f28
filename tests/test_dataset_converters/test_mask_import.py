import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.datasets.converters.mask_import import COCO_IDS, id_table, import_masks
from mmwsss.utils.io import read_mask, write_mask
from mmwsss.utils.provenance import ChangedError


@pytest.fixture
def folders(tmp_path):
    """An image of 6 x 4 pixels and a mask of raw COCO ids."""
    for name in ('images', 'masks'):
        (tmp_path / name).mkdir()
    Image.new('RGB', (6, 4)).save(tmp_path / 'images/a.jpg')
    mask = np.zeros((4, 6), np.uint8)
    mask[1], mask[2], mask[3, 0] = 1, 90, 255
    write_mask(tmp_path / 'masks/a.png', mask)
    return tmp_path


def convert(folders, count=81, ids='coco91'):
    return import_masks(folders / 'masks', folders / 'out' / ids, folders / 'images', count, ids)


def test_raw_ids_become_contiguous(folders):
    assert convert(folders) == 1
    mask = read_mask(folders / 'out/coco91/a.png', 81)
    assert mask[:, 0].tolist() == [0, 1, 80, 255]
    assert len(COCO_IDS) == 80 and id_table('coco91', 81)[13] == 12  # stop sign, after 11


def test_raw_ids_are_no_classes_of_81(folders):
    with pytest.raises(ValueError, match=r"a\.png holds the values \[90\], .* ids='coco91'"):
        convert(folders, ids='classes')
    write_mask(folders / 'masks/a.png', np.full((4, 6), 12, np.uint8))
    with pytest.raises(ValueError, match=r'holds the values \[12\], which are none of coco91'):
        convert(folders)


def test_masks_of_other_sizes_are_refused(folders):
    write_mask(folders / 'masks/a.png', np.zeros((6, 4), np.uint8))
    with pytest.raises(ValueError, match=r'a\.png is a mask of 4x6 pixels, its image .* has 6x4'):
        convert(folders)
    with pytest.raises(ValueError, match='are those of 81 classes, not of 21'):
        convert(folders, 21)


def test_masks_that_are_no_longer_in_the_source_are_refused(folders):
    Image.new('RGB', (6, 4)).save(folders / 'images/b.jpg')
    write_mask(folders / 'masks/b.png', np.zeros((4, 6), np.uint8))
    assert convert(folders) == 2
    (folders / 'masks/b.png').unlink()
    with pytest.raises(ChangedError, match=r'1 images that do not belong .*: b'):
        convert(folders)


def test_binary_and_lossy_masks_are_refused(folders):
    write_mask(folders / 'masks/a.png', np.full((4, 6), 255, np.uint8))
    with pytest.raises(ValueError, match='not one of the 1 masks'):
        convert(folders)
    Image.new('L', (6, 4), 3).save(folders / 'masks/a.png', 'JPEG')
    with pytest.raises(ValueError, match=r'a\.png is a JPEG file, .*save masks as PNG'):
        convert(folders)


def test_command(folders, monkeypatch, capsys):
    import runpy

    script = Path(__file__).parents[2] / 'tools/dataset_converters/import_masks.py'
    arguments = [folders / name for name in ('masks', 'out', 'images')]
    argv = [script, *arguments, '--classes', 'coco14', '--ids', 'coco91']
    monkeypatch.setattr(sys, 'argv', list(map(str, argv)))
    runpy.run_path(str(script), run_name='__main__')
    assert '1 masks' in capsys.readouterr().out
