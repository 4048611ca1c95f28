"""Cost of one training step of AFA and of 1-Stage, all labels included, on random weights.

Baseline: forward and backward of the method's own network on the same batch, without any loss or
label. The phase is the last one, in which every label is made. AFA's published CAMs come from six
further views (14 image-equivalents for a batch of 2), so its step is also compared with the network
plus the bare forwards of these views.

    python benchmarks/single_stage_step.py [--method all] [--threads 1] [--repeat 3] [--batch 2]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from _measure import PeakMemory
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import LabelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor

from mmwsss import register_all_modules
from mmwsss.ops.multi_view import view_batches
from mmwsss.registry import MODELS

CONFIGS = {'afa': 'configs/wsss/afa_voc.py', 'one_stage': 'configs/wsss/one_stage_voc.py'}
CLASSES = (2, 14)  # of every image


def build(method: str) -> BaseSegmentor:
    """The network of the shipped config with random weights."""
    cfg = Config.fromfile(CONFIGS[method]).model
    if method == 'one_stage':
        cfg.label_low = 0.0  # masks of random weights are nearly uniform
    return revert_sync_batchnorm(MODELS.build(cfg)).train()


def batch_of(model: BaseSegmentor, size: int) -> tuple[Tensor, list[SegDataSample]]:
    """Smooth noisy images of the config's crop, with two classes."""
    crop = model.data_preprocessor.size
    inputs = F.interpolate(torch.randn(size, 3, 24, 24), size=crop, mode='bicubic')
    inputs = (inputs + 0.1 * torch.randn(inputs.shape)).clamp(-2, 2)
    label = torch.zeros(20)
    label[list(CLASSES)] = 1
    sample = SegDataSample(gt_image_labels=LabelData(label=label))
    return inputs.contiguous(), [sample] * size


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


def measure_by_turns(parts: dict[str, Callable], repeat: int) -> dict[str, tuple[float, float]]:
    """Median seconds and peak MiB of functions that take turns, so that all see the same load."""
    peaks, seconds = {}, {name: [] for name in parts}
    for name, function in parts.items():
        with PeakMemory() as memory:
            function()
        peaks[name] = memory.peak
    for _ in range(repeat):
        for name, function in parts.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(seconds[name]), peaks[name]) for name in parts}


def report(method: str, args: argparse.Namespace) -> None:
    """Measure and print one method."""
    torch.manual_seed(0)
    model = build(method)
    inputs, samples = batch_of(model, args.batch)
    parts = {
        'network, forward and backward': lambda: network(model, inputs),
        'training step': lambda: step(model, inputs, samples),
    }
    if hasattr(model, 'cam_scales'):
        parts['forwards of the views'] = lambda: views(model, inputs)
    print(f'{CONFIGS[method]}: crop {tuple(inputs.shape[-2:])}, batch {args.batch}')
    print(f'  losses {step(model, inputs, samples)}')
    results = measure_by_turns(parts, args.repeat)
    for name, (seconds, peak) in results.items():
        print(f'  {name}: {seconds:.2f} s, peak +{peak:.0f} MiB')
    (bare, _), (whole, _), *further = results.values()
    print(f'  training step / network: {whole / bare:.2f}')
    for seconds, _ in further:
        print(
            f'  training step / (network + forwards of the views): {whole / (bare + seconds):.2f}'
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--method', choices=('all', *CONFIGS), default='all')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--batch', type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    register_all_modules()
    MessageHub.get_current_instance().update_info('iter', 10**6)  # behind every switch
    print(f'threads {args.threads}')
    for method in CONFIGS if args.method == 'all' else (args.method,):
        report(method, args)


if __name__ == '__main__':
    main()
