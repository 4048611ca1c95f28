"""1-Stage (official code: visinf/1-stage-wseg)."""

import re
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmwsss.converters.one_stage import convert_one_stage
from mmwsss.models.decode_heads.one_stage_head import OneStageHead
from mmwsss.models.layers import FixedNormASPP, GlobalCueInjection
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.losses.class_balanced import class_balanced_cross_entropy
from mmwsss.ops.losses.ngwp import focal_mask_penalty, labelled_mask_size, ngwp_scores
from mmwsss.ops.multi_view.canvas import canvas_views, merge_canvas_views
from mmwsss.ops.pseudo_label.relative import relative_label
from mmwsss.ops.resize import upsample
from mmwsss.ops.stochastic_gate import mean_gate, stochastic_gate
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_sample

from ..harness import agree, close, exact, unpack_present
from ..one_stage_data import ADAPTERS as DATA
from ..one_stage_data import TOLERANCES as DATA_TOLERANCES
from ..one_stage_data import check_groups

CONFIGS = Path(__file__).parents[3] / 'configs/wsss'
FILES = {
    ('resnet38', 'ae'): 'one_stage_voc',
    ('resnet50', 'ae'): 'one_stage_voc_r50',
    ('resnet101', 'ae'): 'one_stage_voc_r101',
    ('vgg16', 'ae'): 'one_stage_voc_vgg16',
    ('resnet38', 'bsl'): 'one_stage_baseline_voc',
    ('resnet50', 'bsl'): 'one_stage_baseline_voc_r50',
    ('resnet101', 'bsl'): 'one_stage_baseline_voc_r101',
    ('vgg16', 'bsl'): 'one_stage_baseline_voc_vgg16',
}
ASPP_DILATIONS = {8: (12, 24, 36), 16: (6, 12, 18)}


def pamr(case, resize='masks'):
    refine = MODELS.build(
        dict(
            type='mmwsss.PAMR',
            dilations=case['param_dilations'].tolist(),
            iterations=int(case['param_num_iter']),
            resize=resize,
        )
    )
    return dict(out_mask=refine(case.tensor('in_image'), case.tensor('in_mask')))


def run_pamr(case):
    return pamr(case, 'image')


def ngwp(case):
    raw = case.tensor('in_logits').requires_grad_()
    power, offset = float(case['param_focal_p']), float(case['param_focal_lambda'])
    head = OneStageHead((1, 1), raw.shape[1], 1, 1, focal_power=power, focal_offset=offset)
    logits = F.pad(raw, (0, 0, 0, 0, 1, 0), value=1.0)
    masks = logits.softmax(1)
    score = head.scores(logits, masks)
    loss = F.multilabel_soft_margin_loss(score, case.tensor('in_labels'))
    loss.backward()
    masks = masks.detach()
    size = [4 * side for side in raw.shape[-2:]]
    return dict(
        out_score=score.detach(),
        out_score_ngwp=ngwp_scores(raw.detach(), masks[:, 1:]),
        out_score_focal=focal_mask_penalty(masks[:, 1:], power, offset),
        out_mask_lowres_bg=masks[:, 0],
        out_mask_upsampled_first2_s2=upsample(masks[:, :2], size, True)[..., ::2, ::2],
        out_loss_cls=loss.detach(),
        out_grad_logits=raw.grad,
    )


def _load(module, weights, prefix):
    """Seeded weights of a part, whose official keys lack ``prefix``."""
    converted = convert_one_stage({f'{prefix}.{key}': value for key, value in weights.items()})
    state = {key.split('.', 2)[2]: value for key, value in converted.items()}
    module.load_state_dict(state, strict=True)
    return module


def _features(case, name):
    return case.tensor(name).float() * float(case['param_scale'])


@torch.no_grad()
def gci(case):
    shallow, deep = _features(case, 'in_shallow_i8'), _features(case, 'in_deep_i8')
    module = GlobalCueInjection(shallow.shape[1], deep.shape[1])
    _load(module, case.weights('gci.manifest.json'), 'shallow_mask')
    return dict(out_features=module.train(bool(case['param_train']))(shallow, deep))


