"""PSA / AffinityNet (official code: jiwoon-ahn/psa)."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.converters.psa import convert_psa
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.dense_crf import DenseCRF, unary_from_scores
from mmwsss.ops.pixel_affinity import (
    PairLabels,
    dense_affinity,
    fuse_low_high,
    pair_affinity_loss,
    pair_indices,
    pair_labels,
    random_walk,
    transition_power,
)
from mmwsss.ops.pseudo_label import add_background, decide
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_sample, multi_hot

from ..affinity_net import bare_net, pairs_of, predicted_mask
from ..harness import agree, close, close_to_max, exact, marginals
from ..psa_classifier import ADAPTERS as CLASSIFIER
from ..psa_classifier import TOLERANCES as CLASSIFIER_TOLERANCES
from ..psa_classifier import _images, _norm, _schedule
from ..seeded_weights import seeded_state_dict

CONFIGS = Path(__file__).parents[3] / 'configs'
RADIUS = 5  # of the cases that do not say it
FILES = {
    ('resnet38', 'aff'): 'psa_voc_affinity',
    ('vgg16', 'aff'): 'psa_voc_affinity_vgg16',
    ('resnet38', 'cls'): 'psa_voc_cam',
}
PARTS = ('bg_pos', 'fg_pos', 'neg')


def index_pairs(case):
    out = {}
    for key in case.arrays:
        kind, radius, height, width = key.removeprefix('out_').split('_')
        found = pair_indices((int(height[1:]), int(width[1:])), int(radius[1:]))
        out[key] = found[('from', 'to').index(kind)]
    return out


def _label_parts(label, case):
    parts = pair_labels(label[None], int(case['param_radius']))
    return {f'out_{name}': part[0] for name, part in zip(PARTS, parts, strict=True)}


def affinity_labels(case):
    return _label_parts(case.tensor('in_label'), case)


def label_fusion(case):
    label = fuse_low_high(case.tensor('in_la'), case.tensor('in_ha'), int(case['param_pool']))
    return dict(out_label=label, **_label_parts(label, case))


def affinity_loss(case):
    labels = PairLabels(*(case.tensor(f'in_{name}').bool() for name in PARTS))
    out = {}
    for suffix in ('', '_nofg'):
        affinity = case.tensor(f'in_aff{suffix}').requires_grad_()
        if suffix:
            labels = labels._replace(foreground=torch.zeros_like(labels.foreground))
        losses = MODELS.build(dict(type='mmwsss.PairAffinityLoss'))(affinity, labels)
        total = sum(losses.values())
        total.backward()
        parts = pair_affinity_loss(affinity.detach(), labels)
        out.update(
            {f'out_{k}_loss{suffix}': v for k, v in zip(('bg', 'fg', 'neg'), parts, strict=True)}
        )
        out[f'out_loss{suffix}'] = total.detach()
        out[f'out_grad_aff{suffix}'] = affinity.grad
    return out


def random_walk_case(case):
    cam, matrix = case.tensor('in_cam'), case.tensor('in_aff')
    alpha, beta, logt = (float(case[f'param_{k}']) for k in ('alpha', 'beta', 'logt'))
    size, keys = tuple(case['param_size'].tolist()), case.tensor('param_keys').long()
    scores = add_background(cam[None], alpha)
    padded = torch.nn.functional.pad(scores, (0, -size[1] % 8, 0, -size[0] % 8))
    grid = (padded.shape[-2] // 8, padded.shape[-1] // 8)
    pairs = pairs_of(matrix, grid, RADIUS)
    pooled = torch.nn.functional.avg_pool2d(padded, 8)
    walked = random_walk(pooled, pairs, RADIUS, beta, int(logt))
    model = bare_net(pairs, RADIUS, dict(alpha=alpha, beta=beta, logt=int(logt)))
    return dict(
        out_trans=transition_power(matrix[None], beta, int(logt))[0],
        out_cam_vec=_all_classes(pooled, keys)[0].flatten(1),
        out_cam_rw_low=_all_classes(walked, keys),
        out_pred=predicted_mask(model, torch.zeros(3, *size), cam, keys),
    )


def _all_classes(scores, keys, num_classes=21):
    """``(1, 1 + K, h, w)`` at the places of 21 classes; absent ones are 0."""
    out = scores.new_zeros(1, num_classes, *scores.shape[-2:])
    out[:, torch.cat([torch.zeros(1, dtype=torch.long), keys + 1])] = scores
    return out


def msf_cam_merge(case):
    keys, size = case.tensor('param_keys').long(), tuple(case['param_size'].tolist())
    views = []
    for i in range(2 * len(case['param_scales'])):
        view = case.tensor(f'in_cam_{i}')[keys]
        views.append(view.flip(-1) if i % 2 else view)
    cam = merge_cams(views, size, 'psa')
    return dict(out_cam=cam, out_pred=_seed_mask(cam, keys, float(case['param_bg_thres'])))


def _seed_mask(cam, keys, threshold):
    scores = torch.cat([torch.full_like(cam[:1], threshold), cam])
    return decide(scores[None], keys[None])[0]


def crf_la_ha(case):
    image, cam = case.tensor('in_image'), case.tensor('in_cam')
    names = dict(
        gaussian_sxy='gauss_sxy',
        gaussian_compat='gauss_compat',
        bilateral_sxy='bil_sxy',
        bilateral_srgb='bil_srgb',
        bilateral_compat='bil_compat',
    )
    parameters = {ours: float(case[f'param_{theirs}']) for ours, theirs in names.items()}
    crf = DenseCRF(image, iterations=int(case['param_t']), **parameters)
    out = {}
    for kind in ('la', 'ha'):
        scores = add_background(cam[None], float(case[f'param_alpha_{kind}']))[0]
        out[f'out_unary_{kind}'] = unary = unary_from_scores(scores)
        out[f'out_crf_{kind}'] = crf(unary)
    return out


def _model(case, kind):
    """Config of a shipped network, and the network with the seeded weights."""
    base = 'vgg16' if 'vgg16' in case.path.stem else 'resnet38'
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / f'wsss/{FILES[base, kind]}.py')
    model = MODELS.build(cfg.model).eval()
    manifest = case.manifest(f'net_{base}_{kind}.manifest.json')
    weights = seeded_state_dict(manifest, int(case['param_weight_seed']))
    model.load_state_dict(convert_psa(weights), strict=True)
    return cfg, model


@torch.no_grad()
def net_aff(case):
    _, model = _model(case, 'aff')
    features = model.extract_feat(inputs := _images(model, case))
    affinity = model(inputs, mode='tensor')
    grid = tuple(features[0].shape[-2:])
    dense = dense_affinity(affinity[:1], grid, model.decode_head.radius)
    out = dict(out_aff=affinity, out_dense0=dense[0])
    taps = ('conv4', 'conv5', 'conv5fc' if 'vgg16' in case.path.stem else 'conv6')
    for tap, feature in zip(taps, features, strict=True):
        out[f'out_{tap}_mean'], out[f'out_{tap}_first4'] = feature.mean(1), feature[:, :4]
    return out


def train_step_aff(case):
    """Three steps of the shipped loss, optimizer and schedule with the numbers of the case."""
    cfg, model = _model(case, 'aff')
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0.0
    cfg.optim_wrapper.optimizer.update(
        lr=float(case['param_lr']),
        weight_decay=float(case['param_weight_decay']),
        momentum=float(case['param_sgd_momentum']),
    )
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    scheduler = _schedule(cfg, optim, int(case['param_max_step']))
    _check_groups(case, model, optim)

    keys = convert_psa({str(k): None for k in case['param_keys']})
    parameters = [model.get_parameter(k) for k in keys]
    before = [p.detach().clone() for p in parameters]
    inputs, samples = _images(model, case), []
    for label in case.tensor('in_label').long():
        samples.append(SegDataSample(gt_affinity_label=PixelData(data=label[None])))
    losses, norms = [], []
    for step in range(len(case['out_losses'])):
        parts = model.loss(inputs, samples)
        total = sum(parts.values())
        weights = dict(bg=4, fg=4, neg=2)
        parts = {k: w * parts[f'loss_affinity_{k}'] for k, w in weights.items()}
        losses.append([value.item() for value in (total, *parts.values())])
        optim.zero_grad()
        optim.backward(total)
        if step == 0:
            norms = [_norm(p.grad) for p in parameters]
        optim.step()
        scheduler.step()
    deltas = [(p.detach() - b).norm().item() for p, b in zip(parameters, before, strict=True)]
    return dict(
        out_losses=np.array(losses),
        out_grad_norm=np.array(norms),
        out_delta_norm_after3=np.array(deltas),
    )


def _check_groups(case, model, optim):
    """Rates and decays of the members of the official parameter groups, and that they are all."""
    expected = case.manifest(f'{case.path.stem}.groups.json')
    lr, decay = float(case['param_lr']), float(case['param_weight_decay'])
    found = {p: group for group in optim.optimizer.param_groups for p in group['params']}
    multipliers = {'0': (1, 1), '1': (2, 0), '2': (10, 1), '3': (20, 0)}
    members = set()
    for index, names in expected['group_names'].items():
        for name in convert_psa(dict.fromkeys(names)):
            group = found[model.get_parameter(name)]
            ratios = group['lr'] / lr, group['weight_decay'] / decay
            assert np.allclose(ratios, multipliers[index]), (name, ratios)
            members.add(name)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == members
    assert not expected['trainable_but_in_no_group']


@torch.no_grad()
def pipeline(case):
    """Both shipped networks on the images of the case, the CRF in between."""
    (_, classifier), (_, net) = (_model(case, kind) for kind in ('cls', 'aff'))
    walk = {k: float(case[f'param_{k}']) for k in ('alpha', 'beta')}
    net.test_cfg = dict(net.test_cfg, **walk, logt=int(case['param_logt']))
    out = {}
    for i in range(sum(key.startswith('in_image') for key in case.arrays)):
        image, keys = case.tensor(f'in_image{i}'), case.tensor(f'param_keys{i}').long()
        (hot,) = multi_hot(keys.tolist(), num_classes=classifier.decode_head.num_classes)
        sample = labelled_sample(hot, ori_shape=tuple(image.shape[:2]))
        data = dict(inputs=[image.flip(-1).permute(2, 0, 1)], data_samples=[sample])
        data = classifier.data_preprocessor(data, False)
        sample = classifier(**data, mode='predict')[0]
        cam = sample.pred_cam.cam
        out[f'out_cam{i}'] = cam
        out[f'out_cam_pred{i}'] = sample.pred_sem_seg.data[0]
        crf = DenseCRF(image, preset='psa')
        for kind, name in (('low', 'la'), ('high', 'ha')):
            scores = add_background(cam[None], float(case[f'param_{kind}_alpha']))[0]
            out[f'out_{name}{i}'] = crf(unary_from_scores(scores))
        out[f'out_rw_pred{i}'] = predicted_mask(net, data['inputs'][0], cam, keys)
    return out


ADAPTERS = dict(
    index_pairs=index_pairs,
    affinity_labels=affinity_labels,
    label_fusion=label_fusion,
    affinity_loss=affinity_loss,
    random_walk=random_walk_case,
    msf_cam_merge=msf_cam_merge,
    crf_la_ha=crf_la_ha,
    pipeline_rn38=pipeline,
    net_resnet38_aff=net_aff,
    net_vgg16_aff=net_aff,
    train_step_resnet38_aff=train_step_aff,
    train_step_vgg16_aff=train_step_aff,
    **CLASSIFIER,
)

TOLERANCES = {
    **CLASSIFIER_TOLERANCES,
    'index_pairs/*': exact,
    'affinity_labels/*': exact,
    'label_fusion/*': exact,
    'affinity_loss/*': close(1e-5),
    'random_walk/out_pred': agree(0.999),
    'random_walk/*': close(1e-5),
    'msf_cam_merge/out_pred': agree(0.999),
    'msf_cam_merge/*': close(1e-5),
    'crf_la_ha/out_crf*': marginals(1e-4),
    'crf_la_ha/*': close(1e-4),
    'pipeline_rn38/out_*_pred*': agree(0.99),
    'pipeline_rn38/*': close(1e-3),
    'net_*_aff/*': close_to_max(1e-4),
    'train_step_*_aff/out_losses': close(rtol=1e-4),
    'train_step_*_aff/*': close(rtol=1e-3),
}
