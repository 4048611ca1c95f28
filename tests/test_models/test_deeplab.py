import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.converters.deeplab import convert_deeplab
from mmwsss.ops.dense_crf import dense_crf
from mmwsss.ops.pixels import crf_image
from mmwsss.registry import MODELS

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / 'tests/golden/deeplab_retrain'
BASES = ROOT / 'configs/_base_'


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def small_model(msc_scales=(), align_corners=False, **test_cfg):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmwsss.DeepLab',
            msc_scales=msc_scales,
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=[110.0, 115.0, 120.0],
                std=[60.0, 58.0, 56.0],
                bgr_to_rgb=True,
                size=(48, 48),
            ),
            backbone=dict(
                type='mmwsss.CeilPoolResNet',
                depth=18,
                base_channels=4,
                stem_channels=4,
                strides=(1, 2, 1, 1),
                dilations=(1, 1, 2, 4),
                out_indices=(3,),
                norm_eval=True,
            ),
            decode_head=dict(
                type='mmwsss.SumASPPHead',
                in_channels=32,
                num_classes=3,
                dilations=(1, 2),
                align_corners=align_corners,
                loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
                init_cfg=dict(type='Normal', layer='Conv2d', std=0.5),
            ),
            test_cfg=test_cfg,
        )
    )


def initialised(**kwargs):
    model = small_model(**kwargs)
    model.init_weights()
    return model


def batch(height=48, width=48, labels=True):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=generator)
    samples = []
    for _ in images:
        sample = SegDataSample(metainfo=dict(ori_shape=(height, width), img_shape=(height, width)))
        if labels:
            label = torch.randint(0, 4, (1, height, width), generator=generator)
            sample.gt_sem_seg = PixelData(data=torch.where(label == 3, 255, label))
        samples.append(sample)
    return dict(inputs=list(images), data_samples=samples)


def prepared(model, training=False, **kwargs):
    return model.data_preprocessor(batch(**kwargs), training=training).values()


def test_large_fov_branches_are_summed():
    cfg = dict(type='mmwsss.LargeFOVHead', in_channels=6, channels=5, num_classes=3)
    both = MODELS.build(dict(cfg, dilations=(2, 4))).eval()
    feature = torch.randn(2, 6, 9, 11)
    total = 0
    for i, dilation in enumerate((2, 4)):
        one = MODELS.build(dict(cfg, dilations=(dilation,))).eval()
        branch = {
            k.replace(f'branches.{i}', 'branches.0'): v
            for k, v in both.state_dict().items()
            if k.startswith(f'branches.{i}.')
        }
        one.load_state_dict(branch, strict=True)
        total = total + one((feature,))
    torch.testing.assert_close(both((feature,)), total)
    assert not any('conv_seg' in key for key in both.state_dict())
    with pytest.raises(ValueError, match='dropout_type'):
        MODELS.build(dict(cfg, dropout_type='pixel'))


def test_dropout_of_values_and_of_maps():
    cfg = dict(type='mmwsss.LargeFOVHead', in_channels=4, channels=64, num_classes=3)
    for kind, whole_maps in (('channel', True), ('element', False)):
        head = MODELS.build(dict(cfg, dropout_ratios=(0.5, 0.0), dropout_type=kind)).train()
        fov = head.branches[0]['fov']
        torch.nn.init.constant_(fov[0].bias, 100.0)
        dropped = fov(torch.randn(1, 4, 6, 6)) == 0
        per_map = dropped.float().mean((2, 3))
        assert 0.2 < per_map.mean() < 0.8
        assert bool(((per_map == 0) | (per_map == 1)).all()) is whole_maps


def test_ceil_pooling_gives_the_size_of_caffe():
    model = small_model()
    plain = MODELS.build(dict(type='ResNet', depth=18, num_stages=1, strides=(1,), dilations=(1,),
                              out_indices=(0,)))  # fmt: skip
    x = torch.zeros(1, 3, 64, 80)  # 32 x 40 after the first convolution
    assert model.backbone(x)[0].shape[-2:] == (9, 11)
    assert plain(x)[0].shape[-2:] == (16, 20)


