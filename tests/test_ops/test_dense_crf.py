"""Dense CRF: agreement of the implementations, and bad input."""

import numpy as np
import pytest
import torch

from mmwsss.datasets.mini_render import render_mini
from mmwsss.ops.dense_crf import (
    PRESETS,
    DenseCRF,
    crf_parameters,
    dense_crf,
    refine_labels,
    unary_from_labels,
    unary_from_scores,
)
from mmwsss.ops.dense_crf.lattice import TorchMeanField


def example(num_labels=5, size=(90, 120), seed=0):
    """A textured image and smooth scores."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 9, 12, generator=generator) * 200
    image = torch.nn.functional.interpolate(image, size=size, mode='bilinear')[0]
    image = (image + 40 * torch.rand(3, *size, generator=generator)).byte().permute(1, 2, 0)
    scores = torch.rand(1, num_labels, 5, 6, generator=generator) * 6
    scores = torch.nn.functional.interpolate(scores, size=size, mode='bilinear')[0].softmax(0)
    return image.contiguous(), scores


def torch_engine(images, unary, preset, copies=None):
    p = PRESETS[preset]
    field = TorchMeanField(
        images,
        (p.gaussian_sxy, p.gaussian_compat),
        (p.bilateral_sxy, p.bilateral_srgb, p.bilateral_compat),
    )
    copies = torch.ones(unary.shape[-3]) if copies is None else torch.tensor(copies)
    flat = unary.reshape(len(images), -1, unary.shape[-3], unary.shape[-2] * unary.shape[-1])
    return field.infer(flat, p.iterations, copies).reshape(unary.shape)


@pytest.mark.parametrize('preset', PRESETS)
def test_equals_pydensecrf(preset):
    pytest.importorskip('pydensecrf')
    image, scores = example()
    ours = dense_crf(image, scores, preset=preset)
    reference = dense_crf(image, scores, preset=preset, backend='pydensecrf')
    assert (ours - reference).abs().max() < 1e-3
    assert (ours.argmax(0) == reference.argmax(0)).float().mean() > 0.999


@pytest.mark.parametrize('num_labels', [1, 2, 4, 5, 21])
def test_compiled_and_tensor_lattices_agree(num_labels):
    """Two implementations that share only the formula of the keys; every width of a block."""
    image, scores = example(num_labels)
    unary = unary_from_scores(scores)
    expected = torch_engine(image[None], unary[None], 'psa')[0]
    assert torch.allclose(DenseCRF(image, 'psa')(unary), expected, atol=1e-4)


def brute_force_filter(features, values):
    """Exact Gaussian filter with symmetric normalisation."""
    kernel = torch.exp(-0.5 * torch.cdist(features.double(), features.double()) ** 2)
    norm = kernel.sum(1, keepdim=True).rsqrt()
    return (norm * (kernel @ (norm * values.double()))).float()


def test_lattice_approximates_the_gaussian():
    """Not equal (the lattice is an approximation), but the same filter."""
    from mmwsss.ops.dense_crf.lattice import PermutohedralLattice

    generator = torch.Generator().manual_seed(3)
    features = torch.rand(3000, 2, generator=generator) * 8
    values = (features.sum(1, keepdim=True) > 8).float()
    exact = brute_force_filter(features, values)
    approximate = PermutohedralLattice(features).filter(values)
    assert (approximate - exact).abs().mean() < 0.02
    assert (approximate - exact).abs().max() < 0.15


def test_threads_share_the_images():
    pairs = [example(4, seed=s) for s in range(3)]
    images, scores = (torch.stack(t) for t in zip(*pairs, strict=True))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(dense_crf(images, scores))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(result, results[0]) for result in results)


def test_batch_equals_single_images():
    pairs = [example(6, seed=s) for s in range(3)]
    images, scores = (torch.stack(t) for t in zip(*pairs, strict=True))
    batch = dense_crf(images, scores, preset='psa')
    for i, (image, score) in enumerate(pairs):
        assert torch.allclose(batch[i], dense_crf(image, score, preset='psa'), atol=1e-4)
    grouped = torch_engine(images, unary_from_scores(scores), 'psa')
    assert torch.allclose(grouped, batch, atol=1e-4)


def test_lattices_are_reused():
    """PSA's low and high exponents: one CRF, several unaries of different label counts."""
    image, scores = example(3)
    crf = DenseCRF(image, 'psa')
    for power in (4, 32):
        unary = unary_from_scores(scores**power)
        assert torch.equal(crf(unary), DenseCRF(image, 'psa')(unary))
    assert crf(unary_from_scores(scores[:2])).shape == (2, 90, 120)


