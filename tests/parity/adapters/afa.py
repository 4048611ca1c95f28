"""AFA (official code: rulixiang/afa)."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample

from mmwsss.converters.afa import convert_afa
from mmwsss.datasets.transforms.geometric import pad_crop, scale_pil
from mmwsss.models.losses import AffinityLoss, BalancedCrossEntropy
from mmwsss.models.refiners import PAR
from mmwsss.ops.affinity import affinity_label, radius_mask, random_walk_step
from mmwsss.ops.cam.multi_scale import multi_scale_cams
from mmwsss.ops.confusion import confusion_matrix, segmentation_scores
from mmwsss.ops.losses import affinity_loss
from mmwsss.ops.pairs import pack_present
from mmwsss.ops.pixels import truncated_pixels
from mmwsss.ops.pseudo_label import decide, inside_box, threshold_label
from mmwsss.ops.pseudo_label.two_threshold import (
    background_softmax,
    refine_at_half,
    refine_in_box,
    two_threshold_label,
)
from mmwsss.ops.schedules import poly_warmup_factor
from mmwsss.registry import MODELS

from ..afa_ops import ADAPTERS as OPS
from ..afa_ops import GIVEN as OPS_GIVEN
from ..afa_ops import TOLERANCES as OPS_TOLERANCES
from ..harness import agree, close, exact, unpack_present
from ..psa_classifier import _schedule
from ..seeded_weights import seeded_state_dict

CONFIGS = Path(__file__).parents[3] / 'configs'
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
NETWORKS = {
    'mit_b0': dict(embed_dims=32),
    'mit_b1': {},
    'mit_b2': dict(num_layers=(3, 4, 6, 3)),
    'mit_b3': dict(num_layers=(3, 4, 18, 3)),
    'mit_b4': dict(num_layers=(3, 8, 27, 3)),
    'mit_b5': dict(num_layers=(3, 6, 40, 3)),
}
GRADIENTS = (
    'encoder.patch_embed1.proj.weight',
    'encoder.block1.0.attn.kv.weight',
    'encoder.block3.1.mlp.dwconv.dwconv.weight',
    'encoder.block4.0.attn.q.weight',
    'encoder.block4.1.attn.kv.weight',
    'encoder.block4.1.attn.proj.weight',
    'encoder.block4.1.norm1.weight',
    'decoder.linear_c4.proj.weight',
    'decoder.linear_fuse.conv.weight',
    'decoder.linear_fuse.bn.weight',
    'decoder.linear_pred.weight',
    'attn_proj.weight',
    'attn_proj.bias',
    'classifier.weight',
)


def _config(case):
    init_default_scope('mmseg')
    script = str(case['param_script']) if 'param_script' in case else 'voc'
    return Config.fromfile(CONFIGS / f'wsss/afa_{script}.py')


def _model(case, **backbone):
    """The shipped model, with the encoder and the classes of the case, and its seeded weights."""
    cfg, network = _config(case).model, str(case['param_backbone'])
    classes = int(case['param_num_classes'])
    cfg.backbone.update(NETWORKS[network], **backbone)
    dims = [cfg.backbone.embed_dims * heads for heads in cfg.backbone.num_heads]
    cfg.cam_head.update(in_channels=dims[-1], num_classes=classes - 1)
    cfg.decode_head.update(in_channels=dims, num_classes=classes)
    cfg.affinity_head.in_channels = 2 * cfg.backbone.num_heads[-1]
    model = MODELS.build(cfg)
    model.load_state_dict(_weights(case), strict=True)
    return model


def _manifest(case):
    return case.manifest(
        f'manifest_{case["param_backbone"]}_{int(case["param_num_classes"])}cls.json'
    )


def _weights(case):
    official = seeded_state_dict(_manifest(case), int(case['param_weight_seed']))
    return convert_afa(official)


def _data(model, case):
    """What the data preprocessor makes of BGR images, as they are loaded."""
    samples = []
    for i, image in enumerate(case['in_image']):
        shape = image.shape[1:]
        sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape))
        if 'in_img_box' in case:
            sample.set_metainfo(dict(img_box=tuple(case['in_img_box'][i].tolist())))
        if 'in_cls_label' in case:
            sample.gt_image_labels = LabelData(label=case.tensor('in_cls_label')[i])
        samples.append(sample)
    images = [image.flip(0) for image in case.tensor('in_image')]
    return model.data_preprocessor(dict(inputs=images, data_samples=samples), False)


def _normalised(case):
    return (case.tensor('in_image').float() - MEAN) / STD


def _packed(case, key='in_cam'):
    return pack_present(case.tensor(key), case.tensor('in_cls_label'))


def cam_to_label(case):
    cams, classes = _packed(case)
    box, bkg = case.tensor('in_img_box').long(), float(case['param_bkg_score'])
    low, high = float(case['param_low_thre']), float(case['param_high_thre'])
    plain = threshold_label(cams, classes, bkg)
    return dict(
        out_label_no_box=plain,
        out_label_box=threshold_label(cams, classes, bkg, box=box),
        out_label_box_mid=threshold_label(cams, classes, low, high, box),
        out_ignore_img_box=plain.masked_fill(~inside_box(box, plain.shape[-2:]), 255),
    )


def multi_scale_cam(case):
    w_feat, w_cam = case.tensor('param_w_feat'), case.tensor('param_w_cam')
    scales, affinity = case['param_scales'].tolist(), {}

    def forward(batch, scale):
        features = F.conv2d(batch, w_feat, stride=16, padding=3)
        tokens = features.flatten(2)
        affinity[scale] = (tokens.transpose(1, 2) @ tokens / 8).sigmoid()
        return F.conv2d(features, w_cam)

    inputs = _normalised(case)
    every_class = torch.ones(len(inputs), len(w_cam))
    cams, _ = multi_scale_cams(forward, inputs, every_class, scales)
    return dict(out_cam=cams, out_aff_mat=affinity[max(scales)])


def refine_two_thresholds(case):
    inputs, box = _normalised(case), case.tensor('in_img_box').long()
    refine = PAR(case['param_dilations'].tolist(), int(case['param_num_iter']), resize='masks')
    image = truncated_pixels(inputs, MEAN, STD)
    cams, classes = _packed(case)
    half = [side // 2 for side in image.shape[-2:]]
    thresholds = float(case['param_high_thre']), float(case['param_low_thre'])
    scores = background_softmax(F.interpolate(cams, half, mode='bilinear'), classes, thresholds)
    with_background = case.tensor('in_score_with_bkg')
    foreground, _ = pack_present(with_background[:, 1:], case.tensor('in_cls_label'))
    packed = torch.cat([with_background[:, :1], foreground], dim=1)
    refined = refine_in_box(refine, image, packed, box)
    return dict(
        out_image_denorm_x255=image,
        out_label=two_threshold_label(refine_at_half(refine, image, scores), classes, box),
        out_refined=unpack_present(refined, classes, case['in_cam'].shape[1]),
        out_refined_label=decide(refined, classes),
    )


def affinity_label_case(case):
    *grid, radius = case['param_grid_radius'].tolist()
    label = case.tensor('in_label')
    return dict(
        out_mask=radius_mask(tuple(grid), radius),
        out_aff_label=affinity_label(label, tuple(grid), radius),
        out_aff_label_no_mask=affinity_label(label, tuple(grid), None),
    )


def mask_by_radius(case):
    rows = case['param_h_w_radius'].tolist()
    return {f'out_mask_{i}': radius_mask((h, w), radius) for i, (h, w, radius) in enumerate(rows)}


def aff_loss(case):
    affinity, label = case.tensor('in_pred').requires_grad_(), case.tensor('in_label').long()
    variants = {
        '': label,
        '_nopos': label.masked_fill(label == 1, 255),
        '_noneg': label.masked_fill(label == 0, 255),
        '_allign': torch.full_like(label, 255),
    }
    out = {}
    for suffix, target in variants.items():
        loss, positive, negative = affinity_loss(affinity, target)
        assert loss == AffinityLoss(1.0)(affinity, target)
        out[f'out_loss{suffix}'] = loss.detach()
        out[f'out_pos_count{suffix}'], out[f'out_neg_count{suffix}'] = positive, negative
    AffinityLoss(1.0)(affinity, label).backward()
    return dict(out, out_grad=affinity.grad)


def seg_loss(case):
    label = case.tensor('in_label').long()
    variants = {
        '': label,
        '_bgonly': label.masked_fill(label > 0, 255),
        '_fgonly': label.masked_fill(label == 0, 255),
        '_allign': torch.full_like(label, 255),
    }
    out = {}
    for suffix, target in variants.items():
        logits = case.tensor('in_logits').requires_grad_()
        loss = BalancedCrossEntropy()(logits, target)
        loss.backward()
        out[f'out_loss_safe{suffix}'] = loss.detach()
        out[f'out_grad_norm{suffix}'] = logits.grad.norm()
        official = BalancedCrossEntropy(official_nan=True)(logits, target)
        out[f'out_loss{suffix}'] = official.detach()
        out.setdefault('out_grad', logits.grad)
    return out


def propagate(case):
    radius = int(case['param_grid_radius'][-1])
    cams, classes = _packed(case)
    affinity = case.tensor('in_aff')[: len(cams)]
    num_classes = case['in_cam'].shape[1]
    scores = background_softmax(cams, classes, (float(case['param_bkg_score']),))
    plain = case.tensor('in_cam') * case.tensor('in_cls_label')[:, :, None, None]
    with_background = {
        name: unpack_present(random_walk_step(scores, affinity, limit), classes, num_classes)
        for name, limit in (('', radius), ('_no_mask', None))
    }
    return dict(
        out_prop=random_walk_step(plain, affinity, radius, eps=1e-4),
        out_prop_with_bkg=with_background[''],
        out_prop_with_bkg_no_mask=with_background['_no_mask'],
    )


def lr_curve(case):
    last = int(case['param_max_iter'])
    factors = [
        poly_warmup_factor(
            min(int(step), last - 1),
            last,
            int(case['param_warmup_iter']),
            float(case['param_warmup_ratio']),
            float(case['param_power']),
        )
        for step in case['in_iters']
    ]
    return dict(out_lr=np.outer(factors, case['param_base_lr']))


def optim_zero_grad_warmup(case):
    """The optimizer and the schedule of the shipped config."""
    cfg = _config(case)
    model = torch.nn.Module()
    model.parameter = torch.nn.Parameter(case.tensor('in_param').clone())
    cfg.optim_wrapper.optimizer.lr = float(case['param_lr'])
    cfg.param_scheduler[0].warmup_iters = int(case['param_warmup_iter'])
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    schedule = _schedule(cfg, optimizer, int(case['param_max_iter']))
    trajectory = []
    for gradient in case.tensor('in_grads'):
        model.parameter.grad = gradient.clone()
        optimizer.step()
        schedule.step()
        trajectory.append(model.parameter.detach().clone())
    return dict(out_trajectory=torch.stack(trajectory))


def augment(case):
    scaled = scale_pil(case['in_image'], float(case['param_scale']))
    image = scaled[:, ::-1] if case['param_flip_draw'] > 0.5 else scaled
    pad, start = ([int(case[f'param_{s}_{kind}']) for s in 'HW'] for kind in ('pad', 'start'))
    crop, box = pad_crop(image, (int(case['param_crop_size']),) * 2, pad, start, 0)
    # the official box ends where the crop or the image ends on the canvas, not in the crop
    shift = np.repeat(start, 2) * np.array([0, 1, 0, 1])
    official_box = np.array(box) + shift
    normalised = (torch.from_numpy(crop).permute(2, 0, 1) - MEAN) / STD
    return dict(
        out_scaled=scaled, out_cropped_raw=crop, out_image=normalised, out_img_box=official_box
    )


@torch.no_grad()
def wetr(case):
    model = _model(case).eval()
    model.backbone.num_attn_blocks = sum(_depths(case))  # the case has the logits of all blocks
    inputs = _data(model, case)['inputs']
    features, attn = model.backbone.forward_with_attn(inputs)
    out = dict(
        out_cls=model.cam_head(features),
        out_seg=model.decode_head(features),
        out_attn_pred=model.affinity_head(attn[-2:]),
        out_cam=model.cam_head.scores(features),
        out_x4_every4=features[3][:, ::4],
    )
    for i, feature in enumerate(features[:3], 1):
        out[f'out_x{i}_chan_mean'] = feature.mean((2, 3))
        out[f'out_x{i}_chan_std'] = feature.std((2, 3))
        out[f'out_x{i}_corner'] = feature[:, :8, :4, :4]
    return dict(out, **{f'out_attn_{k}': logits.dense() for k, logits in enumerate(attn)})


def _depths(case):
    return NETWORKS[str(case['param_backbone'])].get('num_layers', (2, 2, 2, 2))


def train_step(case):
    model = _model(case, norm_frozen=False).train()  # their gradients are compared, too
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0
    model.high, model.low = float(case['param_high_thre']), float(case['param_low_thre'])
    model.cam_scales = tuple(case['param_scales'].tolist())
    model.affinity_head.radius = int(case['param_radius'])
    model.par.iterations = int(case['param_par_iter'])
    for name, ((_, weight),) in model.loss_schedule.items():
        model.loss_schedule[name] = [(int(case['param_cam_iters']) + 1, weight)]
    data = _data(model, case)
    losses, norms = [], []
    for n_iter in case['param_n_iters'].tolist():
        MessageHub.get_current_instance().update_info('iter', n_iter)
        parts, statistics = _unweighted_losses(model, case, data)
        model.zero_grad()
        total = sum(v for k, v in model(**data, mode='loss').items() if k.startswith('loss'))
        total.backward()
        losses.append([*parts[:3], total.item(), *parts[3:]])
        norms.append(_gradient_norms(model, case))
    MessageHub.get_current_instance().update_info('iter', 0)
    return dict(
        _late_labels(model, case, data['inputs']),
        **statistics,
        out_losses=np.array(losses),
        out_grad_norms=np.array(norms),
    )


@torch.no_grad()
def _unweighted_losses(model, case, data):
    """Losses and numbers of pairs whatever the schedule; BN statistics as official ones."""
    schedule = model.loss_schedule
    model.load_state_dict(_weights(case))
    model.loss_schedule, model.bn_stats_from_cam_passes = {}, True
    raw = model(**data, mode='loss')
    norm = model.decode_head.fusion_conv.norm
    statistics = dict(
        out_bn_running_mean=norm.running_mean.clone(),
        out_bn_running_var=norm.running_var.clone(),
        out_bn_num_batches=norm.num_batches_tracked.clone(),
    )
    model.bn_stats_from_cam_passes = False
    box = case.tensor('in_img_box').long()
    _, label = model.make_labels(data['inputs'], case.tensor('in_cls_label'), box)
    features, attn = model.backbone.forward_with_attn(data['inputs'])
    target = affinity_label(label, features[-1].shape[-2:], model.affinity_head.radius)
    counts = affinity_loss(model.affinity_head(attn), target)[1:]
    model.loss_schedule = schedule
    parts = [raw[f'loss_{name}'].item() for name in ('cls', 'seg', 'affinity')]
    return [*parts, *(int(count) for count in counts)], statistics


def _gradient_norms(model, case):
    """Norms by official key: the converter shows where the entries of a key are in our model."""
    ours, norms = dict(model.named_parameters()), []
    zeros = {key: torch.zeros(shape) for key, shape in _manifest(case).items()}
    for key in GRADIENTS:
        places = convert_afa({**zeros, key: torch.ones_like(zeros[key])})
        parts = [ours[k].grad[m > 0] for k, m in places.items() if m.any()]
        norms.append(torch.cat(parts).norm().item())
    return norms


@torch.no_grad()
def _late_labels(model, case, inputs):
    image = model.pixels(inputs)
    image_labels, box = case.tensor('in_cls_label'), case.tensor('in_img_box').long()
    cams, classes, affinity = model.make_cams(inputs, image_labels, max(model.cam_scales))
    scores = model.propagate(cams, classes, affinity, (model.high, model.low))
    high, low = refine_in_box(model.par, image, scores, box).chunk(2, dim=1)
    cam_label = model.cam_label(image, cams, classes, box)
    refined_label = model.refined_label(image, cams, classes, affinity, box)
    features, attn = model.backbone.forward_with_attn(inputs)
    grid, radius = features[-1].shape[-2:], model.affinity_head.radius
    source = refined_label if model.affinity_from_refined else cam_label
    known = classes >= 0
    with_background = F.pad(known, (1, 0), value=True)
    stride4 = {
        f'out_aff_cam_{name}_present_stride4': part[with_background][:, ::4, ::4]
        for name, part in zip('hl', scores.chunk(2, dim=1), strict=True)
    }
    return dict(
        stride4,
        out_cams_present_stride4=cams[known][:, ::4, ::4],
        out_pseudo_label=threshold_label(cams, classes, model.low, model.high, box),
        out_refined_pseudo_label=cam_label,
        out_refined_aff_label=refined_label,
        out_refined_aff_label_h=decide(high, classes),
        out_refined_aff_label_l=decide(low, classes),
        out_aff_label=affinity_label(source, grid, radius),
        out_aff_label_before_switch=affinity_label(cam_label, grid, radius),
        out_cls=model.cam_head(features),
        out_attn_pred=model.affinity_head(attn),
    )


@torch.no_grad()
def val(case):
    model = _model(case).eval()
    model.cam_scales = tuple(case['param_scales'].tolist())
    model.affinity_head.radius, model.low = int(case['param_radius']), float(case['param_low_thre'])

    def predict(**test_cfg):
        model.test_cfg = test_cfg
        return model(**_data(model, case), mode='predict')

    plain = predict(predict='cam', maps='plain', background=float(case['param_bkg_score']))
    refined = predict(predict='cam', maps='refined')
    return dict(
        out_seg_pred=_masks(predict(predict='seg')),
        out_cam_label=_masks(plain),
        out_aff_label=_masks(refined),
        out_cam_valid=torch.stack([sample.pred_cam.cam for sample in plain]),
    )


def _masks(samples):
    return torch.cat([sample.pred_sem_seg.data for sample in samples])


@torch.no_grad()
def msc_flip(case):
    model = _model(case).eval()
    data = _data(model, case)
    for sample in data['data_samples']:
        sample.set_metainfo(dict(ori_shape=tuple(case['param_label_hw'].tolist())))
    out = {}
    single = dict(predict='seg', long_side=int(case['param_resize_long']))
    several = dict(single, scales=case['param_test_scales'].tolist(), flip=True)
    for prefix, cfg in (('', single), ('msc_', several)):
        model.test_cfg = cfg
        out[f'out_{prefix}segs'] = model.merged_logits(data['inputs'])
        out[f'out_{prefix}pred'] = _masks(model(**data, mode='predict'))[0]
    return out


def scores(case):
    classes = int(case['param_num_classes'])
    matrix = sum(
        confusion_matrix(pred, torch.where(gt < classes, gt, 255), classes, 255)
        for gt, pred in zip(case.tensor('in_gt'), case.tensor('in_pred'), strict=True)
    )
    found = segmentation_scores(matrix, 'gt_present')
    return dict(
        out_pAcc=found['pixel_acc'],
        out_mAcc=found['mean_acc'],
        out_miou=found['miou'],
        out_iou=found['iou'].nan_to_num(nan=0.0),
    )


ADAPTERS = dict(
    OPS,
    cam_to_label=cam_to_label,
    multi_scale_cam=multi_scale_cam,
    refine_two_thresholds=refine_two_thresholds,
    affinity_label=affinity_label_case,
    mask_by_radius=mask_by_radius,
    aff_loss=aff_loss,
    seg_loss=seg_loss,
    propagate=propagate,
    lr_curve=lr_curve,
    optim_zero_grad_warmup=optim_zero_grad_warmup,
    augment=augment,
    wetr=wetr,
    train_step=train_step,
    val=val,
    msc_flip=msc_flip,
    scores=scores,
)

GIVEN = dict(OPS_GIVEN)


def _losses(ours, golden):
    """Values within 1e-5, numbers of pairs within half a percent."""
    return close(1e-5)(ours[:, :4], golden[:, :4]) or close(rtol=5e-3)(ours[:, 4:], golden[:, 4:])


TOLERANCES = {
    **OPS_TOLERANCES,
    'cam_to_label/*': exact,
    'multi_scale_cam/*': close(5e-6),
    'refine_two_thresholds/out_refined': close(2e-6),
    'refine_two_thresholds/out_image*': exact,
    'refine_two_thresholds/*': agree(0.999),
    'affinity_label/*': exact,
    'mask_by_radius/*': exact,
    'aff_loss/out_loss*': close(rtol=1e-6),
    'aff_loss/out_grad': close(1e-8),
    'aff_loss/*': exact,
    'seg_loss/*': close(rtol=1e-5),
    'propagate/*': close(1e-6),
    'lr_curve/*': close(rtol=1e-9),
    'optim_zero_grad_warmup/*': close(1e-7),
    'augment/out_image': close(1e-6),
    'augment/*': exact,
    'wetr/out_attn_pred': close(2e-4),
    'wetr/out_attn_*': close(5e-4),
    'wetr/*': close(5e-5),
    'train_step/out_losses': _losses,
    'train_step/out_grad_norms': close(rtol=1e-3),
    'train_step/out_*label*': agree(0.999),
    'train_step/out_cams*': close(2e-5),
    'train_step/out_aff_cam*': close(2e-5),
    'train_step/out_cls': close(5e-5),
    'train_step/out_attn_pred': close(2e-4),
    'train_step/out_bn*': close(1e-5),
    'val/out_cam_valid': close(2e-5),
    'val/*': agree(0.999),
    'msc_flip/*segs': close(5e-5),
    'msc_flip/*': agree(0.999),
    'scores/*': close(rtol=1e-6),
}
