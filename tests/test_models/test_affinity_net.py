import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample

from mmwsss.models.decode_heads.affinity_head import AffinityHead
from mmwsss.models.segmentors.affinity_net import AffinityNet
from mmwsss.ops.dense_crf import dense_crf, refine_labels
from mmwsss.ops.pixel_affinity import dense_affinity, pair_labels, transition_power
from mmwsss.ops.pseudo_label import add_background


def tiny_net(radius=3, **test_cfg) -> AffinityNet:
    torch.manual_seed(0)
    return AffinityNet(
        backbone=dict(
            type='mmwsss.ResNet38d', base_channels=2, out_indices=(1, 2, 3), dropout=(0, 0)
        ),
        decode_head=dict(
            type='mmwsss.AffinityHead',
            in_channels=(16, 32, 128),
            channels=(4, 6, 8),
            radius=radius,
        ),
        test_cfg=test_cfg,
        data_preprocessor=dict(
            type='mmseg.SegDataPreProcessor', mean=[100.0] * 3, std=[50.0] * 3, bgr_to_rgb=True
        ),
    )


def sample(labels=(), size=(44, 60), seed=0) -> SegDataSample:
    rng = torch.Generator().manual_seed(seed)
    found = SegDataSample(metainfo=dict(img_path='x.png', ori_shape=size, img_shape=size))
    cam = torch.rand(len(labels), *size, generator=rng)
    cam[..., size[1] // 2 :] *= 0.3
    found.seed_cam = BaseDataElement(cam=cam, labels=torch.tensor(labels, dtype=torch.int64))
    return found


def with_label(label: torch.Tensor) -> SegDataSample:
    return SegDataSample(gt_affinity_label=PixelData(data=label[None]))


@pytest.fixture
def model() -> AffinityNet:
    return tiny_net().eval()


def test_loss_is_that_of_the_pairs_and_reaches_the_backbone(model):
    inputs = torch.randn(2, 3, 48, 64)
    label = torch.randint(0, 3, (2, 6, 8))
    label[:, 0] = 255
    losses = model.train().loss(inputs, [with_label(one) for one in label])
    assert set(losses) == {'loss_affinity_bg', 'loss_affinity_fg', 'loss_affinity_neg'}
    sum(losses.values()).backward()
    grads = {k for k, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {'decode_head.f9.weight', 'decode_head.f8_3.weight', 'backbone.b7.conv_branch2b2.weight',
            'backbone.b3.conv_branch2a.weight'} <= grads  # fmt: skip
    assert not any(k.startswith(('backbone.conv1a', 'backbone.b2')) for k in grads)

    with torch.no_grad():
        affinity = model.eval()(inputs, mode='tensor')
        again = model.loss(inputs, [with_label(one) for one in label])
    background, foreground, negative = pair_labels(label, 3)
    for name, weight, pairs, values in (
        ('bg', 0.25, background, affinity),
        ('fg', 0.25, foreground, affinity),
        ('neg', 0.5, negative, 1 - affinity),
    ):
        expected = -weight * (values[pairs] + 1e-5).log().mean()
        torch.testing.assert_close(again[f'loss_affinity_{name}'], expected)


def test_training_reduces_the_loss():
    model = tiny_net().train()
    inputs = torch.zeros(1, 3, 48, 64)
    inputs[..., 32:] = 2
    label = torch.zeros(1, 6, 8, dtype=torch.long)
    label[..., 4:] = 1
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    values = []
    for _ in range(30):
        loss = sum(model.loss(inputs, [with_label(label[0])]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.8 * values[0]


@torch.no_grad()
def test_prediction_is_the_dense_walk_of_all_classes(model):
    """The official computation: 21 rows of scores, the dense matrix, argmax."""
    size, labels = (44, 60), (4, 11)
    inputs = torch.randn(1, 3, *size)
    data = sample(labels, size)
    got = model.predict(inputs, [data])[0].pred_sem_seg.data

    padded = torch.nn.functional.pad(inputs, (0, 4, 0, 4))
    dense = dense_affinity(model(padded, mode='tensor'), (6, 8), 3)[0].double()
    scores = torch.zeros(21, *size, dtype=torch.double)
    scores[[0, 5, 12]] = add_background(data.seed_cam.cam[None], 16)[0].double()
    pooled = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(scores, (0, 4, 0, 4))[None], 8)
    walked = pooled[0].flatten(1) @ transition_power(dense[None])[0]
    walked = torch.nn.functional.interpolate(
        walked.view(1, 21, 6, 8), scale_factor=8, mode='bilinear', align_corners=False
    )
    expected = walked[0].argmax(0)[: size[0], : size[1]]
    assert got.shape == (1, *size)
    assert (got[0] == expected).float().mean() > 0.999
    assert len(got.unique()) > 1


@torch.no_grad()
def test_images_of_a_batch_do_not_mix(model):
    inputs = torch.randn(3, 3, 44, 60)
    together = model.predict(inputs, [sample((1, 2, 7)), sample(()), sample((3,))])
    for i, labels in enumerate(((1, 2, 7), (), (3,))):
        alone = model.predict(inputs[i : i + 1], [sample(labels)])[0].pred_sem_seg.data
        assert (together[i].pred_sem_seg.data == alone).float().mean() > 0.999
        assert set(alone.unique().tolist()) <= {0, *(label + 1 for label in labels)}


@torch.no_grad()
def test_smaller_stored_maps_are_resized(model):
    inputs, data = torch.randn(1, 3, 44, 60), sample((2,), (11, 15))
    data.set_metainfo(dict(ori_shape=(44, 60)))
    assert model.predict(inputs, [data])[0].pred_sem_seg.data.shape == (1, 44, 60)


@torch.no_grad()
def test_crf_behind_the_walk_sees_the_image(model):
    params = dict(iterations=1, bilateral_sxy=20, bilateral_srgb=13, bilateral_compat=10)
    model.test_cfg = dict(alpha=1, logt=0, crf=params)
    pixels = torch.randint(0, 256, (1, 3, 44, 60))
    inputs = (pixels.float() - 100) / 50
    got = model.predict(inputs, [sample((4,))])[0].pred_sem_seg.data[0]
    walked = model.walk(inputs, add_background(sample((4,)).seed_cam.cam[None]))[0]
    image = pixels[0].permute(1, 2, 0).byte()
    expected = dense_crf(image, walked, **params).argmax(0) * 5
    assert torch.equal(got, expected)
    assert not torch.equal(got, walked.argmax(0) * 5)


@torch.no_grad()
def test_crf_of_the_decided_mask(model):
    """TransCAM: hard labels of all classes, on the cropped image."""
    crf = dict(preset='irn', bilateral_srgb=60)
    model.test_cfg = dict(alpha=1, logt=0, label_crf=dict(crf, gt_prob=0.6, num_labels=21))
    pixels = torch.randint(0, 256, (2, 3, 44, 60))
    inputs, samples = (pixels.float() - 100) / 50, [sample((4,)), sample((2, 7), seed=1)]
    found = model.predict(inputs, samples)
    for i, classes in enumerate(([0, 5], [0, 3, 8])):
        scores = add_background(samples[i].seed_cam.cam[None])
        decided = torch.tensor(classes)[model.walk(inputs[i : i + 1], scores)[0].argmax(0)]
        image = pixels[i].permute(1, 2, 0).byte()
        expected = refine_labels(image, decided, 0.6, num_labels=21, **crf)
        assert torch.equal(found[i].pred_sem_seg.data[0], expected)
        assert not torch.equal(decided, expected)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(label_crf=dict(num_labels=0)), r'label_crf\.num_labels must be a whole number'),
        (dict(label_crf=dict(gt_prob=1)), r'label_crf\.gt_prob must be'),
        (dict(label_crf=dict(preset='irm')), 'presets are'),
        (dict(label_crf='irn'), 'label_crf must be like dict'),
        (dict(label_crf={}, crf={}), 'remove one of them'),
    ],
)
def test_mistakes_in_the_crf_of_the_mask(model, settings, message):
    with pytest.raises(ValueError, match=message):
        model.test_cfg = settings


