from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.models import WeakCLIP
from mmwsss.models.decode_heads import seed_fpn_head
from mmwsss.models.layers.clip_pyramid import CLIPPyramid
from mmwsss.models.text_encoders import ContextPrompts
from mmwsss.models.utils.crf import present_classes
from mmwsss.ops.dense_crf.target import crf_target, grid_images
from mmwsss.ops.graph_seeds import cut_seeds, knn_graph
from mmwsss.ops.losses.seeds import boundary_loss, label_cues, seeding_loss
from mmwsss.ops.multi_view.windows import keep_ratio_size, resize_pixels, slide, window_starts
from mmwsss.registry import MODELS
from mmwsss.testing import CHECKS, load_method, smooth_pixels, tiny_clip_state

NAMES = ('background', 'cat', 'dog', 'cow')
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def tiny(frozen=True, names=NAMES, backbone=None, **changes) -> WeakCLIP:
    init_default_scope('mmseg')
    torch.manual_seed(0)
    count = len(names)
    decouple = changes.pop('decouple', True)
    joined = [count if changes.get('pyramid_scores', True) or i == 2 else 0 for i in range(4)]
    config = dict(
        type='mmwsss.WeakCLIP',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=MEAN.flatten().tolist(), std=STD.flatten().tolist()
        ),
        backbone=dict(
            type='mmwsss.TunableCLIP',
            checkpoint=tiny_clip_state(),
            quick_gelu=True,
            frozen=frozen,
            **(backbone or {}),
        ),
        adapter=dict(type='mmwsss.CLIPPyramid', channels=64, patch=8),
        prompts=dict(
            type='mmwsss.ContextPrompts', class_names=names, num_contexts=2, name_tokens=4, width=64
        ),
        co_attention=dict(
            type='mmwsss.CoAttentionDecoder', dim=16, width=8, heads=2, decouple=decouple
        ),
        neck=dict(type='FPN', in_channels=[64 + n for n in joined], out_channels=8, num_outs=4),
        decode_head=dict(
            type='mmwsss.SeedFPNHead',
            in_channels=[8] * 4,
            in_index=[0, 1, 2, 3],
            feature_strides=[4, 8, 16, 32],
            channels=8,
            norm_cfg=dict(type='BN'),
            loss_size=(8, 8),
            **{'num_classes': count, **changes.pop('head', {})},
        ),
        **{'out_indices': (0, 1, 2, 3), **changes},
    )
    return MODELS.build(config)


def batch(number=2, side=64):
    pixels = torch.stack([smooth_pixels(side, side, seed) for seed in range(number)])
    label = torch.zeros(number, side, side, dtype=torch.int64)
    label[:, side // 4 : side // 2] = 2
    label[:, -5:] = 255
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=one[None]), metainfo=dict(img_path='a.png'))
        for one in label
    ]
    return (pixels - MEAN) / STD, samples


# ---- training ----


def trained_parts(model):
    inputs, samples = batch()
    losses = model.train().loss(inputs, samples)
    assert set(losses) == {'loss_seeding', 'loss_boundary', 'loss_score'}
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()
    grads = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    return {name.split('.')[0] for name in grads}


LEARNED = {'gamma', 'beta', 'prompts', 'co_attention', 'neck', 'decode_head'}


def test_a_frozen_clip_gets_no_gradients():
    model = tiny()
    assert trained_parts(model) == LEARNED
    assert trained_parts(tiny(train_adapter=True)) == LEARNED | {'adapter'}
    assert trained_parts(tiny(frozen=False)) == LEARNED | {'adapter', 'backbone'}
    assert trained_parts(tiny(decouple=False, pyramid_scores=False)) == LEARNED - {'beta'}


def test_checkpoints_of_a_frozen_clip_hold_its_digest_those_of_a_trained_one_its_weights():
    frozen, trained = tiny(), tiny(frozen=False)
    kept = [k for k in frozen.state_dict() if k.startswith('backbone.')]
    assert kept == ['backbone.digest']
    state = trained.state_dict()
    assert {'backbone.visual.proj', 'backbone.text_tower.text_projection'} <= set(state)
    state['backbone.visual.proj'] = state['backbone.visual.proj'] + 1
    state['backbone.digest'] = torch.tensor(1)  # trained from another CLIP: its weights are here
    trained.load_state_dict(state)
    assert torch.equal(trained.backbone.visual.proj, state['backbone.visual.proj'])
    with pytest.raises(ValueError, match='trained with another CLIP'):
        frozen.load_state_dict(dict(frozen.state_dict(), **{'backbone.digest': torch.tensor(1)}))


