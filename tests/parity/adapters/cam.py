"""Class activation maps: merging, labels, seed evaluation, the Grad-CAM family, the network."""

from functools import partial

import torch
import torch.nn.functional as F
from mmseg.models.backbones import ResNet

from mmwsss.ops.cam import merge_cams
from mmwsss.ops.cam.gradcam_family import (
    METHODS,
    channel_weights,
    class_gradients,
    gradcam_maps,
    scale_maps,
    tokens_to_map,
)
from mmwsss.ops.confusion import segmentation_scores, sweep_matrices, threshold_histogram
from mmwsss.ops.dense_crf import DenseCRF, unary_from_labels
from mmwsss.ops.multi_view import view_maps
from mmwsss.ops.pseudo_label import threshold_label

from .. import cam_networks
from ..harness import Case, agree, close, close_to_max, exact
from ..seeded_weights import seeded_state_dict

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def irn_merge(case: Case) -> dict:
    keys, size = case['param_keys'], tuple(case['param_size'].tolist())
    views = [case.tensor(f'in_out_{i}')[keys] for i in range(_count(case, 'in_out_'))]
    return dict(
        out_strided=merge_cams(views, size, 'irn_strided'),
        out_highres=merge_cams(views, size, 'irn'),
    )


def flipmax_merge(case: Case) -> dict:
    forward = partial(F.conv2d, weight=case.tensor('in_weight'), stride=int(case['param_stride']))
    inputs, present = case.tensor('in_x'), case.tensor('in_label')
    views = view_maps(forward, inputs, case['param_scales'].tolist(), flip=True, resize='floor')
    cams = merge_cams(views, inputs.shape[-2:], 'flipmax')
    classes = torch.arange(cams.shape[1]).where(present > 0, -1)
    low, high, bkg = (float(case[f'param_{name}']) for name in ('low', 'high', 'bkg'))
    return dict(
        out_cam=cams,
        out_pseudo=threshold_label(cams, classes, bkg),
        out_pseudo_ignore_mid=threshold_label(cams, classes, low, high, case.tensor('param_box')),
    )


def seam_norm(case: Case) -> dict:
    views = case.tensor('in_cams')
    return dict(out_cam=merge_cams(views, views.shape[-2:], 'seam'))


def crf_from_label(case: Case) -> dict:
    label, num_labels = case.tensor('in_label'), int(case['param_n_labels'])
    unary = unary_from_labels(label, num_labels, float(case['param_gt_prob']))
    names = ('gaussian_sxy', 'gaussian_compat', 'bilateral_sxy', 'bilateral_srgb')
    values = map(float, case['param_crf'])
    parameters = dict(zip((*names, 'bilateral_compat'), values, strict=True))
    posterior = DenseCRF(case.tensor('in_image'), **parameters)(unary, int(case['param_t']))
    return dict(out_unary=unary, out_label=posterior.argmax(0))


def gradcam_functions(case: Case) -> dict:
    activation, gradient = case.tensor('in_activations'), case.tensor('in_gradients')
    raw = {f'out_raw_{m}': gradcam_maps(activation, gradient, m) for m in METHODS}
    size = tuple(case['param_target_size'].tolist())
    return dict(
        raw,
        out_weights_gradcam=channel_weights(activation, gradient, 'gradcam'),
        out_scaled_gradcam=scale_maps(raw['out_raw_gradcam'], size),
    )


@torch.no_grad()
def gradcam_resnet18(case: Case) -> dict:
    weights = _weights(case, 'gradcam_resnet18.manifest.json')
    backbone = ResNet(depth=18, out_indices=(3,), strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1))
    head = {name: weights.pop(f'fc.{name}') for name in ('weight', 'bias')}
    backbone.load_state_dict(weights)
    backbone.eval()
    (target,) = backbone(_normalize(case.tensor('in_image'), *IMAGENET))
    return _gradcam_outputs(
        case,
        target,
        tail=lambda features: F.linear(features.mean((2, 3)), **head),
        weight_stride=16,
    )


