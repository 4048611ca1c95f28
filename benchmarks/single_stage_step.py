"""Cost of one training step of AFA and of 1-Stage, all labels included, on random weights.

Baseline: forward and backward of the method's own network on the same batch, without any loss or
label. The phase is the last one, in which every label is made. AFA's published CAMs come from six
further views (14 image-equivalents for a batch of 2), so its step is also compared with the network
plus the bare forwards of these views.

    python benchmarks/single_stage_step.py [--repeat 3] [--quick] [--method all] [--batch 2]
"""

import math

import torch
import torch.nn.functional as F
from _measure import Measured, Report, measure, parse
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.ops.multi_view import view_batches
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_sample, multi_hot

CONFIGS = {'afa': 'configs/wsss/afa_voc.py', 'one_stage': 'configs/wsss/one_stage_voc.py'}
CROPS = {'afa': (512, 512), 'one_stage': (321, 321)}
CLASSES = (2, 14)  # of every image


def build(method: str) -> BaseSegmentor:
    """The network of the shipped config with random weights."""
    cfg = Config.fromfile(CONFIGS[method]).model
    if method == 'one_stage':
        cfg.label_low = 0.0  # masks of random weights are nearly uniform
    return revert_sync_batchnorm(MODELS.build(cfg)).train()


def batch_of(size: int, crop: tuple[int, int]) -> tuple[Tensor, list[SegDataSample]]:
    """Smooth noisy images of a crop, with two classes."""
    inputs = F.interpolate(torch.randn(size, 3, 24, 24), size=crop, mode='bicubic')
    inputs = (inputs + 0.1 * torch.randn(inputs.shape)).clamp(-2, 2)
    (hot,) = multi_hot(CLASSES, num_classes=20)
    return inputs.contiguous(), [labelled_sample(hot)] * size


def outputs(model: BaseSegmentor, inputs: Tensor) -> list[Tensor]:
    """Everything that the losses look at."""
    if hasattr(model, 'affinity_head'):
        features, attn = model.backbone.forward_with_attn(inputs)
        return [model.cam_head(features), model.decode_head(features), model.affinity_head(attn)]
    logits = model.encode_decode(inputs)
    return [logits, model.decode_head.scores(logits, logits.softmax(dim=1))]


def network(model: BaseSegmentor, inputs: Tensor) -> None:
    """Forward and backward."""
    model.zero_grad()
    tensors = outputs(model, inputs)
    torch.autograd.backward(tensors, [1e-3 * torch.ones_like(t) for t in tensors])


@torch.no_grad()
def views(model: BaseSegmentor, inputs: Tensor) -> None:
    """Forwards of the backbone for the multi-scale CAMs."""
    for batch in view_batches(inputs, model.cam_scales, flip=True, resize='floor'):
        model.extract_feat(batch)


def step(model: BaseSegmentor, inputs: Tensor, samples: list[SegDataSample]) -> dict[str, float]:
    """A training step without the optimizer."""
    model.zero_grad()
    losses = model.loss(inputs, samples)
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    return {name: value.item() for name, value in losses.items()}


def run(report: Report, method: str, batch: int, crop: tuple[int, int], repeat: int) -> None:
    """Measure and print one method."""
    torch.manual_seed(0)
    model = build(method)
    inputs, samples = batch_of(batch, crop)
    parts = {
        'network': lambda: network(model, inputs),
        'step': lambda: step(model, inputs, samples),
    }
    if hasattr(model, 'cam_scales'):
        parts['views'] = lambda: views(model, inputs)
    results = measure(parts, repeat)
    values = results['step'].result.values()
    assert all(map(math.isfinite, values)), f'a loss of {method} is not finite'
    name = f'{method}, training step, {batch} crops of {inputs.shape[-1]}'
    report.add(name, 'network forward and backward, no losses', results['network'], results['step'])
    if 'views' in results:
        seconds = map(sum, zip(results['network'].seconds, results['views'].seconds, strict=True))
        peak = max(results['network'].peak, results['views'].peak)
        both = Measured(None, list(seconds), peak)
        report.add(name, 'the same and the forwards of the views', both, results['step'])


def main() -> None:
    args = parse(__doc__, method='all', batch=2)
    register_all_modules()
    MessageHub.get_current_instance().update_info('iter', 10**6)  # behind every switch
    report = Report(__file__)
    for method in CONFIGS if args.method == 'all' else (args.method,):
        run(report, method, args.batch, (64, 64) if args.quick else CROPS[method], args.repeat)
    report.close()


if __name__ == '__main__':
    main()
