"""One reader for every picture, one for every mask, also inside MMSegmentation's inferencers."""

import io
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile as StockImage
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.datasets.transforms import LoadAnnotations as StockMask
from PIL import Image

from mmwsss.datasets.transforms import DenseCRFMask, LoadAnnotations, LoadImageFromFile
from mmwsss.datasets.transforms.formatting import PackWSSSInputs

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def load(path, **arguments) -> dict:
    return LoadImageFromFile(**arguments)(dict(img_path=str(path)))


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'grey.png', 'grey.jpg', 'palette.png'])
def test_ordinary_pictures_are_read_as_by_mmcv_with_pillow(tmp_path, photo, name):
    mode = {'grey': 'L', 'palette': 'P'}.get(Path(name).stem, 'RGB')
    Image.fromarray(photo).convert(mode).save(tmp_path / name)
    expected = StockImage(imdecode_backend='pillow')(dict(img_path=str(tmp_path / name)))
    results = load(tmp_path / name)
    np.testing.assert_array_equal(results['img'], expected['img'])
    assert results['img'].dtype == np.uint8
    assert results['img'].flags.c_contiguous
    for key in ('img_shape', 'ori_shape'):
        assert results[key] == expected[key] == (10, 14)
    as_float = load(tmp_path / name, to_float32=True)['img']
    assert as_float.dtype == np.float32
    np.testing.assert_array_equal(as_float, expected['img'])


def test_sixteen_bits_keep_their_high_byte(tmp_path):
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    for name in ('a.png', 'a.tif'):
        Image.fromarray(ramp).save(tmp_path / name)
        assert (load(tmp_path / name)['img'] == (ramp >> 8)[..., None]).all()


def test_pictures_stand_upright_and_transparency_is_white(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    Image.fromarray(photo).save(tmp_path / 'turned.png', exif=exif)
    results = load(tmp_path / 'turned.png')
    np.testing.assert_array_equal(results['img'], np.rot90(photo[..., ::-1], -1))
    assert results['ori_shape'] == (14, 10)
    clear = np.dstack([photo, np.zeros((10, 14), np.uint8)])
    Image.fromarray(clear).save(tmp_path / 'clear.png')
    assert (load(tmp_path / 'clear.png')['img'] == 255).all()


def test_what_cannot_be_read_is_named_unless_empty_is_allowed(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / 'float.tif')
    (tmp_path / 'text.jpg').write_text('no picture')
    for name in ('float.tif', 'text.jpg'):
        with pytest.raises(ValueError, match=name):
            load(tmp_path / name)
        assert load(tmp_path / name, ignore_empty=True) is None
    with pytest.raises(FileNotFoundError, match=r'none\.png'):
        load(tmp_path / 'none.png')
    assert load(tmp_path / 'none.png', ignore_empty=True) is None


def test_other_backends_bring_the_bytes(photo, monkeypatch):
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, 'PNG')
    asked = []

    def get(path, backend_args):
        asked.append(backend_args)
        return memoryview(buffer.getvalue())

    monkeypatch.setattr('mmwsss.datasets.transforms.loading.fileio.get', get)
    results = load('s3://bucket/a.png', backend_args=dict(backend='petrel'))
    np.testing.assert_array_equal(results['img'], photo[..., ::-1])
    assert asked == [dict(backend='petrel')]


def mask_sample(path, **changes) -> dict:
    sample = dict(
        img_path='a.jpg',
        seg_map_path=str(path),
        seg_fields=[],
        label_map=None,
        reduce_zero_label=False,
        num_classes=4,
    )
    return {**sample, **changes}


