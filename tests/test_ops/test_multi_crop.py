"""Boxes, their labels, and maps put together from crops."""

import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.multi_crop import crop_labels, multi_crop_cams, summed_areas, tile_boxes


def test_boxes_of_one_scale():
    (boxes,) = tile_boxes((100, 250), (1.0,), crop=100, stride=60)
    assert boxes.tolist() == [  # three pieces of 60, and the last of 100; y0, y1, x0, x1
        [0, 100, 0, 60],
        [0, 100, 60, 120],
        [0, 100, 120, 180],
        [0, 100, 150, 250],
    ]


@pytest.mark.parametrize('size', [(30, 40), (1, 200), (375, 500)])
def test_boxes_cover_the_image_also_if_it_is_smaller_than_the_crop(size):
    for boxes in tile_boxes(size, (0.75, 1.0, 3.0), crop=112, stride=75):
        covered = torch.zeros(size)
        for y0, y1, x0, x1 in boxes.tolist():
            assert 0 <= y0 < y1 <= size[0] and 0 <= x0 < x1 <= size[1]
            covered[y0:y1, x0:x1] += 1
        assert covered[:-1, :-1].all()  # rounding may leave out the last row or column
    whole = torch.cat(tile_boxes(size, (1.0,), crop=112, stride=75))
    assert whole[:, 1].max() == size[0] and whole[:, 3].max() == size[1]
    assert tile_boxes((30, 40), (1.0,), 112, 75)[0].tolist() == [[0, 30, 0, 40]]


def test_labels_by_counting():
    generator = torch.Generator().manual_seed(0)
    confident = torch.rand(4, 20, 30, generator=generator) > 0.85
    confident[3] = False
    boxes = torch.tensor([[0, 20, 0, 30], [3, 9, 2, 4], [19, 20, 0, 1], [5, 15, 10, 25]])
    found = crop_labels(summed_areas(confident), boxes, share=0.15)
    for (y0, y1, x0, x1), row in zip(boxes.tolist(), found, strict=True):
        for maps, shown in zip(confident, row, strict=True):
            inside, total = maps[y0:y1, x0:x1].sum().item(), maps.sum().item()
            expected = total > 0 and (
                inside / total > 0.15 or inside / ((y1 - y0) * (x1 - x0)) > 0.15
            )
            assert shown.item() == expected
    assert not found[:, 3].any()


def test_maps_are_the_mean_of_the_boxes_that_cover_a_pixel():
    torch.manual_seed(0)
    boxes = torch.tensor([[0, 8, 0, 6], [0, 8, 4, 10], [2, 8, 0, 10]])
    crops, raw = torch.randn(3, 3, 4, 4), torch.rand(6, 2, 3, 3)
    given = iter(raw)

    def forward(batch):
        assert torch.equal(batch[1::2], batch[::2].flip(-1))  # each beside its mirror image
        return torch.stack([next(given) for _ in batch])

    cams = multi_crop_cams(forward, crops.split(2), boxes, (8, 10))
    total, count = torch.zeros(2, 8, 10), torch.zeros(8, 10)
    for i, (y0, y1, x0, x1) in enumerate(boxes.tolist() * 2):
        maps = raw[2 * i] if i < 3 else raw[2 * (i - 3) + 1].flip(-1)
        size = (y1 - y0, x1 - x0)
        total[:, y0:y1, x0:x1] += F.interpolate(maps[None], size, mode='bilinear')[0]
        count[y0:y1, x0:x1] += 1
    mean = total / count
    low, high = mean.amin((1, 2), keepdim=True), mean.amax((1, 2), keepdim=True)
    mean = mean.masked_fill(mean < low + 1e-5, 0)
    assert torch.allclose(cams, (mean - low) / (high - low + 1e-5), atol=1e-5)
    given = iter(raw)
    with pytest.raises(ValueError, match='3 boxes and 2 crops'):
        multi_crop_cams(forward, crops[:2].split(1), boxes, (8, 10))


def test_an_uncovered_pixel_is_no_error():
    box, crops = torch.tensor([[0, 3, 0, 4]]), [torch.rand(1, 3, 2, 2)]
    cams = multi_crop_cams(lambda batch: torch.ones(2, 1, 2, 2), crops, box, (4, 4))
    assert cams.isfinite().all() and cams[0, :3].min() > 0.99 and not cams[0, 3].any()


def test_maps_may_go_through_the_size_of_the_crops():
    torch.manual_seed(0)
    raw, box = torch.rand(2, 2, 5, 4), torch.tensor([[0, 9, 0, 14]])
    cams = multi_crop_cams(lambda batch: raw, [torch.rand(1, 3, 2, 2)], box, (9, 14), through=12)
    maps = (raw[:1] + raw[1:].flip(-1)) / 2
    maps = F.interpolate(maps, (12, 12), mode='bilinear', align_corners=True)
    maps = F.interpolate(maps, (9, 14), mode='bilinear', align_corners=False)[0]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    maps = maps.masked_fill(maps < low + 1e-5, 0)
    assert torch.allclose(cams, (maps - low) / (high - low + 1e-5), atol=1e-5)