@torch.no_grad()
def gradcam_vit_tiny(case: Case) -> dict:
    weights = _weights(case, 'gradcam_vit_tiny.manifest.json')
    inputs = _normalize(case.tensor('in_image'), (127.5,) * 3, (127.5,) * 3)
    target_block = int(str(case['param_target'][0]).split('.')[1])
    patch = weights['patch_embed.proj.weight'].shape[-1]
    grid = tuple(side // patch for side in inputs.shape[-2:])
    x = F.conv2d(inputs, *_parameters(weights, 'patch_embed.proj'), stride=patch)
    x = torch.cat([weights['cls_token'].expand(len(x), -1, -1), x.flatten(2).mT], dim=1)
    x = x + weights['pos_embed']
    depth = 1 + max(int(key.split('.')[1]) for key in weights if key.startswith('blocks.'))
    for i in range(target_block):
        x = _vit_block(weights, f'blocks.{i}', x)

    def tail(y: torch.Tensor) -> torch.Tensor:
        tokens = _vit_block(weights, f'blocks.{target_block}', x, y)
        for i in range(target_block + 1, depth):
            tokens = _vit_block(weights, f'blocks.{i}', tokens)
        return F.linear(_norm(weights, 'norm', tokens)[:, 0], *_parameters(weights, 'head'))

    target = _norm(weights, f'blocks.{target_block}.norm1', x)
    to_map = partial(tokens_to_map, grid=grid)
    outputs = _gradcam_outputs(case, target, tail, weight_stride=1, to_map=to_map)
    return dict(outputs, out_act0_first4=to_map(target)[:, :4])


def seed_eval_sweep(case: Case) -> dict:
    thresholds = case.tensor('param_thresholds')
    histogram = sum(
        threshold_histogram(
            case.tensor(f'in_cam_{i}'),
            case.tensor(f'param_keys_{i}'),
            truth,
            thresholds,
            int(case['param_num_classes']),
        )
        for i, truth in enumerate(case.tensor('in_gt'))
    )
    matrices = sweep_matrices(histogram)
    zero, nanmean = (segmentation_scores(matrices, empty) for empty in ('zero', 'nanmean'))
    return dict(
        out_miou_21=zero['miou'] * 100,
        out_iou=zero['iou'].nan_to_num(nan=0.0) * 100,
        out_miou_nan=nanmean['miou'] * 100,
        out_best_index=zero['miou'].argmax(),
    )


def _gradcam_outputs(case, target, tail, weight_stride, to_map=lambda x: x) -> dict:
    """The j-th classes of all images for every j, all in one backward pass."""
    classes, inputs = case.tensor('param_classes'), case.tensor('in_image')
    image_index = torch.arange(len(classes)).repeat_interleave(classes.shape[1])
    gradients, logits = class_gradients(tail, target, image_index, classes.flatten())
    activation, gradients = to_map(target[image_index]), to_map(gradients)
    raw = gradcam_maps(activation, gradients)
    cams = scale_maps(raw, inputs.shape[-2:])[:, ::2, ::2]
    weights = channel_weights(activation, gradients)[:, ::weight_stride]
    outputs = dict(out_logits=logits)
    for j in range(classes.shape[1]):
        mine = slice(j, None, classes.shape[1])
        outputs |= {
            f'out_raw_{j}': raw[mine],
            f'out_cam_{j}': cams[mine],
            f'out_weights_{j}': weights[mine],
        }
    return outputs


def _vit_block(weights, name, x, y=None):
    """Pre-norm block; ``y`` is the normed input of the attention if it is given."""
    y = _norm(weights, f'{name}.norm1', x) if y is None else y
    heads = y.shape[-1] // 64
    qkv = F.linear(y, *_parameters(weights, f'{name}.attn.qkv'))
    q, k, v = qkv.unflatten(-1, (3, heads, 64)).permute(2, 0, 3, 1, 4)
    attention = ((q @ k.mT / 8).softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = x + F.linear(attention, *_parameters(weights, f'{name}.attn.proj'))
    hidden = F.linear(_norm(weights, f'{name}.norm2', x), *_parameters(weights, f'{name}.mlp.fc1'))
    return x + F.linear(F.gelu(hidden), *_parameters(weights, f'{name}.mlp.fc2'))


def _norm(weights, name, x):
    return F.layer_norm(x, x.shape[-1:], *_parameters(weights, name), eps=1e-6)


def _parameters(weights, name):
    return weights[f'{name}.weight'], weights[f'{name}.bias']


def _weights(case: Case, manifest: str):
    return seeded_state_dict(case.manifest(manifest), int(case['param_weight_seed']))


def _normalize(images, mean, std):
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (mean, std))
    return (images - mean) / std


def _count(case: Case, prefix: str) -> int:
    return sum(key.startswith(prefix) for key in case.arrays)


ADAPTERS = {
    'irn_merge': irn_merge,
    'flipmax_merge': flipmax_merge,
    'seam_norm': seam_norm,
    'crf_from_label': crf_from_label,
    'gradcam_functions': gradcam_functions,
    'gradcam_resnet18': gradcam_resnet18,
    'gradcam_vit_tiny': gradcam_vit_tiny,
    'seed_eval_sweep': seed_eval_sweep,
    **cam_networks.ADAPTERS,
}

TOLERANCES = {
    **cam_networks.TOLERANCES,
    'flipmax_merge/out_pseudo*': exact,
    'crf_from_label/out_label': agree(0.999),
    'gradcam_resnet18/*': close_to_max(1e-4),
    'gradcam_vit_tiny/*': close_to_max(1e-4),
    'seed_eval_sweep/out_best_index': exact,
    'seed_eval_sweep/*': close(atol=1e-4),
    '*': close(atol=1e-5),
}