@torch.no_grad()
def test_constant_background(model):
    """Without a step of the walk, pixels pooled by 8 and compared with the constant."""
    model.test_cfg = dict(background=0.39, logt=0, beta=1000)
    inputs, data = torch.randn(1, 3, 48, 64), sample((6,), (48, 64))
    got = model.predict(inputs, [data])[0].pred_sem_seg.data[0]
    pooled = torch.nn.functional.avg_pool2d(data.seed_cam.cam[None], 8)
    score = torch.nn.functional.interpolate(pooled, scale_factor=8, mode='bilinear')[0, 0]
    assert torch.equal(got, (score > 0.39) * 7)
    assert 0.2 < (got == 7).float().mean() < 0.8


@torch.no_grad()
def test_maps_are_the_walked_ones_or_the_given_ones(model):
    inputs, data = torch.randn(1, 3, 44, 60), sample((2, 4))
    walked = model.walk(inputs, add_background(data.seed_cam.cam[None], 16))[0]
    found = model.predict(inputs, [data])[0]
    assert found.pred_cam.labels.tolist() == [2, 4]
    torch.testing.assert_close(found.pred_cam.cam, walked[1:])
    assert found.pred_cam.cam.min() >= 0 and found.pred_cam.cam.max() <= 1
    model.test_cfg = dict(maps='plain')
    found = model.predict(inputs, [data])[0]
    assert torch.equal(found.pred_cam.cam, data.seed_cam.cam)
    best = add_background(data.seed_cam.cam[None], 16)[0].argmax(0)
    assert torch.equal(found.pred_pseudo_mask.data[0], torch.tensor([0, 3, 5])[best])


