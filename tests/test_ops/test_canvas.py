"""Views on a canvas and their merge."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from mmwsss.ops.dense_crf import dense_crf, unary_from_scores
from mmwsss.ops.multi_view.canvas import (
    canvas_views,
    cut_view,
    merge_canvas_views,
    restrict_classes,
)

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])


def batch(*shape, seed=0):
    pixels = torch.randint(
        0, 256, (*shape[:1], 3, *shape[1:]), generator=torch.Generator().manual_seed(seed)
    )
    return (pixels - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)


def views(inputs, scales, flip, **kwargs):
    return list(canvas_views(inputs, scales, flip, MEAN, STD, **kwargs))


def identity(x):
    """Every channel is a class; the score is its largest value."""
    return x.amax((2, 3)), x


def test_a_view_is_the_padded_image_of_pillow():
    inputs = batch(2, 21, 30)
    found = views(inputs, (1.0, 0.5, 1.5), True, canvas=(48, 56))
    pixels = (inputs * STD.view(3, 1, 1) + MEAN.view(3, 1, 1)).round().byte()
    for i, pixel in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        image = Image.fromarray(pixel).resize((45, 32), Image.BICUBIC)  # 31.5 is rounded to even
        image = ImageOps.expand(ImageOps.mirror(image), (5, 8, 6, 8), fill=0)
        canvas = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        expected = (canvas - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)
        expected[:, :8] = expected[:, 40:] = expected[..., :5] = expected[..., 50:] = 0
        torch.testing.assert_close(found[5].inputs[i], expected, atol=1e-5, rtol=0)
    assert [v.box for v in found] == [(13, 13, 21, 30)] * 2 + [(19, 20, 10, 15)] * 2 + [
        (8, 5, 32, 45)
    ] * 2
    assert [v.flipped for v in found] == [False, True] * 3


def test_without_flip_no_view_is_mirrored():
    """The official code once mirrored every second scale back although none was mirrored."""
    inputs = batch(1, 12, 16)
    found = views(inputs, (1.0, 1.0, 1.0), False, canvas=20)
    assert [v.flipped for v in found] == [False] * 3
    _, merged = merge_canvas_views(identity, found, (12, 16))
    torch.testing.assert_close(merged, inputs)


def test_without_padding_views_keep_their_size():
    inputs = batch(1, 12, 16)
    found = views(inputs, (1.0, 1.5), True, pad='none')
    assert [tuple(v.inputs.shape[-2:]) for v in found] == [(12, 16)] * 2 + [(18, 24)] * 2
    assert [v.box for v in found] == [(0, 0, 12, 16)] * 2 + [(0, 0, 18, 24)] * 2
    torch.testing.assert_close(found[1].inputs, inputs.flip(-1))


@pytest.mark.parametrize('pad', ['fixed', 'none'])
def test_a_network_without_context_gives_the_same_with_both_paddings(pad):
    inputs = batch(2, 12, 16)
    _, merged = merge_canvas_views(
        identity, views(inputs, (1.0, 0.5), True, pad=pad, canvas=30), (12, 16)
    )
    small = views(inputs, (0.5,), False, pad='none')[0].inputs
    small = F.interpolate(small, size=(12, 16), mode='bilinear', align_corners=False)
    torch.testing.assert_close(merged, (inputs + small) / 2)


def test_scores_are_the_largest_of_all_views():
    inputs = batch(2, 6, 8)
    scores, _ = merge_canvas_views(identity, views(inputs, (1.0, 2.0), True, canvas=16), (6, 8))
    expected = [v.inputs.amax((2, 3)) for v in views(inputs, (1.0, 2.0), True, canvas=16)]
    torch.testing.assert_close(scores, torch.stack(expected).amax(0))
    # the canvas is zero, and a network that pools sees it
    dark = -torch.rand(1, 3, 6, 8)
    for pad, best in (('fixed', 0.0), ('none', float(dark[0, 0].max()))):
        found = views(dark, (1,), False, pad=pad, canvas=16)
        assert float(merge_canvas_views(identity, found, (6, 8))[0][0, 0]) == pytest.approx(best)


@pytest.mark.parametrize('limit', [1, 2, 3, 8])
@pytest.mark.parametrize('pad', ['fixed', 'none'])
def test_the_number_of_views_in_a_batch_does_not_matter(limit, pad):
    inputs, sizes = batch(2, 10, 14), []

    def forward(x):
        sizes.append(len(x))
        return x.mean((2, 3)), F.avg_pool2d(x, 3, 1, 1)

    def run(count):
        found = canvas_views(inputs, (1.0, 0.5, 1.5), True, MEAN, STD, pad, 24)
        return merge_canvas_views(forward, found, (10, 14), count)

    expected = run(1)
    sizes.clear()
    for ours, theirs in zip(run(limit), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert max(sizes) == 2 * min(limit, 6 if pad == 'fixed' else 2)


def test_cut_view_mirrors_back():
    maps = torch.zeros(1, 4, 8, 10)
    maps[..., 2:6, 3:9] = image = torch.rand(1, 4, 4, 6)
    torch.testing.assert_close(cut_view(maps, (2, 3, 4, 6), False, (4, 6)), image)
    torch.testing.assert_close(cut_view(maps, (2, 3, 4, 6), True, (4, 6)), image.flip(-1))


def test_restriction_leaves_the_background_and_sharpens_it():
    prob = torch.rand(2, 4, 3, 3)
    present = torch.tensor([[True, False, False], [True, True, False]])
    scores = restrict_classes(prob, present, 3.0)
    torch.testing.assert_close(scores[:, 0], prob[:, 0] ** 3)
    torch.testing.assert_close(scores[1, 1:3], prob[1, 1:3])
    assert scores[0, 2:].abs().max() == 0 and scores[1, 3].abs().max() == 0
    torch.testing.assert_close(restrict_classes(prob, present.float())[:, 0], prob[:, 0])


def test_an_image_larger_than_the_canvas_is_refused():
    with pytest.raises(ValueError, match=r'24 x 20 \(height x width\) at scale 2 is 48 x 40 .* 40'):
        views(batch(1, 24, 20), (1.0, 2.0), True, canvas=40)
    with pytest.raises(ValueError, match=r"at least 48.*pad='none'"):
        views(batch(1, 24, 20), (2.0,), True, canvas=(40, 60))
    assert len(views(batch(1, 24, 20), (2.0,), False, canvas=(48, 40))) == 1


def test_errors():
    with pytest.raises(ValueError, match="pad='reflect' is not one of"):
        views(batch(1, 4, 4), (1.0,), False, pad='reflect')
    with pytest.raises(ValueError, match='no view'):
        merge_canvas_views(identity, [], (4, 4))


def test_the_crf_does_not_see_whether_scores_add_up_to_one():
    """``test.py --crf`` takes the softmax of the log scores; the official unary is theirs."""
    image = (torch.rand(12, 16, 3, generator=torch.Generator().manual_seed(0)) * 255).byte()
    prob = torch.rand(1, 4, 12, 16).softmax(1)
    scores = restrict_classes(prob, torch.tensor([[True, True, False]]), 3.0)[0]
    normalised = (-unary_from_scores(scores)).softmax(0)
    torch.testing.assert_close(
        dense_crf(image, normalised, preset='psa'), dense_crf(image, scores, preset='psa')
    )
