"""MCTformer's networks, training steps, initial weights, fusion and losses."""

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmwsss.converters.mctformer import convert_deit, convert_mctformer
from mmwsss.models import ClassTokenHead, MCTformer
from mmwsss.models.backbones import TokenFeatures
from mmwsss.ops.class_attention import AttentionSums, fuse_maps
from mmwsss.registry import MODELS

from .harness import Case, close, close_to_scale
from .networks import MODEL_CONFIGS, rgb_inputs

CONFIGS = dict(v1='mctformer-v1', v2='mctformer', plus='mctformer-plus')
LOSSES = dict(loss_cls='out_loss_cls', loss_patch='out_loss_patch', loss_contrast='out_loss_cct')


def _version(case: Case) -> str:
    return next(version for version in CONFIGS if case.path.stem.endswith(version))


def _model(case: Case, **backbone) -> MCTformer:
    """The shipped model with the seeded weights of the official keys."""
    init_default_scope('mmseg')
    config = Config.fromfile(MODEL_CONFIGS / f'{CONFIGS[_version(case)]}.py').model
    config.backbone.update(backbone)
    model = MODELS.build(config)
    names = f'{case.path.stem}_manifest.json', f'net_{_version(case)}_manifest.json'
    model.load_state_dict(convert_mctformer(case.weights(*names)), strict=True)
    return model


@torch.no_grad()
def network(case: Case) -> dict:
    model = _model(case).eval()
    images, head = rgb_inputs(model, case), model.decode_head
    assert model.settings.class_layers == int(case['param_n_layers'])
    features, sums = model.backbone.forward_with_attn(images, model.settings.class_layers)
    grid = features.patches.shape[-2:]
    out = dict(
        out_cls_logits=head.class_scores(features),
        out_patch_attn_sum=sums.patch,
        out_class_tokens_last=features.class_tokens[-1],
    )
    if 'out_patch_attn_last' in case:
        every = _layers_of_patches(model, images)
        out |= dict(out_patch_attn_first=every[0], out_patch_attn_last=every[-1])
    if head.conv is None:
        twelve = model.backbone.forward_with_attn(images, 12)[1]
        return out | dict(out_mtatt=sums.class_patch, out_mtatt_12=twelve.class_patch)
    maps = head.patch_maps(features)
    scores = head.patch_scores(maps)
    model.test_cfg = dict(model.test_cfg, maps='plain')
    fused = model.class_maps(images)
    model.test_cfg = dict(model.test_cfg, maps='refined')
    return out | dict(
        out_patch_logits=scores,
        out_gwrp_logits=scores,
        out_mean_logits=head(features),
        out_fused=fused,
        out_refined=model.class_maps(images),
        out_patchcam=fuse_maps(sums.class_patch, maps, 'patch'),
        out_mtatt=sums.class_patch.unflatten(2, grid),
        out_mct=sums.class_patch.unflatten(2, grid) / model.settings.class_layers,
    )


def _layers_of_patches(model: MCTformer, images: torch.Tensor) -> list[torch.Tensor]:
    """Attention between patches, layer by layer, from encoders that end early."""
    backbone, totals = model.backbone, []
    blocks = backbone.blocks
    for depth in (1, len(blocks) - 1, len(blocks)):
        backbone.blocks = nn.ModuleList(blocks[:depth])
        totals.append(backbone.forward_with_attn(images, 1)[1].patch)
    return [totals[0], totals[2] - totals[1]]


def train_step(case: Case) -> dict:
    sizes = dict(img_size=case['in_image'].shape[-1]) if _version(case) == 'plus' else {}
    model = _model(case, drop_path_rate=0.0, **sizes).train()
    features = model.extract_feat(rgb_inputs(model, case))
    losses = model.decode_head.loss(features, case.tensor('in_label').float())
    total = sum(losses.values())
    total.backward()
    out = {LOSSES[name]: loss.detach() for name, loss in losses.items()}
    out['out_loss'] = total.detach()
    for key in case.arrays:
        name = key.removeprefix('out_gradnorm__')
        if name != key:
            (ours,) = convert_mctformer({name: torch.empty(3, 3, 3)})
            out[key] = model.get_parameter(ours).grad.norm()
    return out