@torch.no_grad()
def aspp(case):
    x, weights = _features(case, 'in_features_i8'), case.weights(f'{case.path.stem}.manifest.json')
    dilations = ASPP_DILATIONS[int(case['param_output_stride'])]
    module = FixedNormASPP(x.shape[1], len(weights['bn1.weight']), dilations)
    return dict(out_features=_load(module, weights, 'aspp').eval()(x))


def gate(case):
    deep, shallow = case.tensor('in_deep'), case.tensor('in_shallow')
    rate, keep = float(case['param_alpha']), case.tensor('in_keep_deep').bool()
    return dict(
        out_eval=mean_gate(deep, shallow, rate),
        out_train=stochastic_gate(deep, shallow, rate, keep),
    )


def pseudo_gt(case):
    masks, image_labels = case.tensor('in_mask'), case.tensor('in_labels')
    classes = torch.arange(image_labels.shape[1]).expand(len(masks), -1)
    low, top, background = (float(case[f'param_cutoff_{k}']) for k in ('low', 'top', 'bg'))
    label = relative_label(masks, classes, low, top, background)
    logits = case.tensor('in_logits').requires_grad_()
    loss = class_balanced_cross_entropy(logits, label, image_labels)
    loss.mean().backward()
    one_hot = F.one_hot(label.where(label != 255, masks.shape[1]), masks.shape[1] + 1)
    return dict(
        out_pseudo_gt=one_hot[..., :-1].permute(0, 3, 1, 2),
        out_loss_per_image=loss.detach(),
        out_grad_logits=logits.grad,
    )


def _network(case, mode):
    """The shipped model with the seeded weights of the official keys, and its config."""
    names = re.search('(resnet38|resnet50|resnet101|vgg16)(?:_(ae|bsl))?', case.path.stem).groups(
        'ae'
    )
    init_default_scope('mmseg')
    manifest = 'net_' + '_'.join(names)
    weights = case.weights(f'{manifest}.manifest.json')
    classifier = 'last_conv.8.weight' if 'ae' in names else 'fc8.weight'
    cfg = Config.fromfile(CONFIGS / f'{FILES[names]}.py')
    cfg.model.decode_head.num_classes = len(weights[classifier])
    model = MODELS.build(cfg.model).train(mode)
    if 'ae' in names:
        weights['last_conv.8.weight'] *= float(case['param_last_conv_scale'])
        weights['last_conv.8.bias'] += float(case['param_last_conv_bias_shift'])
    model.load_state_dict(convert_one_stage(weights), strict=True)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
    return model, cfg, f'{manifest}.param_groups.json'


def _inputs(model, images):
    """The data preprocessor takes BGR, as images are loaded."""
    images = [image.flip(0) for image in images]
    return model.data_preprocessor(dict(inputs=images), training=False)['inputs']


@torch.no_grad()
def net_eval(case):
    model, _, _ = _network(case, False)
    inputs, stride = _inputs(model, case.tensor('in_image_u8')), int(case['param_out_stride'])
    features = model.extract_feat(inputs)
    scores, masks = model.score_and_segment(inputs)
    return dict(
        out_scores=scores,
        out_masks=masks[:, :, ::stride, ::stride],
        out_feature_norms=torch.stack([features[-1].norm(), features[0].norm()]),
    )


def _samples(image_labels):
    return [labelled_sample(hot) for hot in image_labels]


def _keep_deep(case):
    shape = case['param_sg_keep_shape'].tolist()
    bits = np.unpackbits(case['in_sg_keep_deep'])[: np.prod(shape)]
    return torch.from_numpy(bits.reshape(shape)).bool()


def _group_norms(wrapper, gradients):
    """L2 norm of the tensors of each parameter group, by parameter."""
    return [
        torch.stack([gradients[p].square().sum() for p in group['params']]).sum().sqrt().item()
        if group['params']
        else 0.0
        for group in wrapper.optimizer.param_groups
    ]


def _gradients(wrapper, loss):
    parameters = [p for group in wrapper.optimizer.param_groups for p in group['params']]
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    zeros = (
        torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)
    )
    return dict(zip(parameters, zeros, strict=True))


