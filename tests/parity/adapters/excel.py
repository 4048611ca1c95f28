"""ExCEL (official code: zwyang6/ExCEL)."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from open_clip.tokenizer import SimpleTokenizer
from torch import nn

from mmwsss.converters.excel import convert_excel
from mmwsss.models.backbones import FrozenCLIP, SurgeryCLIP
from mmwsss.models.refiners import PAR, CLIPAffinityRefiner
from mmwsss.models.segmentors import ExCEL
from mmwsss.models.text_encoders.text_features import text_features
from mmwsss.ops.affinity import affinity_label, radius_mask, sinkhorn_symmetric
from mmwsss.ops.affinity.box_mask import box_mask
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.clip.attribute_bank import cluster_attributes, enrich_text
from mmwsss.ops.clip.patch_text import flip_max, localization_maps
from mmwsss.ops.clip.surgery import dynamic_attention, run_surgery_block, surgery_attention
from mmwsss.ops.clip.vit import embed_patches, run_block
from mmwsss.ops.losses import affinity_loss, balanced_cross_entropy
from mmwsss.ops.pixels import truncated_pixels
from mmwsss.ops.pseudo_label import add_background, decide, threshold_label
from mmwsss.ops.resize import upsample
from mmwsss.ops.schedules import poly_warmup_factor

from ..harness import Case, agree, close, exact
from ..seeded_weights import seeded_tensor

CONFIGS = Path(__file__).parents[3] / 'configs'
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
ATTRIBUTES = {'voc': 112, 'coco': 224}

GIVEN = {'boxes': ('out_boxes*',)}


def normalised(case):
    """Stored uint8 RGB images as the network sees them."""
    return (case.tensor('in_image').float() - MEAN) / STD


def prompts(dataset):
    name = {'voc': 'clip_es_voc12', 'coco': 'clip_es_coco14'}[dataset]
    return Config.fromfile(CONFIGS / f'_base_/prompts/{name}.py')


@lru_cache(maxsize=1)
def _model(path, dataset):
    case = Case(path)
    heads = case.weights(f'manifest_heads_{dataset}.json')
    bank = seeded_tensor('bank', (512, ATTRIBUTES[dataset]), int(case['param_seed']))
    texts = prompts(dataset)
    config = Config.fromfile(CONFIGS / f'wsss/excel_{dataset}.py').model
    model = ExCEL(
        backbone=dict(
            type='mmwsss.SurgeryCLIP',
            checkpoint=case.weights('manifest_clip_vitb16.json'),
            quick_gelu=True,
            num_surgery=config.backbone.num_surgery,
        ),
        decode_head={**config.decode_head, 'num_classes': len(heads['decoder.linear_pred.bias'])},
        text=dict(
            type='mmwsss.AttributeTextBank',
            class_names=texts.class_prompts,
            background_names=texts.background_prompts,
            templates=texts.templates,
            bank=F.normalize(torch.as_tensor(bank), dim=0),
        ),
        refiner=config.refiner,
        par=config.par,
    ).eval()
    model.load_state_dict({**convert_excel(heads), 'backbone.digest': model.backbone.digest})
    model.gated_start, model.self_start = (
        config.refiner.gated_start,
        config.get('self_target_start'),
    )
    return model


def _dataset(case):
    return 'coco' if '_coco' in case.path.stem else 'voc'


def text_prompts(case):
    weights = case.weights('manifest_clip_small.json')
    clip = FrozenCLIP(weights, quick_gelu=True)
    texts, templates = case['in_texts'].tolist(), case['in_templates'].tolist()
    filled = [template.format(text) for text in texts for template in templates]
    described = [text.lower() for text in case['in_descriptions'].tolist()]
    out = dict(
        out_tokens=_tokens(filled, case['out_tokens'].shape[1]),
        out_features=text_features(clip, texts, templates),
        out_desc_tokens=_tokens(described, case['out_desc_tokens'].shape[1]),
        out_desc_embeddings=text_features(clip, described, ['{}']),
    )
    for dataset in ATTRIBUTES:
        key = f'out_tokens_{dataset}'
        if key in case:
            config = prompts(dataset)
            names = config.class_prompts + config.background_prompts
            out[key] = _tokens(
                [t.format(n) for n in names for t in config.templates], case[key].shape[1]
            )
    return out


def _tokens(texts, length):
    return SimpleTokenizer()(texts)[:, :length]


def clustering_blobs(case):
    bank, flags = cluster_attributes(
        case.tensor('in_embeddings'), case['in_counts'].tolist(), int(case['param_n_clusters'])
    )
    order = bank[0].argsort()
    return dict(out_bank=bank[:, order], out_flags=flags[:, order])


def tse_aggregate(case):
    top = float(case['param_topk'])
    text = enrich_text(
        case.tensor('in_text'),
        case.tensor('in_bank'),
        int(case['param_num_fg']),
        1.0 if top < 0 else top,
    )
    return dict(out_text_attr=text.T)


def svc_attention_layer(case):
    weights = case.weights('manifest_svc_attention_layer.json')
    attn = nn.MultiheadAttention(case['in_x'].shape[-1], int(case['param_num_heads']))
    names = {'qkv.weight': 'in_proj_weight', 'qkv.bias': 'in_proj_bias'}
    names |= {f'proj.{kind}': f'out_proj.{kind}' for kind in ('weight', 'bias')}
    attn.load_state_dict({names[k]: torch.as_tensor(v) for k, v in weights.items()})
    with torch.no_grad():
        out = surgery_attention(attn, case.tensor('in_x'))
        more = dynamic_attention(case.tensor('in_ex_feats')) @ out.values[:, 1:]
    dynamic = out.new.clone()
    dynamic[:, 1:] += attn.num_heads * more
    return dict(
        out_new_static=out.new,
        out_new_dynamic=dynamic,
        out_orig=out.original,
        out_attn_orig_sum=out.attn,
    )


@torch.no_grad()
def svc_small(case):
    clip = SurgeryCLIP(
        checkpoint=case.weights('manifest_clip_small.json'),
        quick_gelu=True,
        num_surgery=int(case['param_num_surgery']),
    )
    image = case.tensor('in_image')
    features = clip.encode_surgery(image, attn=clip.num_layers)
    dynamic = dynamic_attention(case.tensor('in_ex_feats'))
    pre_grid = int(case['param_pre_grid'])
    return dict(
        out_feats=clip.patch_features(features),
        out_attn=_whole_attention(clip, image),
        out_all_tokens=torch.stack(features.tokens),
        out_feats_dynamic=clip.patch_features(features, dynamic),
        out_feats_pregrid=clip.patch_features(clip.encode_surgery(image, pre_grid=pre_grid)),
    )


def _whole_attention(clip, image):
    """Attention of all blocks with the class token, which features leave out."""
    x, maps, new = embed_patches(clip.visual, image), [], None
    blocks = clip.visual.transformer.resblocks
    for i, block in enumerate(blocks):
        if i < len(blocks) - clip.num_surgery:
            x, _, weights = run_block(block, x, 'mean')
        else:
            x, _, new, weights, _ = run_surgery_block(block, x, x if new is None else new)
        maps.append(weights)
    return torch.stack(maps)


def lam(case):
    features, text = case.tensor('in_feats'), case.tensor('in_text')
    maps = localization_maps(features, text, int(case['param_num_fg']))
    return dict(out_lam=maps[:, 1:], out_maps_all=localization_maps(features, text, len(text)))


def trans_mat(case):
    matrix = sinkhorn_symmetric(case.tensor('in_attn')[None])[0]
    return dict(out_trans=matrix @ matrix)


def boxes(case):
    out = {}
    for key in case.arrays:
        if key.startswith('in_map'):
            number = key.removeprefix('in_map')
            maps = case.tensor(key)[None]
            out[f'out_mask{number}'] = box_mask(maps, float(case[f'param_thr{number}']))[0]
    return out


def refine_aff(case):
    lam, labels = case.tensor('in_lam'), case.tensor('in_cls_label')
    classes = labels.nonzero().flatten()
    side = round(len(lam) ** 0.5)
    last = int(case['param_attn_layers'])
    refiner = CLIPAffinityRefiner(
        static_last=last, gated_last=last, box_threshold=float(case['param_caa_thre'])
    )
    gated = 'in_seg_attn' in case
    refined = refiner(
        lam[:, classes].T.unflatten(1, (side, side)),
        case.tensor('in_attn')[:, None, 1:, 1:],
        case.tensor('in_seg_attn') if gated else None,
        torch.zeros_like(classes),
        gated,
    )
    return dict(out_refined=refined, out_classes=classes)


def par(case):
    refine = PAR(dilations=case['param_dilations'].tolist(), iterations=int(case['param_num_iter']))
    return dict(out_masks=refine(case.tensor('in_image'), case.tensor('in_masks')))


def label_decision(case):
    image = case.tensor('in_image')[None]
    cams = upsample(minmax_normalize(case.tensor('in_refined')), image.shape[-2:])
    scores = add_background(cams[None])
    refined = PAR()(image, scores)
    top = refined[0].topk(2, dim=0).values
    return dict(
        out_cams=scores[0],
        out_label=decide(refined, case.tensor('in_classes')[None]),
        out_margin=top[0] - top[1],
    )


def seg_loss(case):
    logits = case.tensor('in_logits').requires_grad_()
    loss = balanced_cross_entropy(logits, case.tensor('in_label').long())
    loss.backward()
    return dict(out_loss=loss.detach(), out_grad=logits.grad)


def aff_loss(case):
    predicted = case.tensor('in_pred').requires_grad_()
    loss, positive, negative = affinity_loss(predicted, case.tensor('in_target'))
    loss.backward()
    return dict(
        out_loss=loss.detach(),
        out_pos_count=positive,
        out_neg_count=negative,
        out_grad=predicted.grad,
    )


def affinity_labels(case):
    label, radius = case.tensor('in_label').long(), int(case['param_radius'])
    side = round(len(case['out_radius_mask']) ** 0.5)
    grid = (side, side)
    return dict(
        out_radius_mask=radius_mask(grid, radius),
        out_affinity=affinity_label(label, grid, radius),
        out_affinity_no_mask=affinity_label(label, grid, None),
    )


def lr_schedule(case):
    value = {name: case[f'param_{name}'].item() for name in ('base_lr', 'warmup', 'max_iters')}
    return dict(
        out_lr=[
            value['base_lr']
            * poly_warmup_factor(
                step,
                value['max_iters'],
                value['warmup'],
                case['param_warmup_ratio'].item(),
                case['param_power'].item(),
            )
            for step in case['in_steps'].tolist()
        ]
    )


def preprocess(case):
    image = torch.from_numpy(case['in_image_rgb']).permute(2, 0, 1)[None].float()
    inputs = (image - MEAN) / STD
    return dict(out_normalised=inputs, out_denorm01=truncated_pixels(inputs, MEAN, STD) / 255)


def lam_to_label(case):
    cam, labels = case.tensor('in_cam'), case.tensor('in_cls_label')
    background, high, low = case['param_thresholds'].tolist()
    valid = cam * labels[:, :, None, None]
    classes = torch.arange(cam.shape[1]).expand(len(cam), -1).masked_fill(labels == 0, -1)
    top, bottom, left, right = case['in_box'].tolist()
    box = torch.tensor([[top, bottom, left, right]] * len(cam))
    return dict(
        out_valid_cam=valid,
        out_label=threshold_label(valid, classes, background),
        out_label_mid_box=threshold_label(valid, classes, low, high, box),
    )


@torch.no_grad()
def model_forward(case):
    model = _model(case.path, _dataset(case))
    image = normalised(case)
    clip, head, text = model.backbone, model.decode_head, model.text
    features = clip.encode_surgery(image, clip.num_layers)
    fused = head.fuse(features.tokens, features.grid)
    static = model.patch_text_maps(features)
    both = clip.encode_surgery(torch.cat([image, image.flip(-1)]), 0)
    both_fused = head.fuse(both.tokens, both.grid)
    out = dict(
        text_fg_bg=text.embeddings,
        text_attr=text.enriched.T,
        feats=clip.patch_features(features),
        all_tokens=torch.stack(features.tokens),
        attn=_whole_attention(clip, image),
        adapter=fused,
        attn_pred=head.predict_affinity(fused),
        seg=head.decode(fused),
        lam=_flat(static),
        lam_dynamic=_flat(model.patch_text_maps(features, fused)),
        lam_flip_static=_flat(flip_max(model.patch_text_maps(both))),
        lam_flip_dynamic=_flat(flip_max(model.patch_text_maps(both, both_fused))),
    )
    return {f'out_{k}': _thinned(v, case[f'out_{k}'].shape) for k, v in out.items()}


def _flat(maps):
    return maps.flatten(2).transpose(1, 2)


def _thinned(value, shape):
    """The entries that the case holds: every n-th along an axis."""
    steps = [full // part for full, part in zip(value.shape, shape, strict=True)]
    return value[tuple(slice(None, None, step) for step in steps)]


def train_step(case):
    model = _model(case.path, _dataset(case))
    image, labels = normalised(case), case.tensor('in_cls_labels')
    model.refiner.box_threshold = float(case['param_caa_thre'])
    official = convert_excel({str(name): str(name) for name in case['in_grad_names']})
    out = {}
    for key in case.arrays:
        if key.startswith('out_lam_it'):
            out |= _step(model, image, labels, case, int(key.removeprefix('out_lam_it')), official)
    return out


def _step(model, image, labels, case, iteration, official):
    """One iteration; losses and gradients with the stored pseudo label."""
    head = model.decode_head
    calibrated = iteration >= model.gated_start
    features = model.backbone.encode_surgery(image, model.refiner.num_attn(calibrated))
    fused = head.fuse(features.tokens, features.grid)
    seg_logits, affinity = head.decode(fused), head.predict_affinity(fused)
    maps = model.patch_text_maps(features, fused if calibrated else None)
    refined = model.refine(maps, features, labels, affinity if calibrated else None)
    pixels = truncated_pixels(image, MEAN, STD)
    pseudo = model.make_pseudo_label(pixels, refined, labels, pixels.shape[-2:]).label
    predicted = upsample(seg_logits.detach(), image.shape[-2:]).argmax(1)
    stored = case.tensor(f'out_pseudo_it{iteration}').long()
    own = model.self_start is not None and iteration >= model.self_start
    losses = head.loss_by_feat(seg_logits, affinity, stored, predicted if own else None)
    total = losses['loss_seg'] + losses['loss_affinity']
    model.zero_grad()
    total.backward()
    grads = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    norms = {theirs: grads[ours] for ours, theirs in official.items()}
    results = dict(
        lam=_flat(maps),
        pseudo=pseudo,
        seg_pred=predicted,
        seg_loss=losses['loss_seg'].detach(),
        div_loss=losses['loss_affinity'].detach() / 0.1,
        loss=total.detach(),
        grad_norms=torch.stack([norms[str(name)] for name in case['in_grad_names']]),
    )
    return {f'out_{name}_it{iteration}': value for name, value in results.items()}


@torch.no_grad()
def msc_inference(case):
    image, out = normalised(case), {}
    base = int(case['param_base'])
    sides = [int(base * round(s, 4)) for s in case['param_scales'].tolist()]  # were doubles
    for dataset, merge_scale, first_unflipped in (('voc', 1.0, True), ('coco', 0.2, False)):
        if f'out_logits_{dataset}' not in case:
            continue
        model = _model(case.path, dataset)
        model.test_cfg = dict(
            sizes=sides, flip=True, merge_scale=merge_scale, first_unflipped=first_unflipped
        )
        logits = model.merged_logits(image)
        out[f'out_logits_{dataset}'] = logits
        out[f'out_pred_{dataset}'] = upsample(logits, image.shape[-2:]).argmax(1)
    return out


ADAPTERS = dict(
    aff_loss=aff_loss,
    affinity_label=affinity_labels,
    boxes=boxes,
    clustering_blobs=clustering_blobs,
    label_decision=label_decision,
    lam=lam,
    lam_to_label=lam_to_label,
    lr_schedule=lr_schedule,
    model_forward=model_forward,
    msc_inference=msc_inference,
    par=par,
    preprocess=preprocess,
    refine_aff=refine_aff,
    seg_loss=seg_loss,
    svc_attention_layer=svc_attention_layer,
    svc_small=svc_small,
    text_prompts=text_prompts,
    train_step=train_step,
    trans_mat=trans_mat,
    tse_aggregate=tse_aggregate,
)


def one_grey_level(ours, golden):
    """Values in [0, 1] that differ by at most one of 255 levels, on isolated pixels."""
    off = np.abs(ours - golden) * 255
    if off.max() > 1.001 or (off > 1e-3).mean() > 0.01:
        return f'{off.max():.3g} grey levels, {(off > 1e-3).mean():.2%} of the values'
    return ''


def relative(tolerance):
    """``|a - b| <= tolerance (1 + |b|)``, as in the README."""
    return close(atol=tolerance, rtol=tolerance)


TOLERANCES = {
    'aff_loss/out_*_count': exact,
    'aff_loss/*': relative(1e-6),
    'affinity_label/*': exact,
    'boxes/*': exact,
    'clustering_blobs/out_bank': relative(1e-5),
    'clustering_blobs/out_flags': exact,
    'label_decision/out_cams': relative(2e-5),
    'label_decision/out_label': agree(0.998),
    'label_decision/out_margin': relative(1e-3),  # stored in half precision
    'lam/*': relative(2e-5),
    'lam_to_label/*': exact,
    'lr_schedule/*': close(1e-9),
    'model_forward/out_all_tokens': relative(1e-4),
    'model_forward/out_adapter': relative(1e-4),
    'model_forward/out_seg': relative(1e-4),
    'model_forward/*': relative(5e-5),
    'msc_inference/out_logits*': relative(1e-4),
    'msc_inference/out_pred*': agree(0.998),
    'par/*': relative(1e-5),
    'preprocess/out_normalised': relative(1e-6),
    'preprocess/out_denorm01': one_grey_level,
    'refine_aff/out_classes': exact,
    'refine_aff/out_refined': relative(1e-5),
    'seg_loss/*': relative(1e-6),
    'svc_attention_layer/*': relative(1e-5),
    'svc_small/out_all_tokens': relative(1e-4),
    'svc_small/*': relative(2e-5),
    'text_prompts/out_*tokens*': exact,
    'text_prompts/*': relative(1e-5),
    'train_step/out_lam*': relative(5e-5),
    'train_step/out_pseudo*': agree(0.99),
    'train_step/out_seg_pred*': agree(0.99),
    'train_step/out_grad_norms*': relative(1e-3),
    'train_step/*': relative(1e-4),
    'trans_mat/*': relative(1e-5),
    'tse_aggregate/*': relative(1e-6),
}