@pytest.mark.parametrize(
    'changes',
    [
        {},
        dict(label_map={0: 0, 1: 2, 2: 255, 3: 1}, num_classes=3),
        dict(reduce_zero_label=True, num_classes=3),
        dict(reduce_zero_label=True, label_map={0: 1, 1: 0, 2: 255}, num_classes=2),
    ],
)
@pytest.mark.parametrize('mode', ['L', 'P'])
def test_masks_are_read_and_renumbered_as_by_mmseg(tmp_path, mode, changes):
    values = np.random.default_rng(0).choice([0, 1, 2, 3, 255], (6, 9)).astype(np.uint8)
    image = Image.fromarray(values)
    if mode == 'P':
        image.putpalette(bytes(range(256)) * 3)
    image.save(tmp_path / 'a.png')
    results = LoadAnnotations()(mask_sample(tmp_path / 'a.png', **changes))
    expected = StockMask()(mask_sample(tmp_path / 'a.png', **changes))
    np.testing.assert_array_equal(results['gt_seg_map'], expected['gt_seg_map'])
    assert results['gt_seg_map'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map']


def test_masks_that_are_none_are_named(tmp_path, photo):
    path = tmp_path / 'a.png'
    grey = np.zeros((4, 6), np.uint8)
    for array, mode in ((photo, 'RGB'), (grey.astype(np.uint16) + 300, 'I;16')):
        Image.fromarray(array).save(path)
        with pytest.raises(ValueError, match=rf'a\.png is not a label map: its mode is {mode}'):
            LoadAnnotations()(mask_sample(path))
    Image.fromarray(grey + 4).save(path)
    with pytest.raises(ValueError, match=r'a\.png holds the values \[4\].* classes 0\.\.3'):
        LoadAnnotations()(mask_sample(path))
    Image.fromarray(grey + 90).save(path)  # any method that trains on 81 classes
    with pytest.raises(ValueError, match=r'a\.png .* raw COCO category ids, .* --ids coco91'):
        LoadAnnotations()(mask_sample(path, num_classes=81))
    Image.fromarray(grey + 4).save(path)
    # a choice of three of five classes: the file counts all of them
    choice = dict(label_map={0: 0, 1: 255, 2: 1, 3: 2, 4: 255}, num_classes=3)
    assert (LoadAnnotations()(mask_sample(path, **choice))['gt_seg_map'] == 255).all()
    sample = mask_sample(path)
    del sample['num_classes']  # MMSegmentation's own data sets do not say it
    assert (LoadAnnotations()(sample)['gt_seg_map'] == 4).all()
    del sample['seg_map_path']
    with pytest.raises(ValueError, match=r'a\.jpg has no mask: give the data set'):
        LoadAnnotations()(sample)


def test_masks_are_turned_with_their_images(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.arange(4, dtype=np.uint8)[None]).save(tmp_path / 'a.png', exif=exif)
    assert LoadAnnotations()(mask_sample(tmp_path / 'a.png'))['gt_seg_map'].tolist() == [
        [3, 2, 1, 0]
    ]


@pytest.mark.parametrize('transform', [PackWSSSInputs(), DenseCRFMask(preset='psa')])
@pytest.mark.parametrize(
    'values, message',
    [
        (np.array([[0, 7]], np.uint8), r'mask m\.png holds the values \[7\]'),
        (np.array([[0, 257]]), r'mask m\.png holds the values \[257\]'),
        (np.array([[0, -1]]), r'mask m\.png holds the values \[-1\]'),
        (np.array([[0, 1.5]]), r'mask m\.png holds float64 numbers'),
    ],
)
def test_values_of_other_readers_are_checked_before_they_can_wrap(transform, values, message):
    image = np.zeros((1, 2, 3), np.uint8)
    results = mask_sample('m.png', img=image, gt_seg_map=values, ori_shape=(1, 2))
    with pytest.raises(ValueError, match=message):
        transform(results)


@pytest.mark.parametrize('probability', [0, 1, -0.2, 1.5, float('nan'), '0.5'])
def test_certainty_of_the_crf_lies_between_0_and_1(probability):
    with pytest.raises(ValueError, match='gt_prob must be a number in'):
        DenseCRFMask(gt_prob=probability, preset='psa')


@pytest.fixture
def ramp(tmp_path) -> str:
    """A picture of 16 bits; OpenCV and this package keep its high byte."""
    values = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48) * 21
    Image.fromarray(values).save(tmp_path / 'ramp.png')
    return str(tmp_path / 'ramp.png')


def test_mmsegs_functions_read_with_our_reader(ramp):
    """They look for the names LoadImageFromFile and LoadAnnotations in the test pipeline."""
    torch.manual_seed(0)
    model = init_model(str(CONFIGS / 'wsss/weclip_mini.py'), device='cpu')
    from_file = inference_model(model, ramp).pred_sem_seg.data
    assert from_file.shape == (1, 64, 48)
    from_array = inference_model(model, mmcv.imread(ramp)).pred_sem_seg.data
    assert torch.equal(from_file, from_array)


def test_mmsegs_inferencer_reads_with_our_reader(ramp):
    cfg = Config.fromfile(CONFIGS / 'wsss/weclip_mini.py')
    meta = dict(classes=('background', *'abcdefghij'), palette=[[0, 0, 0]] * 11)
    inferencer = MMSegInferencer(cfg, device='cpu', **meta)
    reader = inferencer.pipeline.transforms[0].from_file
    assert isinstance(reader, LoadImageFromFile)
    assert inferencer(ramp)['predictions'].shape == (64, 48)
    assert inferencer(mmcv.imread(ramp))['predictions'].shape == (64, 48)
