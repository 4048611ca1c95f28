"""CLIP-ES: grouping, views, refinement, bad input."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.models import CLIPES, FrozenCLIP
from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.ops.affinity import sinkhorn_symmetric
from mmwsss.ops.affinity.box_mask import box_mask
from mmwsss.ops.affinity.caa import class_aware_affinity
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.clip.vit import run_block
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_samples, smooth_pixels, tiny_clip_state

from .conftest import CLASSES

CONFIGS = Path(__file__).parents[2] / 'configs'
MEAN, STD = [122.77, 116.75, 104.09], [68.5, 66.63, 70.32]


def clip_es(**changes) -> CLIPES:
    init_default_scope('mmseg')
    config = dict(
        backbone=dict(type='mmwsss.FrozenCLIP', checkpoint=tiny_clip_state(), quick_gelu=True),
        text=dict(type='mmwsss.TextBank', class_names=CLASSES, background_names=['grass', 'sky']),
        data_preprocessor=dict(type='mmwsss.AnySizePreProcessor', mean=MEAN, std=STD),
    )
    model = CLIPES(**{**config, **changes}).eval()
    # the texts of a random network are almost the same, so that no gradient would be left
    texts = torch.randn(model.text.embeddings.shape, generator=torch.Generator().manual_seed(3))
    model.text.embeddings = F.normalize(texts, dim=-1)
    return model


def run(model: CLIPES, images: list[torch.Tensor], labels: list[tuple[int, ...]]) -> list:
    found = []
    for image, present in zip(images, labels, strict=True):
        found += labelled_samples(present, size=tuple(image.shape[-2:]))
    return model.test_step(dict(inputs=list(images), data_samples=found))


def autograd_maps(model: CLIPES, image: torch.Tensor, present: tuple[int, ...]) -> torch.Tensor:
    """The definition: one backward pass per class, the affinity squared, one image."""
    backbone, visual = model.backbone, model.backbone.visual
    data = model.data_preprocessor(dict(inputs=[image]))['inputs']
    encoded = backbone.encode(data, CLIPRequest(attn=8))
    block, text = visual.transformer.resblocks[-1], model.text.embeddings
    texts = torch.cat([text[list(present)], text[len(CLASSES) :]])
    height, width = encoded.grid
    attn, cams = None, []
    for k in range(len(present)):
        kept = []
        handle = block.ln_1.register_forward_hook(lambda m, i, out, kept=kept: kept.append(out))
        out, _, attn = run_block(block, encoded.tokens[-1].clone().requires_grad_(), 'mean')
        handle.remove()
        feature = F.normalize(visual.ln_post(out)[:, 1:].mean(1) @ visual.proj, dim=-1)
        prob = (backbone.logit_scale * feature @ texts.T).softmax(-1)[0, k]
        (gradient,) = torch.autograd.grad(prob, kept[0])
        cam = (kept[0][0, 1:] @ gradient[0, 1:].mean(0)).relu().view(height, width)
        cams.append(minmax_normalize(minmax_normalize(cam.detach())))
    mean = torch.cat([encoded.attn[:, 0], attn[:, 1:, 1:].detach()]).mean(0, keepdim=True)
    affinity = sinkhorn_symmetric(mean)[0]
    cams = torch.stack(cams)
    refined = (box_mask(cams, 0.4) * cams).flatten(1) @ (affinity @ affinity).T
    return minmax_normalize(refined.view_as(cams))


def test_maps_are_those_of_one_backward_pass_per_class():
    model, image, present = clip_es(), smooth_pixels(40, 56), (0, 2)
    expected = autograd_maps(model, image, present)
    result = run(model, [image], [present])[0]
    assert expected.amax() > 0.99
    assert result.pred_cam.labels.tolist() == [0, 2]
    upsampled = F.interpolate(expected[None], (40, 56), mode='bilinear', align_corners=False)[0]
    torch.testing.assert_close(result.pred_cam.cam, upsampled, atol=1e-4, rtol=0)
    background = 1 - upsampled.amax(0, keepdim=True)
    winner = torch.cat([background, upsampled]).argmax(0)
    agreement = result.pred_sem_seg.data[0] == torch.tensor([0, 1, 3])[winner]
    assert agreement.float().mean() > 0.999


@pytest.mark.parametrize('flip', [False, True])
def test_a_batch_of_several_sizes_is_each_image_alone(flip):
    model = clip_es(test_cfg=dict(flip=flip, scales=(1.0, 1.5)))
    sizes = ((40, 56), (33, 47), (38, 50), (40, 56))
    images = [smooth_pixels(*size, seed) for seed, size in enumerate(sizes)]
    labels = [(0,), (1, 2), (), (0, 1, 2)]
    together = run(model, images, labels)
    for image, present, found in zip(images, labels, together, strict=True):
        alone = run(model, [image], [present])[0]
        assert found.pred_cam.cam.shape == (len(present), *image.shape[-2:])
        torch.testing.assert_close(found.pred_cam.cam, alone.pred_cam.cam, atol=1e-4, rtol=0)


def test_images_that_become_one_size_run_in_one_pass(monkeypatch):
    model, batches = clip_es(), []
    encode = model.backbone.encode
    monkeypatch.setattr(
        model.backbone, 'encode', lambda x, n: (batches.append(tuple(x.shape)), encode(x, n))[1]
    )
    images = [smooth_pixels(*size) for size in ((40, 56), (33, 49), (48, 56))]
    run(model, images, [(0,), (1,), (2,)])
    assert sorted(batches) == [(1, 3, 48, 56), (2, 3, 40, 56)]


def test_mirrored_views_make_mirrored_maps():
    model = clip_es(test_cfg=dict(flip=True))
    image = smooth_pixels(40, 56)
    plain, mirrored = (run(model, [x], [(0, 1)])[0].pred_cam.cam for x in (image, image.flip(-1)))
    torch.testing.assert_close(plain, mirrored.flip(-1), atol=1e-4, rtol=0)


def test_without_labels_everything_is_background():
    result = run(clip_es(), [smooth_pixels(40, 56)], [()])[0]
    assert result.pred_cam.cam.shape == (0, 40, 56) and not result.pred_sem_seg.data.any()


def test_labels_that_clip_predicts_take_the_place_of_those_given():
    model, images = clip_es(), [smooth_pixels(40, 56), smooth_pixels(56, 40), smooth_pixels(40, 56)]
    found = []
    for image in images:  # the definition, one image at a time
        data = model.data_preprocessor(dict(inputs=[image]))['inputs']
        encoded = model.backbone.encode(data, CLIPRequest(last=True, projected=True))
        feature = F.normalize(encoded.projected[0, 0], dim=-1)
        logits = model.backbone.logit_scale * model.text.embeddings @ feature
        found.append(logits.softmax(dim=0)[: len(CLASSES)])
    ordered = torch.stack(found).flatten().sort().values
    threshold = float(ordered[-3:-1].mean())  # between the second and the third of all
    model.test_cfg = dict(label_threshold=threshold)
    results = run(model, images, [(), (0, 1), ()])
    expected = [(scores > threshold).nonzero().flatten().tolist() for scores in found]
    assert [result.pred_cam.labels.tolist() for result in results] == expected
    assert 0 < sum(map(len, expected)) < len(images) * len(CLASSES)


@pytest.mark.parametrize('size', [(3, 5), (1, 1), (7, 80), (8, 8)])
def test_images_smaller_than_a_patch(size):
    result = run(clip_es(), [smooth_pixels(*size)], [(0, 1)])[0]
    assert result.pred_cam.cam.shape == (2, *size)
    assert result.pred_cam.cam.isfinite().all()


def test_the_affinity_can_be_left_out():
    image = smooth_pixels(40, 56)
    refined = run(clip_es(), [image], [(0,)])[0].pred_cam.cam
    plain = run(clip_es(test_cfg=dict(maps='plain')), [image], [(0,)])[0].pred_cam.cam
    assert (refined - plain).abs().max() > 0.1


def test_class_aware_affinity_starts_inside_the_boxes():
    cams = torch.zeros(1, 4, 5)
    cams[0, 1, 1], cams[0, 3, 4] = 0.9, 0.3
    identity = torch.eye(20)[None] + 1e-9
    out = class_aware_affinity(identity, cams, torch.zeros(1, dtype=torch.long), 0.4)
    assert out[0, 1, 1] > 0.5 and out[0, 3, 4] < 1e-6


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(test_cfg=dict(predict='seg')), 'predict must be one of cam'),
        (dict(test_cfg=dict(caa=None)), "now test_cfg.maps='plain'"),
        (dict(test_cfg=dict(caa=dict(attn_last=0))), 'attn_last'),
        (dict(test_cfg=dict(caa=dict(box_treshold=0.4))), "did you mean 'box_threshold'"),
        (dict(test_cfg=dict(label_threshold=1)), 'label_threshold must be a number'),
        (dict(test_cfg=dict(scale=2)), 'scale'),
        (dict(test_cfg=dict(scales=())), 'scales'),
        (dict(test_cfg=dict(caa=dict(last=3))), 'caa'),
        (dict(text=dict(type='mmwsss.TextBank', class_names=[])), 'class_names'),
        (dict(text=dict(type='mmwsss.TextBank', class_names=['a', 'a'])), 'twice'),
        (dict(text=dict(type='mmwsss.TextBank', class_names=['many ' * 90])), 'tokens'),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        clip_es(**changes)


def test_missing_or_foreign_labels():
    model, image = clip_es(), smooth_pixels(40, 56)
    sample = labelled_samples((0,))[0]
    del sample.gt_image_labels
    with pytest.raises(ValueError, match='image labels'):
        model.test_step(dict(inputs=[image], data_samples=[sample]))
    sample = labelled_samples((0,))[0]
    sample.gt_image_labels.label = torch.zeros(7)
    with pytest.raises(ValueError, match='7 foreground classes'):
        model.test_step(dict(inputs=[image], data_samples=[sample]))


def test_it_is_not_trained():
    with pytest.raises(NotImplementedError, match='not trained'):
        clip_es().loss(torch.zeros(1, 3, 8, 8), [])
    with pytest.raises(RuntimeError, match='not trained'):
        clip_es().data_preprocessor(dict(inputs=[smooth_pixels(8, 8)]), training=True)


@pytest.mark.parametrize(('name', 'classes'), [('voc', 20), ('coco', 80), ('mini', 10)])
def test_shipped_configs_build(name, classes, monkeypatch):
    """With drawn texts where the CLIP is large."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / f'wsss/clip_es_{name}.py')
    if name != 'mini':
        encoded = lambda _, tokens: torch.randn(len(tokens), 512)  # noqa: E731
        monkeypatch.setattr(FrozenCLIP, 'encode_text', encoded)
        cfg.model.backbone.checkpoint = 'random'
        cfg.model.text.class_names = cfg.model.text.class_names[-classes:]
    model = MODELS.build(cfg.model)
    assert model.text.num_classes == classes
    assert not [p for p in model.parameters() if p.requires_grad]
    assert cfg.train_dataloader is None
