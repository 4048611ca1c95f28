"""Test protocol and parameter groups of 1-Stage (official code: visinf/1-stage-wseg)."""

import numpy as np
import torch
from mmengine.optim import build_optim_wrapper

from mmwsss.ops.dense_crf import DenseCRF, unary_from_scores
from mmwsss.ops.multi_view.canvas import canvas_views, cut_view, restrict_classes
from mmwsss.ops.pixels import crf_image

from .harness import agree, close, exact

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def loader(case):
    inputs = ((case.tensor('in_image_u8').permute(2, 0, 1).float() - MEAN) / STD)[None]
    canvas = tuple(case['param_pad_size'].tolist())
    views = list(
        canvas_views(
            inputs, case['param_scales'].tolist(), bool(case['param_flip']), MEAN, STD,
            canvas=canvas,
        )
    )  # fmt: skip
    labels = torch.zeros(len(case['out_labels']))
    values = case.tensor('in_gt_mask').unique().long()
    labels[values[(values > 0) & (values < 255)] - 1] = 1
    return dict(
        out_batch=torch.cat([view.inputs for view in views]),
        out_pads=torch.tensor([view.box for view in views]),
        out_labels=labels,
        out_crf_image_u8=crf_image(inputs[0], MEAN, STD),
    )


def merge(case):
    size = tuple(case['param_image_hw'].tolist())
    pairs = enumerate(zip(case.tensor('in_masks_u8'), case['in_pads'], strict=True))
    flip = bool(case['param_flip'])
    masks = [
        cut_view(mask / 255, tuple(int(v) for v in box), flip and i % 2 == 1, size)
        for i, (mask, box) in pairs
    ]
    prob = torch.stack(masks).mean(0, keepdim=True)
    merged = restrict_classes(prob, case.tensor('in_labels')[None], float(case['param_bg_pow']))
    return dict(out_merged=merged[0], out_pred=merged[0].argmax(0))


def crf(case):
    """The preset that the configs name, with the numbers of the case."""
    refine = DenseCRF(
        case.tensor('in_image_u8'), 'psa', scale_factor=float(case['param_scale_factor'])
    )
    unary = unary_from_scores(case.tensor('in_probs'), float(case['param_clip']))
    posterior = refine(unary, int(case['param_iterations']))
    return dict(out_q=posterior, out_pred=posterior.argmax(0))


def check_groups(case, manifest, model, cfg, convert):
    """Members, rates and decays of the shipped optimizer are those of the official groups.

    Args:
        case: Of a training step, with its learning rate and weight decay.
        manifest: Name of the JSON file of the official groups.
        model, cfg: The shipped model and the config that it was built from.
        convert: Official state dict -> ours.

    Returns:
        The optimizer's wrapper, with the numbers of the case.
    """
    official = case.manifest(manifest)
    lr = float(case['param_base_lr'])
    cfg.optim_wrapper.optimizer.update(
        lr=lr,
        weight_decay=float(case['param_weight_decay']),
        momentum=float(case['param_momentum']),
    )
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    assert len(groups) == len(official['groups'])
    for i, (group, members) in enumerate(zip(groups, official['groups'], strict=True)):
        assert np.isclose(group['lr'], lr * official['lr_mult'][i])
        assert np.isclose(group['weight_decay'], official['weight_decay'][i])
        assert {names[p] for p in group['params']} == set(convert(dict.fromkeys(members)))
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == set(convert(dict.fromkeys(official['frozen'])))
    return wrapper


ADAPTERS = {'multiscale_loader': loader, 'merge_multiscale': merge, 'crf': crf}

TOLERANCES = {
    'multiscale_loader/out_batch': close(4e-3),
    'multiscale_loader/*': exact,
    'merge_multiscale/out_pred': exact,
    'merge_multiscale/*': close(1e-5),
    'crf/out_pred': agree(0.999),
    'crf/*': close(1e-3),
}