def init_from_deit(case: Case) -> dict:
    official = dict(pos_embed=case.tensor('in_pos_embed'), cls_token=case.tensor('in_cls_token'))
    split = 'out_pos_embed_pat' in case
    side = int(case['out_pos_embed_pat'].shape[1] ** 0.5) if split else 14
    positions = 'split' if split else 'joint'
    state = convert_deit(official, int(case['param_num_classes']), positions, side)
    return {f'out_{key}': value for key, value in state.items()}


@torch.no_grad()
def fusion(case: Case) -> dict:
    """Attention, tokens and a patch classifier that are given."""
    attention, layers = case.tensor('in_attn'), int(case['param_n_layers'])
    tokens, patches = case.tensor('in_cls_tokens'), case.tensor('in_patch_tokens')
    num_classes, channels = tokens.shape[1:]
    grid = tuple(case['out_cams_fused'].shape[-2:])
    plus = 'param_decay' in case
    head = ClassTokenHead(
        channels,
        num_classes,
        patch_pool='rank' if plus else 'avg',
        decay=case.decimal('param_decay') if plus else 0.5,
    )
    weights = dict(weight=case.tensor('in_head_weight'), bias=case.tensor('in_head_bias'))
    head.conv.load_state_dict(weights)
    features = TokenFeatures(tokens[None], patches.mT.unflatten(2, grid))
    sums = _sums(attention, num_classes, layers)
    class_maps, patch_maps = sums.class_patch.unflatten(2, grid), head.patch_maps(features)
    rule, divisor = ('sqrt', layers) if plus else ('product', 1)
    return dict(
        out_cams_fused=fuse_maps(class_maps, patch_maps, rule, layers),
        out_cams_patchcam=fuse_maps(class_maps, patch_maps, 'patch'),
        out_cams_transcam=fuse_maps(class_maps, None, 'class'),
        out_cams_mct=class_maps / divisor,
        out_v1_mtatt=sums.class_patch,
        out_cls_logits=head.class_scores(features),
        out_patch_logits=head.patch_scores(patch_maps),
        out_gwrp_logits=head.patch_scores(patch_maps),
        out_mean_logits=head(features),
        out_patch_attn=torch.stack([_sums(a[None], num_classes, 1).patch for a in attention]),
    )


def _sums(attention: torch.Tensor, num_classes: int, last: int) -> AttentionSums:
    """Of ``(L, B, heads, T, T)``."""
    sums = AttentionSums(num_classes)
    for i, layer in enumerate(attention):
        for head in layer.unbind(1):
            sums.add(head, 1 / layer.shape[1], i >= len(attention) - last)
    return sums


def losses(case: Case) -> dict:
    names = 'in_cls_logits', 'in_patch_logits', 'in_class_tokens'
    given = [case.tensor(name).requires_grad_() for name in names]
    weight, layers = float(case['param_loss_weight']), int(case['param_num_cct'])
    head = ClassTokenHead(8, 5, 'rank', contrast_weight=weight, contrast_layers=layers)
    found = head.losses(*given, case.tensor('in_label'))
    total = sum(found.values())
    total.backward()
    out = {LOSSES[name]: loss.detach() for name, loss in found.items()}
    out['out_loss_cct'] /= weight
    grads = {name.replace('in_', 'out_grad_'): t.grad for name, t in zip(names, given, strict=True)}
    return dict(out, out_loss=total.detach(), **grads)


ADAPTERS = dict(
    v2_fusion=fusion,
    plus_fusion_gwrp=fusion,
    plus_losses=losses,
    net=network,
    train_step=train_step,
    init_from_deit=init_from_deit,
)

TOLERANCES = {
    'plus_fusion_gwrp/out_cams_fused': close_to_scale(1e-4),
    '*_fusion*/*': close_to_scale(1e-5),
    'plus_losses/*': close_to_scale(1e-5),
    'net/*': close_to_scale(1e-4),
    'train_step/out_gradnorm*': close(rtol=1e-3),
    'train_step/*': close_to_scale(1e-4),
    'init_from_deit/*': close_to_scale(1e-6),
}
