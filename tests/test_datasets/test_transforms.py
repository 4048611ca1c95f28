import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample
from PIL import Image

from mmwsss.datasets.transforms import PackWSSSInputs, RandomPadCrop, RandomScalePIL
from mmwsss.datasets.transforms.geometric import pad_crop, scale_pil
from mmwsss.structures import stack_image_boxes


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(1, 255, (height, width, 3), dtype=np.uint8)


def sample(height, width, mask=True):
    results = dict(img=picture(height, width), img_shape=(height, width))
    if mask:
        results['gt_seg_map'] = (results['img'][..., 0] % 3).astype(np.uint8)
        results['seg_fields'] = ['gt_seg_map']
    return results


@pytest.mark.parametrize(
    ('size', 'crop', 'pad', 'start'),
    [
        ((5, 7), (8, 8), (2, 1), (0, 0)),  # smaller on both sides
        ((5, 20), (8, 8), (3, 0), (0, 9)),  # smaller on one side
        ((20, 5), (8, 6), (0, 1), (12, 0)),
        ((20, 11), (8, 6), (0, 0), (3, 5)),  # larger on both sides
        ((8, 6), (8, 6), (0, 0), (0, 0)),
    ],
)
def test_pad_crop_equals_cutting_out_of_a_whole_canvas(size, crop, pad, start):
    image = picture(*size)
    canvas = np.full((max(crop[0], size[0]), max(crop[1], size[1]), 3), 7, np.uint8)
    canvas[pad[0] : pad[0] + size[0], pad[1] : pad[1] + size[1]] = image
    inside = np.zeros(canvas.shape[:2], bool)
    inside[pad[0] : pad[0] + size[0], pad[1] : pad[1] + size[1]] = True
    window = (slice(start[0], start[0] + crop[0]), slice(start[1], start[1] + crop[1]))

    out, (y0, y1, x0, x1) = pad_crop(image, crop, pad, start, 7)

    np.testing.assert_array_equal(out, canvas[window])
    box = np.zeros(crop, bool)
    box[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(box, inside[window])


def test_pad_crop_of_a_label_map():
    out, box = pad_crop(np.ones((2, 3), np.uint8), (4, 4), (1, 0), (0, 0), 255)
    assert out.tolist() == [[255] * 4, [1, 1, 1, 255], [1, 1, 1, 255], [255] * 4]
    assert box == (1, 3, 0, 3)


def test_scale_pil_truncates_sizes_and_keeps_the_channel_order():
    image = picture(61, 75)
    scaled = scale_pil(image, 0.7)
    assert scaled.shape == (42, 52, 3)  # 42.7, 52.5
    np.testing.assert_array_equal(scale_pil(image[..., ::-1], 0.7), scaled[..., ::-1])


def test_scale_pil_refuses_what_pillow_would_filter_differently():
    with pytest.raises(TypeError, match='uint8 image, got float32'):
        scale_pil(np.zeros((4, 4, 3), np.float32), 2.0)


def test_random_scale_reports_sizes_and_treats_masks_as_labels():
    np.random.seed(0)
    shapes = set()
    for _ in range(20):
        results = sample(40, 60)
        results['gt_seg_map'][results['gt_seg_map'] == 1] = 200
        results = RandomScalePIL(scale_range=(0.5, 2.0))(results)
        height, width = results['img'].shape[:2]
        assert results['img_shape'] == (height, width) == results['gt_seg_map'].shape
        assert results['scale_factor'] == (width / 60, height / 40)
        assert 20 <= height < 80
        assert set(np.unique(results['gt_seg_map'])) == {0, 2, 200}
        shapes.add((height, width))
    assert len(shapes) > 10


def test_random_pad_crop_moves_image_and_mask_together():
    np.random.seed(0)
    corners = set()
    for _ in range(20):
        results = RandomPadCrop(crop_size=32, pad_val=0)(sample(20, 50))
        assert results['img'].shape == (32, 32, 3)
        assert results['img_shape'] == results['pad_shape'] == (32, 32)
        image, mask = results['img'], results['gt_seg_map']
        padded = (image == 0).all(-1)
        np.testing.assert_array_equal(mask == 255, padded)
        np.testing.assert_array_equal(mask[~padded], image[~padded][:, 0] % 3)
        assert padded.sum() == 12 * 32
        corners.add((int((~padded).any(1).argmax()), image.tobytes()))
    assert len(corners) > 10


def test_the_box_of_the_image_reaches_the_model():
    np.random.seed(0)
    for size in ((20, 50), (50, 20), (9, 11), (40, 40)):
        results = RandomPadCrop(crop_size=32)({**sample(*size), 'ori_shape': size})
        meta = PackWSSSInputs()(results)['data_samples'].metainfo
        y0, y1, x0, x1 = meta['img_box']
        inside = np.zeros((32, 32), bool)
        inside[y0:y1, x0:x1] = True
        np.testing.assert_array_equal(inside, (results['img'] > 0).any(-1))
    boxes = [SegDataSample(metainfo=dict(img_box=(1, 2, 3, 4))), SegDataSample()]
    assert stack_image_boxes(boxes, (7, 9)).tolist() == [[1, 2, 3, 4], [0, 7, 0, 9]]


@pytest.mark.parametrize('side', [6, 10])
def test_every_position_is_drawn(side):
    np.random.seed(0)
    transform = RandomPadCrop(crop_size=8)
    draws = [transform._random_offsets(side, side) for _ in range(200)]
    varying, fixed = (0, 1) if side < 8 else (1, 0)
    assert {draw[varying] for draw in draws} == {(y, x) for y in range(3) for x in range(3)}
    assert {draw[fixed] for draw in draws} == {(0, 0)}


def test_the_seed_decides_the_draws():
    def run(seed):
        np.random.seed(seed)
        chain = Compose([RandomScalePIL(), RandomPadCrop(crop_size=(24, 16))])
        return chain(sample(30, 30, mask=False))['img']

    np.testing.assert_array_equal(run(3), run(3))
    assert (run(3) != run(4)).any()


@pytest.mark.parametrize('transform', [RandomScalePIL(), RandomPadCrop(crop_size=8)])
def test_a_mask_of_another_size_names_both_files(transform):
    results = sample(10, 12)
    results.update(gt_seg_map=np.zeros((10, 11), np.uint8), img_path='i.jpg', seg_map_path='m.png')
    with pytest.raises(ValueError, match=r'mask m\.png is 11x10 .*image i\.jpg is 12x10'):
        transform(results)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match='scale_range'):
        RandomScalePIL(scale_range=(2.0, 0.5))
    with pytest.raises(ValueError, match='crop_size'):
        RandomPadCrop(crop_size=0)


def test_the_chain_of_the_supervised_reference_keeps_masks_aligned():
    """Image and mask carry the same pattern; flips and crops must not separate them."""
    init_default_scope('mmseg')
    from mmseg.registry import TRANSFORMS

    chain = Compose(
        [
            TRANSFORMS.build(config)
            for config in (
                dict(type='RandomFlip', prob=1.0),
                dict(type='mmwsss.RandomPadCrop', crop_size=16),
                dict(type='mmwsss.PackWSSSInputs'),
            )
        ]
    )
    packed = chain({**sample(20, 30), 'ori_shape': (20, 30)})
    expected = packed['inputs'][0] % 3
    assert (packed['data_samples'].gt_sem_seg.data[0] == expected).all()
    assert packed['data_samples'].flip is True


def test_scaling_is_the_filter_of_pillow():
    image = picture(33, 47)
    expected = Image.fromarray(image).resize((23, 16), Image.BILINEAR)
    np.testing.assert_array_equal(scale_pil(image, 0.5), np.asarray(expected))
