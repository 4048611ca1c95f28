"""AVC (official code: xupeijun01/AVC) and its baseline TransCAM (liruiwen/TransCAM): network,
labels, random walk, retraining; APC (OpenNLPLab/ACR_WSSS); the terms of our reconstruction of
AVC."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.converters.deeplab import convert_deeplab
from mmwsss.converters.transcam import convert_transcam
from mmwsss.engine.schedulers import PolyWarmupLR
from mmwsss.models import TransCAM
from mmwsss.ops.affinity.attention_views import attention_view_losses, getam
from mmwsss.ops.affinity.vectors import (
    affinity_vectors,
    mirror_affinity,
    region_consistency,
    region_labels,
    view_consistency,
)
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.class_attention import refine_by_attention
from mmwsss.ops.dense_crf import dense_crf, refine_labels
from mmwsss.ops.multi_view import merge_logits
from mmwsss.ops.pixel_affinity import pair_labels, transition_power
from mmwsss.ops.pixels import crf_image
from mmwsss.ops.pseudo_label import confident_label, decide, threshold_label
from mmwsss.ops.resize import upsample
from mmwsss.testing import labelled_sample

from ..harness import Case, agree, close, close_to_scale, exact, with_spread
from ..networks import MEAN, STD, imagenet_normalised, network, rgb_inputs, without_dropout

MANIFEST = 'deeplabv1_rn38_manifest.json'
NETWORK = 'transcam_net_manifest.json'
LABELS = 21  # of TransCAM's label CRF: those of VOC, present or not
RULES = dict(transcam='rows', attnagg='columns', clsattn='class')


def _transcam(case: Case) -> TransCAM:
    return network(case, 'transcam', convert_transcam, f'{case.path.stem}_manifest.json', NETWORK)


@torch.no_grad()
def transcam_net(case: Case) -> dict:
    model = _transcam(case)
    images, head = rgb_inputs(model, case), model.decode_head
    features, sums = model.backbone.forward_with_attn(images)
    layers = model.backbone.forward_with_layers(images)[1]
    conv, token = head.branches(features)
    maps = head.conv(features.conv)  # of all channels, the unused background among them
    out = dict(
        out_conv_logits=conv,
        out_trans_logits=token,
        out_cam_convcam=maps,
        out_attn_sum=sums.patch,
        out_attn_first=layers[0],
        out_attn_last=layers[-1],
    )
    for name, rule in RULES.items():
        attention = sums.class_patch if rule == 'class' else sums.patch
        out[f'out_cam_{name}'] = refine_by_attention(maps, attention, rule)
        model.test_cfg = dict(model.test_cfg, refine=rule)
        ours = model.class_maps(images)
        assert torch.equal(ours, out[f'out_cam_{name}'][:, -ours.shape[1] :])
    return out


def transcam_train_step(case: Case) -> dict:
    """In double precision, but for the normalisation, whose rounding the gradients amplify."""
    model = _transcam(case)
    for block in model.backbone.modules():
        if hasattr(block, 'drop_prob'):
            block.drop_prob = 0.0
    images, labels = imagenet_normalised(case['in_image']).double(), case.tensor('in_label')
    model.double().train()
    samples = [labelled_sample(hot) for hot in labels.double()]
    loss = model.loss(images, samples)['loss_cls']
    loss.backward()
    after = model.backbone.bn1.running_mean.clone()
    with torch.no_grad():
        conv, token = model.decode_head.branches(model.extract_feat(images))
    unused = len(conv[0]) - labels.shape[1]
    head = model.decode_head.conv.weight, model.decode_head.linear.weight
    out = dict(
        out_loss=loss.detach(),
        out_conv_logits=conv,
        out_trans_logits=token,
        out_running_mean_bn1=after,
        out_grad_bg_head=sum(weight.grad[:unused].norm() for weight in head),
    )
    for key in case.arrays:
        name = key.removeprefix('out_gradnorm__')
        if name != key:
            (ours,) = convert_transcam({name: name})
            out[key] = model.get_parameter(ours).grad.norm()
    return out


def recon_terms(case: Case) -> dict:
    """The reconstruction of AVC against its formulas written out; nothing of the authors."""
    extra, last = int(case['param_num_extra_tokens']), int(case['param_last'])
    grid = tuple(case['param_grid'].tolist())
    patches = slice(extra, None)
    views = [
        case.tensor(f'in_attn{i}')[:, -last:].mean((1, 2))[:, patches, patches] for i in (1, 2)
    ]
    cams, labels = case.tensor('in_cam'), case.tensor('in_label')
    thresholds = case.decimal('param_fg_thr'), case.decimal('param_bg_thr')
    regions = region_labels(cams, labels, *thresholds)
    out = dict(out_region_label=regions)
    refined = cams
    for power in range(1, 1 + sum(key.startswith('out_refined') for key in case.arrays)):
        refined = refine_by_attention(refined, views[0])
        out[f'out_refined_{power}'] = refined
    pairs = regions[:, :, None] == regions[:, None]
    known = (regions != 255)[:, :, None] & (regions != 255)[:, None]
    known &= ~torch.eye(regions.shape[1], dtype=torch.bool)
    out |= dict(out_num_pos=(pairs & known).sum(), out_num_neg=(~pairs & known).sum())
    for key in case.arrays:
        if not key.startswith('out_affinity'):
            continue
        ending = key.removeprefix('out_affinity')  # _sym0_norm1
        flags = 'sym1' in ending, 'norm1' in ending
        first, second = (affinity_vectors(view, *flags) for view in views)
        out[key] = first
        for mode in ('l1', 'cosine', 'kl'):
            value = view_consistency(first, mirror_affinity(second, grid), mode)
            out[f'out_view_{mode}{ending}'] = value
        terms = region_consistency(first, regions)
        out |= {f'out_region_{n}{ending}': t for n, t in zip(('pos', 'neg'), terms, strict=True)}
    return out


def apc_align(case: Case) -> dict:
    first, second = (case.tensor(f'in_attn{i}').requires_grad_() for i in (1, 2))
    grid = (int(case['param_grid']),) * 2
    classes, pairs = attention_view_losses(first, second, grid)
    (classes + pairs).backward()
    return dict(
        out_cls_align=classes.detach(),
        out_aff_align=pairs.detach(),
        out_aff2_aligned=mirror_affinity(second.detach()[..., 1:, 1:], grid),
        out_grad1=first.grad,
        out_grad2=second.grad,
    )


def apc_getam(case: Case) -> dict:
    attention, gradient = case.tensor('in_attn'), case.tensor('in_attn_grad')
    start = int(case['param_start_layer'])
    rules = [key.removeprefix('out_') for key in case.arrays if key.startswith('out_')]
    return {f'out_{rule}': getam(attention, gradient, start, rule) for rule in rules}


def transcam_aff_label(case: Case) -> dict:
    label = confident_label(case.tensor('in_label_060'), case.tensor('in_label_025')).long()
    parts = pair_labels(label[None], int(case['param_radius']))
    names = ('out_bg_pos', 'out_fg_pos', 'out_neg')
    return dict(zip(names, (part[0] for part in parts), strict=True), out_label=label)


def transcam_infer_merge(case: Case) -> dict:
    image, present = case.tensor('in_image'), case.tensor('in_label').nonzero()[:, 0]
    views = [view[0, present + 1] for view in case.views('in_cam_', flip=True)]
    cam = merge_cams(views, image.shape[:2], 'seam')
    out = dict(out_class_ids=present, out_cam=cam)
    for key in case.arrays:
        if key.startswith('out_crf_label_'):
            background = int(key.removeprefix('out_crf_label_')) / 100
            label = threshold_label(cam[None], present[None], background)[0]
            labels = 1 + len(case['in_label'])
            out[key] = refine_labels(image, label, num_labels=labels, preset='irn')
    return out


def transcam_rw(case: Case) -> dict:
    """With a matrix that also has the pairs at the border, which no network gives."""
    image, cam = torch.from_numpy(case['in_image'][0]).permute(1, 2, 0), case.tensor('in_cam')
    keys, (height, width) = case.tensor('in_class_ids'), image.shape[:2]
    scores = F.pad(cam, (0, 0, 0, 0, 1, 0), value=case.decimal('param_bkg'))
    scores = F.pad(scores, (0, -width % 8, 0, -height % 8))
    pooled = F.avg_pool2d(scores, 8)
    beta, logt = float(case['param_beta']), int(case['param_logt'])
    step = transition_power(case.tensor('in_affinity')[None], beta, logt)[0]
    walked = (pooled.flatten(1) @ step).view_as(pooled)
    walked = upsample(walked, scores.shape[-2:])
    label = decide(walked[None], keys[None])[0]
    refined = refine_labels(image, label[:height, :width], num_labels=LABELS, preset='irn')
    return dict(out_rw_scores=walked, out_label_before_crf=label, out_label=refined)


# ---- retraining ----


@torch.no_grad()
def deeplabv1_rn38(case: Case) -> dict:
    manifests = f'{case.path.stem}_manifest.json', MANIFEST
    model = network(case, 'deeplabv1_resnet38', convert_deeplab, *manifests)
    inputs = rgb_inputs(model, case)
    logits = model.decode_head(model.extract_feat(inputs))
    full = upsample(logits, inputs.shape[-2:], model.align_corners)
    return dict(out_logits_stride8=logits, out_logits_sub=full[..., ::8, ::8])


def deeplabv1_train_step(case: Case) -> dict:
    """Chaotic as ``train_step_dlv1_rn38`` of deeplab_retrain: other last bits of the input move the
    gradient norm of ``conv1a`` by up to 5e-3, and the loss not at all.
    """
    x = imagenet_normalised(case['in_image']).contiguous()
    return with_spread(partial(_deeplabv1_step, case), x, draws=4)


def _deeplabv1_step(case: Case, x: torch.Tensor) -> dict:
    manifests = f'{case.path.stem}_manifest.json', MANIFEST
    model = without_dropout(network(case, 'deeplabv1_resnet38', convert_deeplab, *manifests))
    labels = case.tensor('in_label').long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]
    loss = model.loss(x, samples)['decode.loss_ce']
    loss.backward()
    ours = {v: k for k, v in convert_deeplab({k: k for k in case.manifest(*manifests)}).items()}
    state, out = model.state_dict(), dict(out_loss=loss.item())
    for key in case.arrays:
        kind, _, name = key.removeprefix('out_').partition('__')
        if kind == 'gradnorm':
            out[key] = model.get_parameter(ours[name]).grad.norm().item()
    for layer in ('backbone.bn7', 'bn_fov'):
        key = f'out_running_mean_{layer.rpartition(".")[2]}_after'
        out[key] = state[ours[f'{layer}.running_mean']].numpy()
    return out


def deeplab_test_merge(case: Case) -> dict:
    image = case['in_image']
    views = case.views('in_logits_', flip=True)
    merged = merge_logits(views, image.shape[-2:], 'logit_mean', align_corners=True)
    prob = merged[0].softmax(0)
    seen = crf_image(imagenet_normalised(image), MEAN, STD, 'truncated')
    posterior = dense_crf(seen, prob, preset='avc')
    return dict(
        out_prob=prob[::4],
        out_label=prob.argmax(0),
        out_crf_prob=posterior[::4],
        out_label_crf=posterior.argmax(0),
    )


def deeplab_lr(case: Case) -> dict:
    rate = case.decimal('param_lr')
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(4)]
    rows = []
    for step in case['in_iter'].tolist():
        groups = [
            dict(params=[parameter], lr=rate * factor, initial_lr=rate * factor)
            for parameter, factor in zip(parameters, (1, 2, 10, 20), strict=True)
        ]
        optimizer = torch.optim.SGD(groups)
        PolyWarmupLR(
            optimizer,
            max_iters=int(case['param_max_iter']) + 1,
            warmup_iters=0,
            power=case.decimal('param_power'),
            last_step=step - 1,
            by_epoch=False,
        )
        rows.append([group['lr'] for group in optimizer.param_groups])
    return dict(out_lr=np.array(rows))


ADAPTERS = dict(
    transcam_net=transcam_net,
    transcam_train_step=transcam_train_step,
    recon_terms=recon_terms,
    apc_align=apc_align,
    apc_getam=apc_getam,
    transcam_aff_label=transcam_aff_label,
    transcam_infer_merge=transcam_infer_merge,
    transcam_rw=transcam_rw,
    deeplabv1_rn38=deeplabv1_rn38,
    deeplabv1_train_step=deeplabv1_train_step,
    deeplab_test_merge=deeplab_test_merge,
    deeplab_lr=deeplab_lr,
)

TOLERANCES = {
    'transcam_net/*': close_to_scale(1e-4),
    'transcam_train_step/*': close_to_scale(1e-5),
    'recon_terms/out_region_label': exact,
    'recon_terms/out_num*': exact,
    'recon_terms/*': close_to_scale(1e-5),
    'apc_*/*': close_to_scale(1e-6),
    'transcam_aff_label/*': exact,
    'transcam_infer_merge/out_class_ids': exact,
    'transcam_infer_merge/out_crf*': agree(0.99),
    'transcam_infer_merge/*': close_to_scale(1e-5),
    'transcam_rw/out_label_before_crf': exact,
    'transcam_rw/out_label': agree(0.99),
    'transcam_rw/*': close_to_scale(1e-4),
    'deeplabv1_rn38/*': close_to_scale(1e-4),
    'deeplabv1_train_step/out_gradnorm*': close_to_scale(1e-3),
    'deeplabv1_train_step/*': close_to_scale(1e-4),
    'deeplab_test_merge/out_label*': agree(0.999),
    'deeplab_test_merge/out_crf*': close_to_scale(1e-3),
    'deeplab_test_merge/*': close_to_scale(1e-5),
    'deeplab_lr/*': close(1e-7),
}
