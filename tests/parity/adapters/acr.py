"""ACR (official code: sangrockEG/ACR): merging of maps, losses, networks, a training step."""

import re

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmwsss.converters.acr import convert_acr
from mmwsss.models import ACR, Reconstructor
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.losses.reconstruction import masked_l1
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.testing import training_iteration

from ..harness import Case, close_to_scale, exact
from ..networks import MODEL_CONFIGS, rgb_inputs, without_dropout
from ..seeded_weights import seeded_state_dict

RECONSTRUCTOR = ('recon_cls', 'recon_full', 'recon_target', 'recon_rest')
EXPORTED = dict(
    recon_cls='recon_cls',
    recon_full='recon_full',
    recon_target='recon_mask',
    cls='main_cls',
    target='main_t',
    rest='main_nt',
)


def max_norm(case: Case) -> dict:
    cam = case.tensor('in_cam')
    return dict(out_cam=merge_cams([cam], cam.shape[-2:], 'acr'))


def infer_merge(case: Case) -> dict:
    present = case.tensor('in_label').nonzero()[:, 0]
    pairs = [pair[:, present] for pair in case.views('in_cam_')]
    views = [view for plain, mirrored in pairs for view in (plain, mirrored.flip(-1))]
    cam = merge_cams(views, tuple(case['param_size'].tolist()), 'acr')
    return dict(out_class_ids=present, out_cam=cam)


def masked_l1_case(case: Case) -> dict:
    given = [case.tensor(f'in_{name}') for name in ('recon', 'image', 'mask')]
    valid = case.tensor('in_valid')
    return dict(
        out_all=masked_l1(*given),
        out_valid=masked_l1(*given, valid),
        out_none_valid=masked_l1(*given, torch.zeros_like(valid)),
    )


class _GivenMaps(nn.Module):
    def __init__(self, maps: torch.Tensor) -> None:
        super().__init__()
        self.maps = nn.Parameter(maps)

    def forward(self, images):
        return self.maps


class _GivenFeatures(Reconstructor):
    def __init__(self, maps: torch.Tensor, features: torch.Tensor, kernel: torch.Tensor) -> None:
        nn.Module.__init__(self)
        self.maps, self.features = maps, nn.Parameter(features)
        self.generator = nn.Conv2d(*kernel.shape[1::-1], kernel.shape[2], padding=1, bias=False)
        self.generator.weight.data = kernel

    def encode(self, images):
        return self.maps, self.features


