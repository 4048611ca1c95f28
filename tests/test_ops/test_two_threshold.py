import pytest
import torch
import torch.nn.functional as F

from mmwsss.ops.cam.multi_scale import multi_scale_cams
from mmwsss.ops.pairs import pack_present
from mmwsss.ops.pixel_adaptive import pixel_adaptive_refine
from mmwsss.ops.pixels import truncated_pixels
from mmwsss.ops.pseudo_label.two_threshold import (
    background_softmax,
    refine_at_half,
    refine_in_box,
    two_threshold_label,
)

LABELS = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]])


def refine(image, scores):
    return pixel_adaptive_refine(image, scores, (1, 2), 3, resize='masks')


def test_packing_keeps_the_present_classes():
    maps = torch.rand(3, 4, 5, 6)
    packed, classes = pack_present(maps, LABELS)
    assert classes.tolist() == [[0, 2], [-1, -1], [1, -1]]
    assert torch.equal(packed[0], maps[0, [0, 2]]) and torch.equal(packed[2, 0], maps[2, 1])
    assert (packed[1] == 0).all() and (packed[2, 1] == 0).all()
    empty, none = pack_present(maps, torch.zeros(3, 4))
    assert empty.shape == (3, 0, 5, 6) and none.shape == (3, 0)


def test_softmax_over_background_and_present_classes():
    cams = torch.rand(3, 4, 5, 6)
    packed, classes = pack_present(cams, LABELS)
    scores = background_softmax(packed, classes, (0.55, 0.35))
    assert scores.shape == (3, 6, 5, 6)
    for part, background in zip(scores.chunk(2, dim=1), (0.55, 0.35), strict=True):
        for i, present in enumerate(LABELS.bool()):
            own = torch.cat([torch.full((1, 5, 6), background), cams[i, present]]).softmax(dim=0)
            torch.testing.assert_close(part[i, : len(own)], own)
            assert (part[i, len(own) :] == 0).all()
    alone = background_softmax(torch.zeros(2, 0, 5, 6), torch.zeros(2, 0).long(), (0.5,))
    assert alone.shape == (2, 1, 5, 6) and (alone == 1).all()


def test_refinement_in_the_box_equals_that_of_the_cut_images():
    image, scores = torch.rand(4, 3, 24, 20), torch.rand(4, 3, 24, 20)
    box = torch.tensor([[0, 24, 0, 20], [3, 19, 2, 99], [3, 19, 2, 20], [5, 6, 7, 8]])
    refined = refine_in_box(refine, image, scores, box)
    for i, (y0, y1, x0, x1) in enumerate(box.clamp(max=torch.tensor([24, 24, 20, 20])).tolist()):
        cut = (slice(i, i + 1), slice(None), slice(y0, y1), slice(x0, x1))
        small = F.interpolate(
            image[cut], size=(max((y1 - y0) // 2, 1), max((x1 - x0) // 2, 1)), mode='bilinear'
        )
        expected = F.interpolate(
            refine(small, scores[cut]), size=(y1 - y0, x1 - x0), mode='bilinear'
        )
        torch.testing.assert_close(refined[cut], expected)
        refined[cut] = 0
    assert (refined == 0).all()


def test_padding_does_not_reach_into_the_box():
    image, scores = torch.rand(1, 3, 16, 16), torch.rand(1, 2, 16, 16)
    box = torch.tensor([[4, 12, 0, 16]])
    first = refine_in_box(refine, image, scores, box)
    image[:, :, :4] = 9
    assert torch.equal(first, refine_in_box(refine, image, scores, box))


def test_an_empty_box_gives_zeros():
    ones = torch.ones(1, 3, 8, 8)
    assert (refine_in_box(refine, ones, ones, torch.tensor([[3, 3, 0, 8]])) == 0).all()


def test_half_of_a_single_pixel_is_a_pixel():
    assert refine_at_half(refine, torch.ones(1, 3, 1, 5), torch.ones(1, 2, 1, 5)).shape[2:] == (
        1,
        5,
    )


def test_two_thresholds_agree_or_ignore():
    high = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]]).view(1, 2, 1, 4)
    low = torch.tensor([[0.9, 0.1, 0.1, 0.1], [0.1, 0.9, 0.9, 0.9]]).view(1, 2, 1, 4)
    scores, classes = torch.cat([high, low], dim=1), torch.tensor([[6]])
    assert two_threshold_label(scores, classes).tolist() == [[[0, 255, 7, 7]]]
    box = torch.tensor([[0, 1, 1, 3]])
    assert two_threshold_label(scores, classes, box).tolist() == [[[255, 255, 7, 255]]]


def test_truncated_pixels_are_the_image_or_one_less():
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    mean, std = mean.view(3, 1, 1), std.view(3, 1, 1)
    image = torch.arange(256.0).expand(1, 3, 1, 256)
    pixels = truncated_pixels((image - mean) / std, mean, std)
    assert set((image - pixels).unique().tolist()) == {0, 1}
    assert (image - pixels).mean() < 0.05


@pytest.mark.parametrize('scales', [(1.0,), (1.0, 0.5, 1.5)])
def test_multi_scale_cams_of_a_symmetric_network(scales):
    """A network without a sense of direction sees the mirror image alike."""
    seen = []

    def forward(batch, scale):
        seen.append((tuple(batch.shape), scale))
        return F.avg_pool2d(batch.mean(1, keepdim=True).repeat(1, 4, 1, 1), 2)

    inputs = torch.randn(3, 3, 16, 24)
    cams, classes = multi_scale_cams(forward, inputs, LABELS, scales)
    assert seen == [((6, 3, int(16 * s), int(24 * s)), s) for s in scales]
    assert cams.shape == (3, 2, 16, 24) and classes.tolist() == [[0, 2], [-1, -1], [1, -1]]
    assert cams.min() == 0 and 0.99 < cams.max() <= 1
    mirrored, _ = multi_scale_cams(forward, inputs.flip(-1), LABELS, scales)
    torch.testing.assert_close(cams, mirrored.flip(-1), rtol=1e-4, atol=1e-5)
