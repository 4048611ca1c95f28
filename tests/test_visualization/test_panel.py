"""Panels: which columns there are, where they are, and what they show."""

import numpy as np
import pytest

from mmwsss.stores.palettes import IGNORE_COLOUR
from mmwsss.visualization import draw_panel
from mmwsss.visualization.panel import HEADER, MARGIN, overlay_cam, overlay_mask

CLASSES = ('background', 'boat', 'car', 'cow', 'dog', 'cat')
PALETTE = [[0, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0], [0, 250, 250]]
GREY = np.full((64, 64, 3), 100, np.uint8)
SIDE = 256  # of a column: small images are enlarged


def column(panel: np.ndarray, index: int) -> np.ndarray:
    left = MARGIN + index * (SIDE + MARGIN)
    return panel[HEADER : HEADER + SIDE, left : left + SIDE]


def num_columns(panel: np.ndarray) -> int:
    count, rest = divmod(panel.shape[1] - MARGIN, SIDE + MARGIN)
    assert rest == 0
    return count


def half_mask(value: int) -> np.ndarray:
    mask = np.zeros((64, 64), np.int64)
    mask[:, 32:] = value
    return mask


def test_only_the_columns_that_exist_are_drawn():
    cam = np.zeros((2, 8, 8), np.float32)
    assert num_columns(draw_panel(GREY, CLASSES, PALETTE)) == 1
    assert num_columns(draw_panel(GREY, CLASSES, PALETTE, prediction=half_mask(1))) == 2
    assert num_columns(draw_panel(GREY, CLASSES, PALETTE, cam=cam[:0])) == 1
    whole = dict(pseudo_mask=half_mask(1), prediction=half_mask(2), truth=half_mask(3))
    assert num_columns(draw_panel(GREY, CLASSES, PALETTE, cam=cam, cam_labels=[0, 2], **whole)) == 6


def test_many_cams_become_one_column_of_their_maximum():
    cam = np.zeros((5, 64, 64), np.float32)
    cam[3, :, 32:] = 1
    panel = draw_panel(GREY, CLASSES, PALETTE, cam=cam, cam_labels=range(5))
    assert num_columns(panel) == 2
    assert (column(panel, 1)[:, -60:] == overlay_cam(GREY, cam[3])[0, -1]).all()
    assert (column(panel, 1)[:, :60] == overlay_cam(GREY, cam[0])[0, 0]).all()


def test_columns_are_in_the_order_pseudo_mask_prediction_truth():
    panel = draw_panel(
        GREY,
        CLASSES,
        PALETTE,
        pseudo_mask=half_mask(1),
        prediction=half_mask(2),
        truth=half_mask(3),
    )
    brightest = [column(panel, i)[128, 200].argmax() for i in (1, 2, 3)]
    assert brightest == [0, 1, 2]
    assert (column(panel, 0) == 100).all()


def test_masks_show_their_class_colour_and_the_image_stays_visible():
    image = GREY.copy()
    image[:32] = 200
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(PALETTE)] = PALETTE
    shown = overlay_mask(image, half_mask(1), colours)
    assert shown[8, 60, 0] > 150 > shown[8, 60, 1] > shown[60, 60, 1]
    assert (shown[60, 8] == 50).all()  # background is the dimmed image
    assert (shown[8, 32] == 255).all() or (shown[8, 31] == 255).all()  # outline


def test_ignored_pixels_are_light_and_named_in_the_legend():
    without = draw_panel(GREY, CLASSES, PALETTE, pseudo_mask=half_mask(1))
    panel = draw_panel(GREY, CLASSES, PALETTE, pseudo_mask=half_mask(255))
    expected = int(0.65 * IGNORE_COLOUR[0] + 0.35 * 100)
    assert column(panel, 1)[128, 200].tolist() == [expected] * 3
    legend = panel[HEADER + SIDE + MARGIN :]
    assert (legend == IGNORE_COLOUR).all(-1).sum() > 100
    assert not (without[HEADER + SIDE + MARGIN :] == IGNORE_COLOUR).all(-1).any()


def test_a_stronger_cam_is_shown_more_strongly():
    heat = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    shown = overlay_cam(GREY, heat).astype(int)
    change = np.abs(shown - 100).sum(-1)[0]
    assert change[-8:].min() > change[:8].max()
    assert shown[0, -1].argmax() == 0  # red at the top of the scale


def test_large_images_are_reduced_and_keep_their_shape():
    panel = draw_panel(np.zeros((600, 900, 3), np.uint8), CLASSES, PALETTE)
    assert panel.shape == (HEADER + 256 + MARGIN, 384 + 2 * MARGIN, 3)


def test_a_long_legend_wraps():
    mask = np.arange(64 * 64).reshape(64, 64) % 6
    one = draw_panel(GREY, CLASSES, PALETTE, truth=half_mask(1))
    many = draw_panel(GREY, [c * 4 for c in CLASSES], PALETTE, truth=mask)
    assert many.shape[0] > one.shape[0]
    assert many.shape[1] == one.shape[1]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(truth=np.zeros((64, 63), int)), r'the truth is \(64, 63\), the image \(64, 64\)'),
        (dict(prediction=half_mask(6)), r'the prediction has values \[6\]'),
        (dict(cam=np.zeros((2, 4, 4)), cam_labels=[0]), 'does not fit 1 labels'),
        (dict(cam=np.zeros((1, 4, 4)), cam_labels=[5]), 'not foreground indices'),
        (dict(image=GREY.astype(float)), 'uint8 RGB'),
    ],
)
def test_bad_input(arguments, message):
    arguments = dict(dict(image=GREY, classes=CLASSES, palette=PALETTE), **arguments)
    with pytest.raises(ValueError, match=message):
        draw_panel(**arguments)