def test_msc_loss_is_the_sum_of_four_at_their_own_resolution():
    model = initialised(msc_scales=(0.5, 0.75)).train()
    inputs, samples = prepared(model, training=True)
    label = torch.stack([s.gt_sem_seg.data for s in samples])

    def logits(x):
        return model.decode_head(model.backbone(x))

    full = logits(inputs)
    outputs = [full] + [
        logits(F.interpolate(inputs, scale_factor=s, mode='bilinear')) for s in (0.5, 0.75)
    ]
    sizes = [o.shape[-2:] for o in outputs]
    assert len(set(sizes)) == 3
    up = [F.interpolate(o, size=full.shape[-2:], mode='bilinear') for o in outputs]
    outputs.append(torch.stack(up).amax(0))
    expected = []
    for output in outputs:
        rows, columns = (
            ((torch.arange(n) + 0.5) * 48 / n).long() for n in output.shape[-2:]
        )  # the centre of each cell
        target = label[:, 0, rows][:, :, columns]
        expected.append(F.cross_entropy(output, target, ignore_index=255))
    losses = model.loss(inputs, samples)
    ours = {k: v for k, v in losses.items() if 'loss' in k}
    assert list(ours) == [
        f'{n}.loss_ce' for n in ('decode', 'decode_x0.5', 'decode_x0.75', 'decode_max')
    ]
    torch.testing.assert_close(torch.stack(list(ours.values())), torch.stack(expected))
    torch.testing.assert_close(model(inputs, mode='tensor'), outputs[-1])


def test_single_scale_loss_is_at_full_resolution():
    model = initialised(align_corners=True).train()
    inputs, samples = prepared(model, training=True)
    label = torch.stack([s.gt_sem_seg.data for s in samples])[:, 0]
    logits = model(inputs, mode='tensor')
    up = F.interpolate(logits, size=(48, 48), mode='bilinear', align_corners=True)
    losses = model.loss(inputs, samples)
    expected = F.cross_entropy(up, label, ignore_index=255)
    torch.testing.assert_close(losses['decode.loss_ce'], expected)


@pytest.mark.parametrize('merge', ['logit_mean', 'logit_max', 'prob_mean', 'prob_max'])
def test_views_are_merged(merge):
    model = initialised(merge=merge, scales=(1.0, 0.5), flip=True).eval()
    inputs, samples = prepared(model, height=40, width=56, labels=False)
    with torch.no_grad():
        results = model.predict(inputs, samples)
        maps = []
        for scale in (1.0, 0.5):
            view = F.interpolate(inputs, scale_factor=scale, mode='bilinear')
            plain, mirrored = model(view, mode='tensor'), model(view.flip(-1), mode='tensor')
            for logits in (plain, mirrored.flip(-1)):
                up = F.interpolate(logits, size=(40, 56), mode='bilinear')
                maps.append(up.softmax(1) if merge.startswith('prob') else up)
    maps = torch.stack(maps)
    expected = maps.mean(0) if merge.endswith('mean') else maps.amax(0)
    ours = torch.stack([r.seg_logits.data for r in results])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    labels = torch.stack([r.pred_sem_seg.data[0] for r in results])
    assert (labels == expected.argmax(1)).float().mean() > 0.999
    assert len(labels.unique()) > 1


def test_upsampling_within_the_view_is_one_interpolation_more():
    model = initialised(scales=(0.5,), upsample_views=True, align_corners=True).eval()
    inputs, samples = prepared(model, height=40, width=56, labels=False)
    with torch.no_grad():
        ours = model.inference(inputs, [s.metainfo for s in samples])
        logits = model(F.interpolate(inputs, scale_factor=0.5, mode='bilinear'), mode='tensor')
    options = dict(mode='bilinear', align_corners=True)
    twice = F.interpolate(F.interpolate(logits, (20, 28), **options), (40, 56), **options)
    torch.testing.assert_close(ours, twice)
    assert (ours - F.interpolate(logits, (40, 56), **options)).abs().max() > 1e-3


def test_the_crf_may_decide_among_present_classes():
    """As WeakCLIP's retraining is tested: the softmax is over the logits of these alone."""
    crf = dict(iterations=2, bilateral_srgb=13.0)
    model = small_model(crf=crf, crf_classes='present')
    inputs, _ = prepared(model, height=40, width=56, labels=False)
    logits = torch.randn(len(inputs), 3, 40, 56)
    logits[:, 1] = logits[:, [0, 2]].amax(1) - 0.1  # near, but never the highest
    image = crf_image(inputs[0], model.data_preprocessor.mean, model.data_preprocessor.std)
    refined = model.refine_scores(inputs, logits, probabilities=False)
    assert not refined[:, 1].any()
    expected = dense_crf(image, logits[0, [0, 2]].softmax(0), **crf)
    torch.testing.assert_close(refined[0, [0, 2]], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r'test_cfg\.crf_classes must be one of all, present'):
        small_model(crf_classes='some')
    for name in ('voc', 'coco'):
        path = ROOT / f'configs/segmentation/deeplabv1_resnet38_weakclip_{name}.py'
        assert Config.fromfile(path).model.test_cfg.crf_classes == 'present'


