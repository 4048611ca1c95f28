"""Windows of an image, and what becomes of their maps."""

import pytest
import torch

from mmwsss.ops.multi_view.windows import merge_window_maps, slide, window_boxes


def test_boxes_cover_the_image_and_stay_inside():
    assert window_boxes((4, 10), (4, 4), (3, 3)) == [(0, x, 4, 4) for x in (0, 3, 6)]
    assert window_boxes((3, 5), (4, 4), (2, 2)) == [(0, 0, 3, 4), (0, 1, 3, 4)]
    assert window_boxes((2, 3), (4, 4), (2, 2)) == [(0, 0, 2, 3)]


def test_one_window_is_taken_as_it_is():
    maps = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
    for presence in ((1.0, 1.0, 1.0), (0.5, 1e-3, 3.0)):
        merged = merge_window_maps([((0, 0, 5, 7), maps, torch.tensor(presence))], 3, (5, 7))
        torch.testing.assert_close(merged, maps)


def test_a_window_without_the_class_raises_no_noise():
    """Both maps reach 1; the mean of them would, too."""
    shown, noise = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]])
    parts = [
        ((0, 0, 1, 2), shown, torch.tensor([0.8])),
        ((0, 2, 1, 2), noise, torch.tensor([0.008])),
    ]
    merged = merge_window_maps(parts, 1, (1, 4))
    torch.testing.assert_close(merged, torch.tensor([[[0, 1, 0.01, 0]]]))
    again = [(box, maps, presence / 100) for box, maps, presence in parts]
    torch.testing.assert_close(merge_window_maps(again, 1, (1, 4)), merged)


def test_overlapping_windows_and_classes_by_a_plain_formula():
    generator = torch.Generator().manual_seed(0)
    boxes = [(0, 0, 4, 6), (0, 3, 4, 6), (2, 1, 3, 5), (0, 0, 5, 9)]
    maps = [torch.rand(2, *box[2:], generator=generator) for box in boxes]
    presence = torch.tensor([[0.9, 0.1], [0.3, 0.4], [0.45, 0.0], [0.2, 0.2]])
    merged = merge_window_maps(zip(boxes, maps, presence, strict=True), 2, (5, 9))
    r = presence / torch.tensor([0.9, 0.4])
    for k in range(2):
        for y in range(5):
            for x in range(9):
                up = down = 0.0
                for i, (top, left, high, wide) in enumerate(boxes):
                    if top <= y < top + high and left <= x < left + wide:
                        up += float(r[i, k] ** 2 * maps[i][k, y - top, x - left])
                        down += float(r[i, k])
                assert merged[k, y, x].item() == pytest.approx(up / down if down else 0, abs=1e-6)


def test_small_maps_are_enlarged_and_what_nothing_shows_is_zero():
    merged = merge_window_maps([((0, 0, 2, 4), torch.ones(1, 1, 2), torch.ones(1))], 1, (3, 4))
    assert merged[0].tolist() == [[1] * 4, [1] * 4, [0] * 4]
    nothing = merge_window_maps([((0, 0, 1, 1), torch.ones(1, 1, 1), torch.zeros(1))], 1, (1, 1))
    assert nothing.item() == 0
    with pytest.raises(ValueError, match='no window'):
        merge_window_maps([], 1, (1, 1))


def test_equal_presence_is_the_mean_of_sliding_windows():
    image = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))

    def forward(batch):
        return batch * batch.mean(dim=(-2, -1), keepdim=True) - 3

    boxes = window_boxes((7, 9), (4, 4), (2, 3))
    parts = (
        ((y, x, h, w), forward(image[..., y : y + h, x : x + w])[0], torch.ones(3))
        for y, x, h, w in boxes
    )
    expected = slide(forward, image, (4, 4), (2, 3))[0]
    torch.testing.assert_close(merge_window_maps(parts, 3, (7, 9)), expected)
