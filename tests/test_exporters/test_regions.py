import cv2
import numpy as np
import pytest

from mmwsss.datasets.converters.coco_shapes import rasterise
from mmwsss.exporters import class_regions, connected_regions, outline

RING = np.pad(np.ones((3, 3), np.uint8), 1)
RING[2, 2] = 0


def noise(rng, share):
    mask = (rng.random(rng.integers(1, 14, 2)) < share).astype(np.uint8) * 2
    mask[rng.random(mask.shape) < 0.05] = 255
    return mask


def test_regions_of_classes_and_of_connected_pixels():
    mask = np.array([[1, 0, 2], [0, 1, 255], [0, 0, 1], [2, 0, 0]], np.uint8)
    found = [(r.value, r.top, r.left, r.pixels.shape) for r in class_regions(mask)]
    assert found == [(1, 0, 0, (3, 3)), (2, 0, 0, (4, 3))]
    parts = list(connected_regions(mask))
    assert [(r.value, r.top, r.left) for r in parts] == [(1, 0, 0), (2, 0, 2), (2, 3, 0)]
    assert np.array_equal(parts[0].full(mask.shape), mask == 1)


def test_the_outline_runs_along_the_edges_of_pixels():
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 2:4] = 1
    corners = outline(next(connected_regions(mask)))
    assert sorted(map(tuple, corners.tolist())) == [(2, 1), (2, 3), (4, 1), (4, 3)]


def test_a_hole_is_joined_to_the_outline_on_its_left():
    corners = outline(next(connected_regions(RING))).tolist()
    assert len(corners) == 4 + 4 + 3  # outer corners, the hole's, its first again, the cut twice
    assert corners.count([1, 2]) == corners.count([2, 2]) == 2


@pytest.mark.parametrize('share', [0.2, 0.5, 0.8, 0.95])
def test_outlines_hold_just_the_pixels(share):
    rng = np.random.default_rng(0)
    for _ in range(100):
        mask = noise(rng, share)
        for region in connected_regions(mask):
            points = outline(region)
            drawn = rasterise([points.ravel().tolist()], *mask.shape)
            assert np.array_equal(drawn, region.full(mask.shape))


def test_opencv_fills_outlines_alike():
    """At four times the size, where the line of no width that it draws along does not count."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        mask = noise(rng, 0.7)
        for region in connected_regions(mask):
            canvas = np.zeros([4 * side for side in mask.shape], np.uint8)
            cv2.fillPoly(canvas, [np.int32(4 * outline(region))], 1)
            assert np.array_equal(canvas[2::4, 2::4] > 0, region.full(mask.shape))


def test_simplified_outlines_have_less_corners():
    y, x = np.mgrid[:60, :60]
    mask = ((x - 30) ** 2 + (y - 30) ** 2 < 600).astype(np.uint8)
    mask[(x - 30) ** 2 + (y - 30) ** 2 < 80] = 0
    region = next(connected_regions(mask))
    exact, simple = outline(region), outline(region, 1.5)
    assert len(simple) < len(exact) / 3
    drawn = rasterise([simple.ravel().tolist()], *mask.shape)
    assert not drawn[30, 30]
    assert (drawn != (mask > 0)).mean() < 0.03
    dot = outline(next(connected_regions(np.ones((1, 1), np.uint8))), 50.0)
    assert len(dot) == 4