@pytest.mark.parametrize('merge', ['logit_mean', 'prob_max'])
def test_crf_gets_probabilities_and_the_loaded_image(merge):
    crf = dict(iterations=2, bilateral_srgb=13.0)
    model = initialised(merge=merge, crf=crf).eval()
    data = batch(40, 56, labels=False)
    image = data['inputs'][0].flip(0).permute(1, 2, 0)  # RGB
    inputs, samples = prepared(model, height=40, width=56, labels=False)
    with torch.no_grad():
        result = model.predict(inputs, samples)[0]
        prob = F.interpolate(model(inputs, mode='tensor'), (40, 56), mode='bilinear').softmax(1)
    expected = dense_crf(image, prob[0], **crf)
    torch.testing.assert_close(result.seg_logits.data, expected, rtol=1e-4, atol=1e-5)
    model.test_cfg = dict(model.test_cfg, crf=dict(crf, image='wrapped'))
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    wrapped = crf_image(inputs[0], mean, std, 'wrapped')
    with torch.no_grad():
        result = model.predict(inputs, samples)[0]
    torch.testing.assert_close(
        result.seg_logits.data, dense_crf(wrapped, prob[0], **crf), rtol=1e-4, atol=1e-5
    )


def test_msc_with_an_auxiliary_head_is_refused():
    cfg = dict(type='mmwsss.SumASPPHead', in_channels=32, num_classes=3)
    backbone = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)
    with pytest.raises(ValueError, match='auxiliary_head'):
        MODELS.build(
            dict(
                type='mmwsss.DeepLab',
                msc_scales=(0.5,),
                backbone=backbone,
                decode_head=cfg,
                auxiliary_head=cfg,
            )
        )


def test_backbone_starts_from_the_converted_file(tmp_path):
    source = small_model().backbone.state_dict()
    path = tmp_path / 'init.pth'
    torch.save({f'backbone.{k}': torch.full_like(v, 3) for k, v in source.items()}, path)
    init_cfg = dict(type='mmwsss.StrictPretrained', checkpoint=str(path), prefix='backbone.')
    cfg = dict(type='mmwsss.CeilPoolResNet', depth=18, base_channels=4, stem_channels=4,
               strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), init_cfg=init_cfg)  # fmt: skip
    backbone = MODELS.build(cfg)
    backbone.init_weights()
    assert all((v == 3).all() for v in backbone.state_dict().values())
    torch.save({'backbone.conv1.weight': source['conv1.weight']}, path)
    with pytest.raises(ValueError, match=r'init\.pth .*no initialisation of CeilPoolResNet'):
        MODELS.build(cfg).init_weights()


@pytest.mark.parametrize(
    ('model', 'schedule', 'step', 'multiples'),
    [
        # lr multiple and decay of the official groups, in their order
        ('deeplabv1_resnet38', 'deeplabv1_20k', 'dlv1_rn38', [(1, 1), (2, 0), (10, 1), (20, 0)]),
        ('deeplabv2_r101', 'deeplabv2_20k', 'dlv2_r101', [(1, 1), (10, 1), (20, 0)]),
    ],
)
def test_parameter_groups_are_the_official_ones(model, schedule, step, multiples):
    groups = json.loads((GOLDEN / f'train_step_{step}.groups.json').read_text())
    with torch.device('meta'):
        network = MODELS.build(Config.fromfile(BASES / f'models/{model}.py').model)
    optim = Config.fromfile(BASES / f'schedules/{schedule}.py').optim_wrapper
    optimizer = build_optim_wrapper(network, optim).optimizer
    lr, decay = optim.optimizer.lr, optim.optimizer.weight_decay
    ours = {id(g['params'][0]): g for g in optimizer.param_groups}
    parameters = dict(network.named_parameters())
    manifest = json.loads((GOLDEN / f'net_{step}.manifest.json').read_text())
    names_of = {
        official: name for name, official in convert_deeplab({k: k for k in manifest}).items()
    }
    checked = 0
    for (lr_multiple, decay_multiple), names in zip(
        multiples, groups['group_names'].values(), strict=True
    ):
        for name in (names_of[official] for official in names):
            group = ours[id(parameters[name])]
            assert group['lr'] == pytest.approx(lr * lr_multiple)
            assert group['weight_decay'] == pytest.approx(decay * decay_multiple)
            assert parameters[name].requires_grad
            checked += 1
    outside = [names_of[official] for official in groups['in_no_group']]
    assert not any(parameters[name].requires_grad for name in outside)
    assert checked + len(outside) == len(parameters)


@pytest.mark.parametrize('name', ['deeplabv1_vgg16', 'deeplabv2_vgg16'])
def test_rates_of_vgg16(name):
    with torch.device('meta'):
        network = MODELS.build(Config.fromfile(BASES / f'models/{name}.py').model)
    optim = Config.fromfile(BASES / 'schedules/deeplabv2_20k.py').optim_wrapper
    optimizer = build_optim_wrapper(network, optim).optimizer
    names = {id(p): n for n, p in network.named_parameters()}
    for group in optimizer.param_groups:
        parameter = names[id(group['params'][0])]
        multiple = 1 if parameter.startswith('backbone') else 20 if 'bias' in parameter else 10
        assert group['lr'] == pytest.approx(optim.optimizer.lr * multiple), parameter