@pytest.mark.parametrize('num_labels', [3, 6, 21])
def test_several_problems_of_one_image(num_labels):
    """As one after another, in every engine; of equal blocks to the last digit."""
    image, first = example(num_labels)
    unary = unary_from_scores(torch.stack([first, first.flip(0), first.flip(1)]))
    crf = DenseCRF(image, 'psa')
    expected = torch.stack([crf(one) for one in unary])
    assert torch.equal(crf(unary), expected)
    images = torch.stack([image, image.flip(1)])
    two = torch.stack([unary, unary.flip(-1)])
    by_tensors = torch_engine(images, two, 'psa')
    assert torch.allclose(by_tensors[0], expected, atol=1e-4)
    assert torch.allclose(by_tensors[1, 1], DenseCRF(images[1], 'psa')(two[1, 1]), atol=1e-4)


def test_several_problems_by_pydensecrf():
    pytest.importorskip('pydensecrf')
    image, scores = example(3)
    unary = unary_from_scores(torch.stack([scores, scores.flip(0)]))
    crf = DenseCRF(image, 'psa', 'pydensecrf')
    expected = torch.stack([crf(one, copies=[1, 2, 1]) for one in unary])
    assert torch.equal(crf(unary, copies=[1, 2, 1]), expected)


def test_several_label_maps_of_one_image():
    """As each by itself, also where the labels differ that occur."""
    image, mask = (torch.from_numpy(np.ascontiguousarray(x)) for x in render_mini('val', 0)[:2])
    holes = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    labels = torch.stack([mask.masked_fill(holes, 0), mask.masked_fill(mask == mask.max(), 255)])
    assert set(labels[0].unique().tolist()) != set(labels[1].unique().tolist())
    expected = [refine_labels(image, one, num_labels=21, preset='irn') for one in labels]
    crf = DenseCRF(image, 'irn')
    assert torch.equal(crf.refine_labels(labels, num_labels=21), torch.stack(expected))

    keys = labels[labels != 255].unique()
    places = torch.searchsorted(keys, labels).masked_fill(labels == 255, 255)
    unary = unary_from_labels(places, len(keys), ignore_index=255)
    expected = torch.stack([keys[crf(one).argmax(dim=0)] for one in unary])
    assert torch.equal(crf.refine_labels(labels), expected)


def test_posterior_is_a_distribution_and_sharpens():
    image, scores = example()
    posterior = dense_crf(image, scores, preset='irn')
    assert torch.allclose(posterior.sum(0), torch.ones(90, 120), atol=1e-5)
    assert posterior.min() >= 0
    assert posterior.amax(0).mean() > scores.amax(0).mean() + 0.1


def test_no_iteration_is_the_softmax_of_the_unary():
    image, scores = example()
    unary = unary_from_scores(scores)
    expected = (-unary).softmax(0)
    assert torch.allclose(DenseCRF(image)(unary, iterations=0), expected, atol=1e-6)


def test_large_energies():
    """Raw logits as energies, far beyond the range of exp."""
    image, scores = example()
    unary = -200 * scores
    expected = torch_engine(image[None], unary[None], 'afa')[0]
    assert torch.allclose(DenseCRF(image)(unary), expected, atol=1e-4)


def test_refines_labels_of_a_rendered_scene():
    """Pixels of objects that were labelled background come back."""
    image, mask = (torch.from_numpy(np.ascontiguousarray(x)) for x in render_mini('val', 0)[:2])
    holes = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    noisy = mask.masked_fill(holes, 0)
    refined = refine_labels(image, noisy, preset='irn')
    assert refined.dtype == torch.uint8
    lost, still_lost = ((x != mask)[holes & (mask > 0)] for x in (noisy, refined))
    assert lost.all()
    assert still_lost.float().mean() < 0.2


def test_unknown_pixels_get_a_label():
    image, mask = (torch.from_numpy(np.ascontiguousarray(x)) for x in render_mini('val', 1)[:2])
    unknown = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    refined = refine_labels(image, mask.masked_fill(unknown, 255), preset='irn')
    assert (refined == mask)[unknown].float().mean() > 0.9
    assert set(refined.unique().tolist()) <= set(mask.unique().tolist())


def test_one_channel_for_equal_labels():
    """The same posterior as with every label written out."""
    image, scores = example(3)
    unary, copies = unary_from_scores(scores), [1, 18, 2]
    crf = DenseCRF(image, 'psa')
    plain = crf(unary.repeat_interleave(torch.tensor(copies), dim=0))[[0, 1, 19]]
    assert plain[1].max() < 1 / 18 < plain[0].max()
    by_tensors = torch_engine(image[None], unary[None], 'psa', copies)[0]
    for found in (crf(unary, copies=copies), by_tensors):
        assert torch.allclose(found, plain, atol=1e-5)