def test_tables_of_positions_are_prepared_once():
    tower = tiny(backbone=dict(grid=6, context_length=6)).backbone
    assert len(tower.visual.positional_embedding) == 37
    assert len(tower.text_tower.positional_embedding) == 6
    with pytest.raises(ValueError, match=r'raise backbone\.context_length'):
        tiny(backbone=dict(context_length=5))


def test_images_skip_blocks_in_training_alone():
    """Half of the deepest block's branches are dropped and the others doubled."""
    model, (inputs, _) = tiny(drop_path=0.5), batch(1)
    inputs = inputs.expand(64, -1, -1, -1)
    with torch.no_grad():
        plain = model.eval().extract_feat(inputs)[1]
        dropped = model.train().extract_feat(inputs)[1]
    assert torch.allclose(plain, plain[:1].expand_as(plain), atol=1e-5)
    different = (dropped - dropped[:1]).abs().amax((1, 2)) > 1e-3
    assert 0.5 < different.float().mean() < 1
    model.drop_path = 0.0
    with torch.no_grad():
        assert torch.allclose(model.train().extract_feat(inputs)[1], plain, atol=1e-5)


@pytest.mark.parametrize(
    ('patch', 'layers'),
    [
        (
            16,
            [
                ['GroupNorm', 'ConvTranspose2d', 'BatchNorm2d', 'GELU', 'ConvTranspose2d'],
                ['GroupNorm', 'ConvTranspose2d'],
                ['GroupNorm'],
                ['GroupNorm', 'MaxPool2d'],
            ],
        ),
        (
            8,
            [
                ['GroupNorm', 'ConvTranspose2d'],
                ['GroupNorm'],
                ['GroupNorm', 'MaxPool2d'],
                ['GroupNorm', 'MaxPool2d'],
            ],
        ),
    ],
)
def test_the_pyramid_has_strides_4_to_32(patch, layers):
    pyramid, (height, width) = CLIPPyramid(6, patch), (128, 192)
    assert [[type(layer).__name__ for layer in level] for level in pyramid.levels] == layers
    assert {level[0].num_groups for level in pyramid.levels} == {1}
    maps = [torch.randn(2, 6, height // patch, width // patch) for _ in range(4)]
    for stride, level in zip((4, 8, 16, 32), pyramid(maps), strict=True):
        assert level.shape == (2, 6, height // stride, width // stride)


@pytest.mark.parametrize('graph_cut', [True, False])
def test_seeds_may_grow_by_graph_cuts(graph_cut, monkeypatch):
    """What the cuts give is what the seeding loss learns from; the label's seeds go in."""
    inputs, samples = batch(1)
    seen = []

    def no_seed_is_sure(prob, cues, neighbours):
        seen.append((cues, neighbours))
        return torch.zeros_like(cues)

    monkeypatch.setattr(seed_fpn_head, 'cut_seeds', no_seed_is_sure)
    loss = tiny(head=dict(graph_cut=graph_cut)).train().loss(inputs, samples)['loss_seeding']
    assert len(seen) == graph_cut and (loss < 1e-3) == graph_cut
    if graph_cut:
        label = samples[0].gt_sem_seg.data
        assert torch.equal(seen[0][0], label_cues(label, len(NAMES), (8, 8)))
        assert seen[0][1].shape == (1, 64, 64)


def test_labels_that_are_no_class_are_refused_by_name():
    model, (inputs, samples) = tiny(), batch()
    samples[1].gt_sem_seg.data[0, 0, 0] = 4
    samples[1].set_metainfo(dict(seg_map_path='masks/b.png'))
    with pytest.raises(ValueError, match=r'mask of masks/b\.png holds the labels 4, .* has 4 cla'):
        model.loss(inputs, samples)


def test_raw_coco_ids_are_recognised():
    names = [f'{a}{b}' for a in 'abcdefghi' for b in 'jklmnopqr']
    model, (inputs, samples) = tiny(names=names), batch()
    samples[0].gt_sem_seg.data[0, 0, 0] = 90
    with pytest.raises(ValueError, match=r'labels 90, .* raw COCO category ids, .*--ids coco91'):
        model.loss(inputs, samples)


def test_labels_may_be_some_of_the_classes():
    """Labels 0, 1, 2 are the classes 0, 2, 3: they are learned, and predicted, as such."""
    model, (inputs, samples) = tiny(class_ids=[0, 2, 3]), batch()
    given = torch.tensor([0, 2, 1, 255]).view(1, 2, 2)
    assert model._network_label(given, samples).flatten().tolist() == [0, 3, 2, 255]
    model.eval()
    with torch.no_grad():
        scores = model.merged_logits(inputs)
        model.class_ids = torch.arange(4)
        assert torch.equal(scores, model.merged_logits(inputs)[:, [0, 2, 3]])
    with pytest.raises(ValueError, match='class_ids must be different classes of the 4'):
        tiny(class_ids=[0, 4])


def test_both_networks_of_coco_are_trained_alike():
    configs = Path(__file__).parents[2] / 'configs/segmentation'
    names = [f'weakclip_vit-b16_{name}.py' for name in ('coco', 'coco91')]
    ours, released = (Config.fromfile(configs / name) for name in names)
    assert {k for k in ours if ours[k] != released.get(k)} == {'model', 'class_names'}
    assert ours.auto_scale_lr.base_batch_size == ours.train_dataloader.batch_size == 24
    assert released.sync_bn == 'torch'


# ---- texts ----


def test_a_long_name_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'a very long name of a class' has 9 tokens .* allows 5"):
        ContextPrompts(['background', 'a very long name of a class'])
    with pytest.raises(ValueError, match="given twice: 'Cat'"):
        ContextPrompts(['cat', 'Cat'])


def test_texts_are_encoded_once_a_test_and_anew_when_they_change(monkeypatch):
    model, (inputs, _) = tiny().eval(), batch()
    calls = []
    encode = ContextPrompts.forward
    monkeypatch.setattr(
        ContextPrompts, 'forward', lambda self, tower: calls.append(1) or encode(self, tower)
    )
    with torch.no_grad():
        first = [model.encode_decode(inputs) for _ in range(3)]
        assert len(calls) == 1
        model.prompts.contexts.add_(1)
        changed = model.encode_decode(inputs)
        assert len(calls) == 2
        model.load_state_dict(model.state_dict())
        model.encode_decode(inputs)
    assert len(calls) == 3
    assert torch.equal(first[0], first[2]) and not torch.equal(first[0], changed)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r'has 3 names, decode_head\.num_classes is 4'):
        tiny(names=NAMES[:3], head=dict(num_classes=4))
    with pytest.raises(ValueError, match='out_indices must be four of the 4 blocks'):
        tiny(out_indices=(0, 1, 2, 4))
    with pytest.raises(ValueError, match=r'CLIPPyramid\.patch must be one of 8, 14, 16'):
        MODELS.build(dict(type='mmwsss.CLIPPyramid', channels=8, patch=4))


# ---- losses ----


def test_seeds_weigh_background_and_foreground_alike():
    prob = torch.full((1, 3, 1, 4), 0.2)
    prob[:, 0] = 0.6
    label = torch.tensor([[[0, 0, 0, 1]]])
    cues = label_cues(label, 3, (1, 4))
    expected = -torch.tensor(0.6).log() - torch.tensor(0.2).log()
    assert seeding_loss(prob, cues) == pytest.approx(expected.item(), rel=1e-6)
    unknown = label_cues(torch.full((1, 1, 4), 255), 3, (1, 4))
    assert seeding_loss(prob, unknown) == 0


def test_no_gradient_beyond_the_clip():
    prob = torch.tensor([0.5, 0.001, 0.499]).view(1, 3, 1, 1).requires_grad_()
    target = torch.tensor([0.9, 0.099, 0.001]).view(1, 3, 1, 1)
    boundary_loss(prob, target).backward()  # ratios 1.8, 99, 0.002
    assert (prob.grad.flatten() != 0).tolist() == [True, False, False]
    assert prob.grad[0, 0].item() == pytest.approx(-0.9 / 0.5, rel=1e-6)


def test_the_target_is_a_distribution_that_follows_colours():
    image = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    image[:, :, 4:] = 250
    prob = torch.full((1, 2, 8, 8), 0.5)
    prob[:, 0, :, 4:], prob[:, 1, :, 4:] = 0.9, 0.1
    prob[:, 0, :, :4], prob[:, 1, :, :4] = 0.2, 0.8
    prob[:, :, 3, 1] = torch.tensor([0.6, 0.4])[None]  # outvoted by its neighbours
    target = crf_target(prob, image)
    assert torch.allclose(target.sum(1), torch.ones(1, 8, 8))
    assert (target.argmax(1)[0, :, :4] == 1).all() and (target.argmax(1)[0, :, 4:] == 0).all()


def test_pixels_of_the_grid_are_corners_to_corners():
    pixels = smooth_pixels(9, 9)[None].float()
    small = grid_images((pixels - MEAN) / STD, MEAN, STD, (3, 3))
    exact = pixels[0, :, ::4, ::4].permute(1, 2, 0)
    assert (small[0].float() - exact).abs().max() <= 1


def test_a_cut_spreads_a_seed_over_neighbours_that_are_probable():
    """Two groups of alike pixels; the seed of one group's first pixel takes the whole group."""
    features = torch.zeros(1, 1, 1, 8)
    features[..., 4:] = 10
    cues = torch.zeros(1, 2, 1, 8)
    cues[0, 1, 0, 0], cues[0, 0, 0, 7] = 1, 1
    prob = torch.full((1, 2, 1, 8), 0.2)
    prob[0, 1, 0, :6] = 0.8
    grown = cut_seeds(prob, cues, knn_graph(features, k=4))[0, 1, 0]
    assert grown.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


# ---- views ----


@pytest.mark.parametrize('scale', [0.5, 0.75, 1.0, 1.25, 1.5, 1.75])
@pytest.mark.parametrize('size', [(375, 500), (500, 333), (281, 500), (96, 2000)])
def test_views_are_those_of_mmcv(scale, size):
    """The six views of the published test: sizes exactly, pixels up to a level."""
    image = smooth_pixels(*size)
    fit = (int(2048 * scale), int(512 * scale))
    official = mmcv.imrescale(image.permute(1, 2, 0).numpy(), fit)
    own = keep_ratio_size(size, (2048 * scale, 512 * scale))
    assert own == official.shape[:2]
    view = resize_pixels((image[None] - MEAN) / STD, own, MEAN, STD)
    pixels = (view * STD + MEAN).round()[0].permute(1, 2, 0).numpy()
    assert np.abs(pixels - official).max() <= 1


def test_windows_cover_the_image_and_end_within():
    assert window_starts(512, 512, 341) == [0]
    assert window_starts(683, 512, 341) == [0, 171]
    assert window_starts(300, 512, 341) == [0]
    assert window_starts(1195, 512, 341) == [0, 341, 682, 683]


def test_batched_windows_are_those_of_one_at_a_time():
    model, (inputs, _) = tiny(drop_path=0.0).eval(), batch(2, 80)
    with torch.no_grad():
        one = slide(model.encode_decode, inputs, (64, 64), (43, 43), batch=1)
        many = slide(model.encode_decode, inputs, (64, 64), (43, 43), batch=16)
    assert torch.allclose(one, many, atol=1e-5)


def test_the_crf_decides_among_classes_that_win_somewhere():
    model, (inputs, _) = (
        tiny(test_cfg=dict(merge='prob_mean', crf=dict(preset='weakclip'))),
        batch(1),
    )
    prob = torch.full((1, 4, 64, 64), 0.1)
    prob[:, 0] = 0.6
    prob[:, 2, :, 30:], prob[:, 0, :, 30:] = 0.7, 0.1
    refined = model.refine_scores(inputs, prob, True)
    assert not refined[:, [1, 3]].any()
    assert torch.allclose(refined[:, [0, 2]].sum(1), torch.ones(1, 64, 64), atol=1e-4)
    assert present_classes(prob[0]).tolist() == [0, 2]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(crop=64), 'crop and test_cfg.stride belong together'),
        (dict(crop=64, stride=65), 'leaves gaps'),
        (dict(fit=512), 'must be two sides'),
        (dict(strides=3), "did you mean 'stride'"),
    ],
)
def test_wrong_windows_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        tiny(test_cfg=wrong)


# ---- configs ----


@pytest.fixture(scope='module')
def method(tmp_path_factory):
    return load_method(
        'configs/segmentation/weakclip_mini-full.py', tmp_path_factory.mktemp('contract')
    )


@pytest.mark.parametrize(
    'check', [c for c in CHECKS if 'maps' not in c.__name__], ids=lambda check: check.__name__
)
def test_contract(method, check):
    """All promises but those about maps, which it does not make."""
    check(method)


@pytest.mark.parametrize(('data', 'rate'), [('voc', 1e-3), ('coco', 1.5e-3)])
def test_groups_of_the_retraining(data, rate):
    """Only convolutions learn; the first one rests; biases do not decay."""
    init_default_scope('mmseg')
    config = Config.fromfile(f'configs/segmentation/deeplabv1_resnet38_weakclip_{data}.py')
    with torch.device('meta'):
        model = MODELS.build(config.model)
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    assert [g['lr'] for g in groups] == pytest.approx([rate, 2 * rate, 10 * rate, 20 * rate])
    assert [g['weight_decay'] for g in groups] == [5e-4, 0, 5e-4, 0]
    assert [len(g['params']) for g in groups] == [42, 0, 3, 1]
    assert not model.backbone.conv1a.weight.requires_grad