def build(case: Case, official: dict, num_classes: int, **changes) -> ACR:
    """The shipped model with the classes, width and weights of the case."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(MODEL_CONFIGS / 'acr_resnet38.py')
    width = int(case['param_D'])
    cfg.merge_from_dict(
        {
            'model.decode_head.num_classes': num_classes,
            'model.reconstructor.channels': (64, 128, width),
            **{f'model.{key}': value for key, value in changes.items()},
        }
    )
    with torch.device('meta'):  # the weights are given
        model = MODELS.build(cfg.model)
    model.data_preprocessor = MODELS.build(cfg.model.data_preprocessor)
    model.load_state_dict(convert_acr(official), strict=True, assign=True)
    return model


def weights(case: Case, **seeds: str) -> dict:
    """Seeded weights of both networks, whose manifest is that of one."""
    manifest = case.manifest(f'{case.path.stem}_manifest.json', 'net_manifest.json')
    return {
        f'{network}.{key}': value
        for network, seed in seeds.items()
        for key, value in seeded_state_dict(manifest, int(case[seed])).items()
    }


@torch.no_grad()
def net(case: Case) -> dict:
    official = weights(case, net_main='param_weight_seed', net_recon='param_weight_seed')
    model = build(case, official, case['out_logits'].shape[1]).eval()
    inputs = rgb_inputs(model, case)
    maps, features = model.reconstructor.encode(inputs)
    assert torch.equal(maps, model.class_maps(inputs, None))
    recon = model.reconstructor.paint(upsample(features, inputs.shape[-2:]))
    return dict(
        out_cam=maps,
        out_logits=model.class_logits(maps),
        out_feat_sub=features[:, ::16, ::2, ::2],
        out_feat_mean=features.mean((2, 3)),
        out_recon_sub=recon[..., ::4, ::4],
        out_recon_absmean=recon.abs().mean(),
    )


def step_losses(case: Case) -> dict:
    w = case.tensor('param_W').tolist()
    init_default_scope('mmseg')
    cfg = Config.fromfile(MODEL_CONFIGS / 'acr_resnet38.py').model
    cfg.backbone.update(base_channels=1, init_cfg=None)
    cfg.loss_weights = dict(recon_cls=w[0], recon_full=w[1], target=w[2], rest=w[3])
    cfg.erase_percent = int(case['param_prob'])
    model = MODELS.build(cfg).train()
    model.classifier = _GivenMaps(case.tensor('in_cam_m'))
    given = (case.tensor(f'in_{name}') for name in ('cam_r', 'feat', 'dec'))
    model.reconstructor = _GivenFeatures(*given)
    out = losses_of(model, case, case.tensor('in_image'))
    return dict(
        out,
        out_recon_grad_feat=model.reconstructor.features.grad,
        out_recon_grad_dec=model.reconstructor.generator.weight.grad,
        out_main_grad_cam=model.classifier.maps.grad,
    )


def losses_of(model: ACR, case: Case, inputs: torch.Tensor) -> dict:
    """Losses of both steps, without an update in between, and their gradients in the model."""
    labels = case.tensor('in_label')
    targets = case.tensor('in_label_target').argmax(dim=1)
    with training_iteration() as at:
        at(int(case['param_epoch']) * model.erase_growth_iters)
        recon = model.reconstructor_losses(inputs, labels, targets, case.tensor('in_rand_0_99'))
        sum(recon.values()).backward()
        assert all(p.grad is None for p in model.classifier.parameters())
        before = {name: p.grad for name, p in model.reconstructor.named_parameters()}
        main = model.classifier_losses(inputs, labels, targets)
        sum(main.values()).backward()
    for name, parameter in model.reconstructor.named_parameters():
        assert parameter.grad is before[name]
    raw = {k.removeprefix('loss_'): v.detach() for k, v in {**recon, **main}.items()}
    out = {
        f'out_loss_{EXPORTED[k]}': v / model.loss_weights[k]
        for k, v in raw.items()
        if k in EXPORTED
    }
    totals = {True: 0.0, False: 0.0}
    for name, value in raw.items():
        totals[name in RECONSTRUCTOR] += value
    return dict(out, out_loss_recon=totals[True], out_loss_main=totals[False])


def train_step(case: Case) -> dict:
    official = weights(case, net_main='param_seed_main', net_recon='param_seed_recon')
    model = without_dropout(build(case, official, case['in_label'].shape[1]))
    out = losses_of(model, case, rgb_inputs(model, case))
    ours = {name: name for name in official}
    ours = {theirs: mine for mine, theirs in convert_acr(ours).items()}
    for key in case.arrays:
        match = re.fullmatch(r'out_(recon|main)_gradnorm__(.+)', key)
        if match:
            out[key] = model.get_parameter(ours[f'net_{match[1]}.{match[2]}']).grad.norm()
    return out


ADAPTERS = dict(
    max_norm=max_norm,
    infer_merge=infer_merge,
    masked_l1=masked_l1_case,
    net=net,
    step_losses=step_losses,
    train_step=train_step,
)

TOLERANCES = {
    '*/out_class_ids': exact,
    'max_norm/*': close_to_scale(1e-6),
    'infer_merge/*': close_to_scale(1e-5),
    'masked_l1/*': close_to_scale(1e-6),
    'net/out_recon_*': close_to_scale(1e-3),
    'net/*': close_to_scale(1e-4),
    'step_losses/*_grad_*': close_to_scale(1e-4),
    'step_losses/*': close_to_scale(1e-5),
    'train_step/*_gradnorm__*': close_to_scale(1e-3),
    'train_step/*': close_to_scale(1e-4),
}