def _step(model, wrapper, gradients, probes):
    """Gradients of the probes, and one step of the optimizer."""
    before = {p: p.detach().clone() for p in gradients}
    for parameter, gradient in gradients.items():
        parameter.grad = gradient
    wrapper.step()
    changes = {p: p.detach() - start for p, start in before.items()}
    probes = [model.get_parameter(name) for name in convert_one_stage(dict.fromkeys(probes))]
    return dict(
        out_grad_norm_named_total=[gradients[p].norm().item() for p in probes],
        out_update_norm_groups=_group_norms(wrapper, changes),
        out_param_after_probe=probes[0].detach().flatten()[:64],
    )


def net_train(case):
    model, cfg, groups = _network(case, True)
    wrapper = check_groups(case, groups, model, cfg, convert_one_stage)
    inputs, image_labels = _inputs(model, case.tensor('in_image_u8')), case.tensor('in_labels')
    model.decode_head.gate_rate = float(case['param_sg_psi'])
    model.mask_loss_start = 0
    seen = []
    model.decode_head.register_forward_hook(lambda module, args, output: seen.append(output))
    with patch(f'{OneStageHead.__module__}.draw_gate', return_value=_keep_deep(case)):
        losses = model.loss(inputs, _samples(image_labels))
    total = losses['loss_cls'] + losses['loss_mask']
    cls_only = _group_norms(wrapper, _gradients(wrapper, losses['loss_cls']))
    gradients = _gradients(wrapper, total)
    (logits,) = (output.detach() for output in seen)
    masks = logits.softmax(1)
    label = model.make_pseudo_label(inputs, masks, image_labels)
    refined, classes = model.refine_masks(inputs, masks, image_labels)
    kept = F.pad(image_labels, (1, 0), value=1)[:, :, None, None]
    stride = int(case['param_cam_stride'])
    state = {}
    for name in ('last_conv.1.running_mean', 'last_conv.1.running_var', 'aspp.bn1.running_mean'):
        (ours,) = convert_one_stage({name: None})
        state[name] = model.get_buffer(ours)
    return dict(
        out_logits=logits,
        out_scores=model.decode_head.scores(logits, masks),
        out_fg_stat=labelled_mask_size(masks[:, 1:], image_labels),
        out_mask_cam=(upsample(masks, inputs.shape[-2:], True) * kept)[:, :, ::stride, ::stride],
        out_mask_dec=unpack_present(refined, classes, image_labels.shape[1]),
        out_pseudo_label=label,
        out_loss_cls=losses['loss_cls'].detach(),
        out_loss_mask_per_image=class_balanced_cross_entropy(logits, label, image_labels),
        out_loss_total=total.detach(),
        out_grad_norm_groups_cls_only=cls_only,
        out_grad_norm_groups_total=_group_norms(wrapper, gradients),
        out_bn_running_mean_last_conv1_after=state['last_conv.1.running_mean'],
        out_bn_running_var_last_conv1_after=state['last_conv.1.running_var'],
        out_bn_running_mean_aspp_bn1_after=state['aspp.bn1.running_mean'][:8],
        **_step(model, wrapper, gradients, case.manifest(groups)['grad_probe']),
    )


def _baseline_masks(model, features, size):
    """The official masks of the baseline: PSA's scaling behind a resize with aligned corners."""
    maps = upsample(model.decode_head.scores(features), size, align_corners=True)
    masks = merge_cams([maps], size, 'psa', flip=False)
    return F.pad(masks, (0, 0, 0, 0, 1, 0), value=model.settings.background)


@torch.no_grad()
def baseline_eval(case):
    model, _, _ = _network(case, False)
    inputs, stride = _inputs(model, case.tensor('in_image_u8')), int(case['param_out_stride'])
    features = model.extract_feat(inputs)
    masks = _baseline_masks(model, features, inputs.shape[-2:])
    return dict(out_scores=model.decode_head(features), out_masks=masks[:, :, ::stride, ::stride])


