"""PSA's classifiers, their optimizer and augmentation (official code: jiwoon-ahn/psa)."""

import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmwsss.converters.psa import convert_psa
from mmwsss.datasets.transforms.classification import resize_long_pil
from mmwsss.datasets.transforms.geometric import pad_crop
from mmwsss.engine.schedulers import PolyWarmupLR
from mmwsss.ops.multi_view import make_resize
from mmwsss.registry import MODELS

from .harness import close, close_to_max, exact
from .seeded_weights import seeded_state_dict

CONFIGS = Path(__file__).parents[2] / 'configs'
FILES = {'resnet38': 'psa_voc_cam', 'vgg16': 'psa_voc_cam_vgg16'}
TAPS = {'resnet38': ((1, 'conv4'), (2, 'conv5'), (3, 'conv6')),
        'vgg16': ((0, 'conv4'), (1, 'conv5'), (2, 'conv5fc'))}  # fmt: skip


def _config(case):
    name = 'vgg16' if 'vgg16' in case.path.stem else 'resnet38'
    init_default_scope('mmseg')
    return name, Config.fromfile(CONFIGS / f'wsss/{FILES[name]}.py')


def _build(case, cfg, name, taps=None):
    """The shipped model with the seeded weights of the official keys."""
    if taps:
        cfg.model.backbone.out_indices = [index for index, _ in taps]
    model = MODELS.build(cfg.model)
    manifest = case.manifest(f'net_{name}_cls.manifest.json')
    official = seeded_state_dict(manifest, int(case['param_weight_seed']))
    model.load_state_dict(convert_psa(official), strict=True)
    return model


def _images(model, case):
    """The data preprocessor takes BGR, as images are loaded."""
    images = [image.flip(0) for image in case.tensor('in_image')]
    return model.data_preprocessor(dict(inputs=images), training=False)['inputs']


@torch.no_grad()
def network(case):
    name, cfg = _config(case)
    model = _build(case, cfg, name, TAPS[name]).eval()
    features = model.extract_feat(_images(model, case))
    out = dict(out_logits=model.decode_head(features), out_cam=model.decode_head.cam(features))
    for (_, tap), feature in zip(TAPS[name], features, strict=True):
        out[f'out_{tap}_mean'] = feature.mean(1)
        out[f'out_{tap}_first4'] = feature[:, :4]
    return out


def train_step(case):
    """Three steps of the shipped optimizer and schedule with the numbers of the case."""
    name, cfg = _config(case)
    steps, keys = len(case['out_losses']), [str(key) for key in case['param_keys']]
    model = _build(case, cfg, name).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0.0
    cfg.optim_wrapper.optimizer.update(
        lr=float(case['param_lr']),
        weight_decay=float(case['param_weight_decay']),
        momentum=float(case['param_sgd_momentum']),
    )
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    schedule = _schedule(cfg, optimizer, int(case['param_max_step']))
    official = convert_psa({key: key for key in keys})
    ours = {theirs: model.get_parameter(mine) for mine, theirs in official.items()}
    start = {key: parameter.detach().clone() for key, parameter in ours.items()}
    inputs, label = _images(model, case), case.tensor('in_label')
    losses = []
    for step in range(steps):
        loss = model.decode_head.loss(model.extract_feat(inputs), label)['loss_cls']
        losses.append([loss.item()])
        model.zero_grad()
        loss.backward()
        if step == 0:
            grads = [_norm(ours[key].grad) for key in keys]
        optimizer.step()
        schedule.step()
    deltas = [(ours[key].detach() - start[key]).norm().item() for key in keys]
    return dict(
        out_losses=np.array(losses),
        out_grad_norm=np.array(grads),
        out_delta_norm_after3=np.array(deltas),
    )


def _norm(gradient):
    return float('nan') if gradient is None else gradient.norm().item()  # frozen: NaN


def _schedule(cfg, optimizer, max_iters):
    settings = dict(cfg.param_scheduler[0], max_iters=max_iters, end=max_iters)
    assert settings.pop('type') == 'mmwsss.PolyWarmupLR'
    return PolyWarmupLR(optimizer, **settings)


class _Regression(torch.nn.Module):
    def __init__(self, weight, bias):
        super().__init__()
        self.linear = torch.nn.Linear(*weight.shape[::-1])
        self.linear.weight.data, self.linear.bias.data = weight.clone(), bias.clone()


def poly_optimizer(case):
    _, cfg = _config(case)
    model = _Regression(case.tensor('in_w0'), case.tensor('in_b0'))
    cfg.optim_wrapper.optimizer.update(
        lr=float(case['param_lr']),
        weight_decay=float(case['param_weight_decay']),
        momentum=float(case['param_sgd_momentum']),
    )
    cfg.param_scheduler[0].power = float(case['param_poly_power'])
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    schedule = _schedule(cfg, optimizer, int(case['param_max_step']))
    x, y = case.tensor('in_x'), case.tensor('in_y')
    weights, biases, rates = [], [], []
    for _ in range(len(case['out_lr'])):
        rates.append([group['lr'] for group in optimizer.optimizer.param_groups])
        optimizer.update_params(F.mse_loss(model.linear(x), y))
        schedule.step()
        weights.append(model.linear.weight.detach().clone())
        biases.append(model.linear.bias.detach().clone())
    return dict(out_w=torch.stack(weights), out_b=torch.stack(biases), out_lr=np.array(rates))


def augment(case):
    image = case['in_image']
    crop = pad_crop(
        image, (32, 32), (0, 0), (int(case['param_crop32_top']), int(case['param_crop32_left'])), 0
    )[0]
    # 48 is wider than the image is high: the crop starts in the image, the image on the canvas
    placed = pad_crop(
        image,
        (48, 48),
        (int(case['param_crop48_pad_top']), 0),
        (0, int(case['param_crop48_img_left'])),
        0,
    )[0]
    centre = [round((64 - side) / 2) for side in image.shape[:2]]
    resize = make_resize('pil_cubic', torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    scales = [key.removeprefix('out_msf_') for key in case.arrays if key.startswith('out_msf_')]
    views = {
        f'out_msf_{scale}': (batch if float(scale) == 1 else resize(batch, float(scale)))[0]
        .permute(1, 2, 0)
        .byte()
        for scale in scales
    }
    tall = image.transpose(1, 0, 2)
    for key in case.arrays:
        side = re.fullmatch(r'out_(tall_)?long(\d+)', key)
        if side:
            views[key] = resize_long_pil(tall if side[1] else image, int(side[2]))
    return dict(
        views,
        out_crop32=crop,
        out_crop48=placed,
        out_center64=pad_crop(image, (64, 64), centre, (0, 0), 0)[0],
    )


ADAPTERS = {
    'net_resnet38_cls': network,
    'net_vgg16_cls': network,
    'train_step_resnet38_cls': train_step,
    'train_step_vgg16_cls': train_step,
    'poly_optimizer': poly_optimizer,
    'augment': augment,
}

TOLERANCES = {
    'net_*_cls/*': close_to_max(1e-4),
    'train_step_*_cls/out_losses': close(rtol=1e-4),
    'train_step_*_cls/*': close(rtol=1e-3),
    'poly_optimizer/*': close(atol=1e-5),
    'augment/*': exact,
}