def test_one_channel_for_equal_labels_by_pydensecrf():
    pytest.importorskip('pydensecrf')
    image, scores = example(3)
    unary, copies = unary_from_scores(scores), [1, 18, 2]
    found, ours = (
        DenseCRF(image, 'psa', backend)(unary, copies=copies)
        for backend in ('pydensecrf', 'lattice')
    )
    assert (found - ours).abs().max() < 1e-3


@pytest.mark.parametrize('gt_prob', [0.5, 0.03])
def test_absent_labels_take_part(gt_prob):
    """As in the CRF of all labels; below 1 / n an absent label is likelier than the given one."""
    image, mask = (torch.from_numpy(np.ascontiguousarray(x)) for x in render_mini('val', 0)[:2])
    unsure = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    labels = mask.masked_fill(unsure, 255)
    unary = unary_from_labels(labels, 21, gt_prob, ignore_index=255)
    plain = DenseCRF(image, 'irn')(unary).argmax(dim=0)
    refined = refine_labels(image, labels, gt_prob, num_labels=21, preset='irn')
    assert torch.equal(refined.long(), plain)
    few = refine_labels(image, labels, gt_prob, preset='irn')
    assert not torch.equal(refined, few)
    with pytest.raises(ValueError, match=rf'label {mask.max()} is outside 0\.\.1'):
        refine_labels(image, labels, num_labels=2)


def test_copies_must_fit_the_labels():
    image, scores = example(2)
    for copies in ([1], [1, 0], [1.0, 2.0]):
        with pytest.raises(ValueError, match='copies must be 2 whole numbers'):
            DenseCRF(image)(unary_from_scores(scores), copies=copies)


def test_unary_from_labels():
    labels = torch.tensor([[0, 2], [1, 255]], dtype=torch.uint8)
    unary = unary_from_labels(labels, 3, 0.7, ignore_index=255)
    sure, other = -np.log(0.7), -np.log(0.15)
    assert np.allclose(unary[:, 0, 0], [sure, other, other])
    assert np.allclose(unary[:, 0, 1], [other, other, sure])
    assert np.allclose(unary[:, 1, 1], np.log(3))


def test_labels_out_of_range():
    with pytest.raises(ValueError, match=r'range from 0 to 3, outside 0\.\.2'):
        unary_from_labels(torch.tensor([[0, 3]]), 3)
    with pytest.raises(ValueError, match='range from -1 to 0'):
        unary_from_labels(torch.tensor([[0, -1]]), 3)
    with pytest.raises(ValueError, match='gt_prob'):
        unary_from_labels(torch.tensor([[0, 1]]), 2, gt_prob=1.0)


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (5, 1), (2, 3)])
@pytest.mark.parametrize('num_labels', [1, 3])
def test_tiny_images(size, num_labels):
    image, scores = example(num_labels, size)
    posterior = dense_crf(image, scores)
    assert torch.allclose(posterior.sum(0), torch.ones(size), atol=1e-5)
    expected = torch_engine(image[None], unary_from_scores(scores)[None], 'afa')[0]
    assert torch.allclose(posterior, expected, atol=1e-4)


def test_single_label_is_certain():
    image, scores = example(1)
    assert torch.equal(dense_crf(image, scores), torch.ones(1, 90, 120))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_unary_must_be_finite(value):
    image, scores = example()
    unary = unary_from_scores(scores)
    unary[1, 2, 3] = value
    with pytest.raises(ValueError, match='NaN or infinite'):
        DenseCRF(image)(unary)


def test_bad_input_names_what_is_wrong():
    image, scores = example()
    with pytest.raises(ValueError, match='uint8'):
        DenseCRF(image.float())
    with pytest.raises(ValueError, match='uint8 images'):
        DenseCRF(image.permute(2, 0, 1))
    with pytest.raises(ValueError, match='empty'):
        DenseCRF(image[:0])
    with pytest.raises(ValueError, match=r'\(5, 80, 120\) does not fit images of \(90, 120\)'):
        dense_crf(image, scores[:, :80])
    with pytest.raises(ValueError, match='does not fit'):
        dense_crf(image, scores[:0])
    with pytest.raises(ValueError, match='presets are afa, psa'):
        crf_parameters('pas')
    with pytest.raises(ValueError, match='> 0'):
        crf_parameters(bilateral_srgb=0)
    with pytest.raises(ValueError, match="no parameter 'sxy'"):
        crf_parameters(sxy=3)
    with pytest.raises(ValueError, match='too small for this image'):
        DenseCRF(image, bilateral_srgb=1e-6)


def test_scale_factor_divides_positions_only():
    parameters = crf_parameters('psa', scale_factor=4)
    assert parameters.gaussian_sxy == 3 / 4
    assert parameters.bilateral_sxy == 80 / 4
    assert parameters.bilateral_srgb == 13