def baseline_train(case):
    model, cfg, groups = _network(case, True)
    wrapper = check_groups(case, groups, model, cfg, convert_one_stage)
    inputs, image_labels = _inputs(model, case.tensor('in_image_u8')), case.tensor('in_labels')
    loss = model.loss(inputs, _samples(image_labels))['loss_cls']
    gradients = _gradients(wrapper, loss)
    with torch.no_grad():
        features = model.extract_feat(inputs)
        masks = _baseline_masks(model, features, inputs.shape[-2:])
        out = dict(
            out_scores=model.decode_head(features),
            out_logits=model.decode_head.scores(features),
            out_fg_stat=labelled_mask_size(masks[:, 1:], image_labels),
            out_mask_cam=masks * F.pad(image_labels, (1, 0), value=1)[:, :, None, None],
        )
    return dict(
        out,
        out_loss_cls=loss.detach(),
        out_grad_norm_groups_cls_only=_group_norms(wrapper, gradients),
        **_step(model, wrapper, gradients, case.manifest(groups)['grad_probe']),
    )


@torch.no_grad()
def inference(case):
    model, cfg, _ = _network(case, False)
    model.test_cfg = dict(
        cfg.model.test_cfg,
        scales=case['param_scales'].tolist(),
        flip=True,
        pad='fixed',
        canvas=tuple(case['param_pad_size'].tolist()),
        score_threshold=float(case['param_fp_cut_score']),
        background_power=float(case['param_bg_pow']),
    )
    inputs = _inputs(model, case.tensor('in_image_u8').permute(2, 0, 1)[None])
    plain = model.predict(inputs)[0]
    model.test_cfg = dict(model.test_cfg, crf=dict(preset='psa'))
    with_crf = model.predict(inputs)[0]
    probability = _scores_of_views(model, inputs).sigmoid()[0]
    return dict(
        out_sigmoid_max=probability,
        out_labels=probability > model.test_cfg['score_threshold'],
        out_merged=plain.seg_logits.data,
        out_pred=plain.pred_sem_seg.data[0],
        out_pred_crf=with_crf.pred_sem_seg.data[0],
    )


def _scores_of_views(model, inputs):
    cfg, norm = model.test_cfg, model.data_preprocessor
    views = canvas_views(inputs, cfg['scales'], True, norm.mean, norm.std, 'fixed', cfg['canvas'])
    return merge_canvas_views(model.score_and_segment, views, inputs.shape[-2:])[0]


EVALS = {'ae': net_eval, 'bsl': baseline_eval}
TRAININGS = {'ae': net_train, 'bsl': baseline_train}
ADAPTERS = {
    **DATA,
    'pamr': pamr,
    'run_pamr': run_pamr,
    'ngwp': ngwp,
    'gci': gci,
    'aspp': aspp,
    'stochastic_gate': gate,
    'pseudo_gt': pseudo_gt,
    **{f'net_{"_".join(names)}_eval': EVALS[names[1]] for names in FILES},
    **{f'net_{"_".join(names)}_train': TRAININGS[names[1]] for names in FILES},
    'inference': inference,
}

TOLERANCES = {
    **DATA_TOLERANCES,
    'pamr/*': close(1e-5),
    'run_pamr/*': close(1e-5),
    'ngwp/out_grad_logits': close(1e-6, 1e-4),
    'ngwp/*': close(1e-5),
    'gci/*': close(1e-4, 1e-4),
    'aspp/*': close(1e-4, 1e-4),
    'stochastic_gate/*': close(1e-5),
    'pseudo_gt/out_pseudo_gt': exact,
    'pseudo_gt/out_loss_per_image': close(1e-6, 1e-5),
    'pseudo_gt/out_grad_logits': close(1e-7, 1e-4),
    'net_*_eval/*': close(1e-4),
    'net_*_train/out_logits': close(1e-3),
    'net_*_train/out_loss*': close(1e-5),
    'net_*_train/out_pseudo_label': agree(0.999),
    'net_*_train/out_*_norm_*': close(rtol=2e-3),
    'net_*_train/*': close(1e-4),
    'inference/out_labels': exact,
    'inference/out_pred': agree(0.998),
    'inference/out_pred_crf': agree(0.99),
    'inference/*': close(1e-4),
}