@torch.no_grad()
def test_a_sweep_gives_the_masks_of_separate_walks(model, monkeypatch):
    inputs = torch.randn(2, 3, 44, 60)
    samples = [sample((2, 4)), sample((1,), seed=1)]
    samples[1].set_metainfo(dict(ori_shape=(66, 90)))
    forward, seen = model._forward, []
    monkeypatch.setattr(model, '_forward', lambda x: seen.append(x) or forward(x))
    model.test_cfg = dict(sweep=dict(alpha=[1, 4], background=[0.3], logt=[3, 0, 5]))
    walks = [found.pred_walks for found in model.predict(inputs, samples)]
    assert len(seen) == 1  # the network, and with it the walk
    settings = walks[0].settings
    backgrounds = (dict(alpha=1), dict(alpha=4), dict(background=0.3))
    assert settings == [dict(b, logt=logt) for logt in (3, 0, 5) for b in backgrounds]
    for i, setting in enumerate(settings):
        model.test_cfg = setting
        for swept, alone in zip(walks, model.predict(inputs, samples), strict=True):
            assert torch.equal(swept.labels[i], alone.pred_sem_seg.data[0].byte())
    assert len({walks[0].labels[i].numpy().tobytes() for i in range(9)}) > 6


@torch.no_grad()
def test_what_a_sweep_leaves_out_is_the_one_value(model):
    for given, expected in (
        (dict(alpha=3, sweep=dict(logt=[1, 2])), [dict(alpha=3, logt=t) for t in (1, 2)]),
        (dict(background=0.4, sweep=dict(logt=[1])), [dict(background=0.4, logt=1)]),
        (dict(logt=2, sweep=dict(alpha=[5])), [dict(alpha=5, logt=2)]),
    ):
        model.test_cfg = given
        (found,) = model.predict(torch.randn(1, 3, 44, 60), [sample((2,))])
        assert found.pred_walks.settings == expected


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(sweep=dict(lgot=[1])), "did you mean 'logt'"),
        (dict(sweep=dict(logt=3)), r'test_cfg\.sweep\.logt must be a list, got 3'),
        (dict(sweep=dict(alpha=[0])), r'test_cfg\.sweep\.alpha must be a number in \(0'),
        (dict(sweep=dict(background=[1.5])), r'sweep\.background must be a number in \[0, 1\]'),
        (dict(sweep=dict(logt=[1]), crf={}), 'needs crf=None'),
        (dict(logt=-1), r'test_cfg\.logt must be a whole number'),
    ],
)
def test_wrong_settings(wrong, message):
    with pytest.raises(ValueError, match=message):
        tiny_net(**wrong)


def test_missing_inputs_name_the_transforms(model):
    inputs, empty = torch.randn(1, 3, 48, 64), SegDataSample(metainfo=dict(img_path='a.jpg'))
    with pytest.raises(ValueError, match=r'a\.jpg comes without seed_cam: put mmwsss\.LoadCAM'):
        model.predict(inputs, [empty])
    with pytest.raises(ValueError, match='without gt_affinity_label'):
        model.loss(inputs, [empty])
    with pytest.raises(ValueError, match=r'label map is \(5, 8\), the features are \(6, 8\)'):
        model.loss(inputs, [with_label(torch.zeros(5, 8, dtype=torch.long))])


@torch.no_grad()
def test_small_images():
    inputs, data = torch.randn(1, 3, 44, 60), sample((2,))
    with pytest.raises(ValueError, match='shrink_radius'):
        tiny_net(radius=5).eval().predict(inputs, [data])
    model = tiny_net(radius=5).eval()
    model.decode_head.shrink_radius = True
    assert model.decode_head.radius_on((6, 8)) == 2
    assert model.decode_head.radius_on((11, 40)) == 5
    assert model.predict(inputs, [data])[0].pred_sem_seg.data.shape == (1, 44, 60)


def test_head_with_group_norm_has_the_official_parameters():
    head = AffinityHead((512, 512, 1024), num_groups=(8, 16, 32))
    shapes = {k: tuple(v.shape) for k, v in head.state_dict().items()}
    norms = {
        f'gn8_{level}.{leaf}': (width,)
        for level, width in ((3, 64), (4, 128), (5, 256))
        for leaf in ('weight', 'bias')
    }
    assert shapes == {
        'f8_3.weight': (64, 512, 1, 1),
        'f8_4.weight': (128, 512, 1, 1),
        'f8_5.weight': (256, 1024, 1, 1),
        'f9.weight': (448, 448, 1, 1),
        **norms,
    }
    bound = 4 * np.sqrt(6 / (2 * 448))
    assert 0.9 * bound < head.f9.weight.abs().max() <= bound


def test_head_needs_one_entry_per_level():
    with pytest.raises(ValueError, match='one entry per level'):
        AffinityHead(in_channels=(4, 4), channels=(2, 2, 2))
