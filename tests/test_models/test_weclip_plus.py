import pytest
import torch
from mmengine.logging import MessageHub
from torch.nn import functional as F

from mmwsss.models import WeCLIPPlus
from mmwsss.models.backbones.clip_vit import CLIPRequest
from mmwsss.ops.losses import dice_loss, relabel_confident
from mmwsss.testing import labelled_samples, tiny_clip_state

from .conftest import CLASSES, tiny_dino_state


def tiny_plus(**changes) -> WeCLIPPlus:
    config = dict(
        backbone=dict(type='mmwsss.FrozenCLIP', checkpoint=tiny_clip_state(), quick_gelu=True),
        dino=dict(type='mmwsss.FrozenDINOv2', checkpoint=tiny_dino_state()),
        decode_head=dict(
            type='mmwsss.WeCLIPPlusHead',
            in_channels=64,
            dino_channels=64,
            num_classes=4,
            channels=16,
            num_blocks=1,
            num_heads=2,
        ),
        text=dict(type='mmwsss.TextBank', class_names=CLASSES, background_names=['grass', 'sky']),
        refiner=dict(
            type='mmwsss.CLIPAffinityRefiner',
            static_last=None,
            gated_last=2,
            box_threshold=None,
            gated_start=None,
        ),
        par=dict(type='mmwsss.PAR', dilations=(1, 2), iterations=3),
        relabel_start=5,
    )
    return WeCLIPPlus(**{**config, **changes})


@pytest.fixture
def model():
    torch.manual_seed(0)
    return tiny_plus()


def test_a_step_trains_the_decoder_only(model, images):
    losses = model.train().loss(images, labelled_samples((0,), (1, 2), ()))
    sum(losses.values()).backward()
    assert set(losses) == {'loss_seg', 'loss_dice', 'loss_consistency', 'loss_affinity'}
    assert all(torch.isfinite(v) for v in losses.values())
    trained = {k for k, p in model.named_parameters() if p.grad is not None}
    assert trained == {k for k, _ in model.named_parameters() if k.startswith('decode_head.')}
    assert not model.dino.vit.training


def test_branches_are_fused_on_their_own_grids(model):
    """40 x 56 pixels: 5 x 7 patches of CLIP, 5 x 8 of DINO, which come to CLIP's last."""
    image = torch.randn(1, 3, 40, 56)
    model.eval()
    features = model.backbone.encode(image)
    tokens, grid = model.dino.encode(image)
    assert features.grid == (5, 7) and grid == (5, 8)
    head = model.decode_head
    patches = head.dino_layer(tokens[:, 1:]).transpose(1, 2).unflatten(2, grid)
    patches = F.interpolate(head.dino_fusion(patches), size=(5, 7), mode='bilinear')
    clip, dino, affinity = model.branches(image, features)
    torch.testing.assert_close(dino, head.decode(patches))
    both = torch.cat([head.fuse([features.tokens[-1]], (5, 7)), patches], 1).flatten(2)
    torch.testing.assert_close(affinity, (both.transpose(1, 2) @ both).sigmoid())
    torch.testing.assert_close(model.encode_decode(image), 0.5 * (clip + dino))
    for branch, expected in (('clip', clip), ('dino', dino)):
        model.test_cfg = dict(branch=branch)
        assert torch.equal(model.encode_decode(image), expected)


def test_maps_are_weighted_by_what_the_network_thinks(model, images):
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 1]])
    features = model.eval().backbone.encode(images, CLIPRequest(attn=2))
    clip, dino, affinity = model.branches(images, features)
    sure = torch.full_like(clip, -20.0)
    sure[:, 0] = 20  # background everywhere
    _, none = model.make_cams(features, sure, sure, affinity, labels)
    _, some = model.make_cams(features, clip, dino, affinity, labels)
    assert none.maps.max() < 1e-6 < some.maps.max()


def test_relabelling_begins_when_it_should(model, images, monkeypatch):
    hub = MessageHub.get_instance('plus')
    monkeypatch.setattr(MessageHub, 'get_current_instance', lambda: hub)
    seen, losses = [], model.decode_head.losses
    monkeypatch.setattr(
        model.decode_head, 'losses', lambda *args: seen.append(args[-1]) or losses(*args)
    )
    for iteration in (4, 5):
        hub.update_info('iter', iteration)
        model.loss(images, labelled_samples((0,), (1,), (2,)))
    assert seen == [False, True]


def test_affinity_targets_are_not_relabelled(model):
    """What the network is sure of changes the segmentation's label alone."""
    torch.manual_seed(0)
    logits = 20 * torch.randn(2, 4, 5, 7)
    affinity = torch.rand(2, 35, 35)
    label = torch.randint(0, 4, (2, 40, 56))
    before, after = (
        model.decode_head.losses(logits, logits, affinity, label, relabel)
        for relabel in (False, True)
    )
    assert before['loss_affinity'] == after['loss_affinity']
    assert after['loss_seg'] < before['loss_seg'] and after['loss_dice'] < before['loss_dice']


def test_relabel_and_dice_by_hand():
    logits = torch.tensor([[[[4.0, 0.5]], [[0.0, 0.0]]]])
    label = torch.tensor([[[1, 255]]])
    assert relabel_confident(logits, label).tolist() == [[[0, 255]]]
    p = logits.softmax(1)[0, :, 0]
    score = [0 / p[0].sum(), 2 * p[1, 0] / (p[1].sum() + 1)]
    torch.testing.assert_close(dice_loss(logits, label), 1 - sum(score) / 2)


def test_prediction_of_a_picture_that_is_not_square(model):
    model.eval().test_cfg = dict(predict='cam', long_side=61)
    (sample,) = model.predict(torch.randn(1, 3, 37, 50), labelled_samples((0, 2), size=(37, 50)))
    assert sample.pred_cam.cam.shape == (2, 37, 50)
    assert set(sample.pred_pseudo_mask.data.unique().tolist()) <= {0, 1, 3}
    model.test_cfg = dict(long_side=61, scales=(1.0, 1.5), flip=True)
    (sample,) = model.predict(torch.randn(1, 3, 37, 50), labelled_samples((0,), size=(37, 50)))
    assert sample.seg_logits.data.shape == (4, 37, 50)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(test_cfg=dict(branch='both')), r'test_cfg\.branch must be one of mix, clip, dino'),
        (dict(cam_source=-4), r'cam_source must be .* \[-3, -1\]'),
        (dict(dino=dict(type='mmwsss.FrozenDINOv2', checkpoint='none.pth')), r'none\.pth'),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tiny_plus(**changes)


def test_dino_of_another_width(model):
    head = dict(
        type='mmwsss.WeCLIPPlusHead',
        in_channels=64,
        dino_channels=32,
        num_classes=4,
        channels=16,
        num_heads=2,
    )
    with pytest.raises(ValueError, match=r'dino_channels is 32, but .* dino\.checkpoint is 64'):
        tiny_plus(decode_head=head)


def test_checkpoints_leave_both_towers_out(model):
    state = model.state_dict()
    assert not any('visual' in key or 'vit' in key for key in state)
    other = tiny_plus()
    other.load_state_dict(state)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(other.eval().encode_decode(x), model.eval().encode_decode(x))
