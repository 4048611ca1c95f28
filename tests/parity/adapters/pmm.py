"""PMM (official code: Eli-YiLi/PMM and Eli-YiLi/WSSS_MMSeg): merging, rough and cyclic masks, the
optimizer; the rest is in ``pmm_networks``."""

import numpy as np
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmwsss.engine.schedulers import PolyWarmupLR
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.confusion import segmentation_scores, sweep_matrices, threshold_histogram
from mmwsss.ops.dense_crf import dense_crf
from mmwsss.ops.multi_view import make_resize, view_batches
from mmwsss.ops.pseudo_label import add_background

from .. import pmm_networks
from ..harness import Case, agree, close, crf_arguments, exact
from ..networks import MEAN, STD, imagenet_normalised


def cam_eval_curve(case: Case) -> dict:
    thresholds, num_classes = case.tensor('param_threshold'), case['out_iou_percent'].shape[1]
    histogram = 0
    for cam, classes, truth in zip(
        *(case.tensor(f'in_{name}') for name in ('cam', 'classes', 'gt')), strict=True
    ):
        known = classes >= 0
        histogram = histogram + threshold_histogram(
            cam[known], classes[known], truth, thresholds, num_classes
        )
    scores = segmentation_scores(sweep_matrices(histogram), 'gt_present')
    without_truth = scores['truth_pixels'] == 0
    return dict(
        out_iou_percent=scores['iou'].masked_fill(without_truth, -1) * 100,
        out_miou_percent=scores['miou'] * 100,
    )


def crf_with_alpha(case: Case) -> dict:
    image, cam = case.tensor('in_image'), case.tensor('in_cam')
    scores = add_background(cam[None], float(case['param_alpha']))[0]
    rough, refined = (dense_crf(image, scores, preset=name) for name in ('psa', 'pmm'))
    return dict(out_score=scores, out_rough=rough, out_refine=refined)


def cyclic_mask(case: Case) -> dict:
    prob = case.tensor('in_prob').mean(0)
    parameters = crf_arguments(case['param_crf'])
    best, mask = dense_crf(case.tensor('in_image'), prob, **parameters).max(0)
    return dict(out_mask_no_crf=prob.argmax(0), out_crf_prob_top=best, out_mask=mask)


def multi_scale(case: Case) -> dict:
    image = case['in_image']
    inputs = imagenet_normalised(image.transpose(2, 0, 1))[None]
    resize = make_resize('pil_cubic', MEAN, STD)
    first = next(view_batches(inputs, case['param_scales'].tolist(), False, resize))
    cam = merge_cams(case.views('in_raw', flip=True), image.shape[:2], 'seam')
    return dict(out_input_s05=first[0], out_cam=cam)


class _FourGroups(torch.nn.Module):
    """A weight and a bias of an old and of a new layer, all 1."""

    def __init__(self) -> None:
        super().__init__()
        self.old, self.new = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        for parameter in self.parameters():
            torch.nn.init.ones_(parameter)


def poly_optimizer(case: Case) -> dict:
    """The weight decay in the place of the momentum, as the official class passes it."""
    init_default_scope('mmseg')
    model, steps = _FourGroups(), int(case['param_max_step'])
    optimizer = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            optimizer=dict(
                type='SGD', lr=case.decimal('param_lr'), momentum=5e-4, weight_decay=5e-4
            ),
            constructor='mmwsss.FourGroupOptimWrapperConstructor',
            paramwise_cfg=dict(new='new', lr_mults=(1, 2, 10, 20)),
        ),
    ).optimizer
    scheduler = PolyWarmupLR(optimizer, max_iters=steps, warmup_iters=0, power=0.9, by_epoch=False)
    rates, values = [], []
    for _ in range(steps):
        rates.append([group['lr'] for group in optimizer.param_groups])
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, float(case['param_grad']))
        optimizer.step()
        scheduler.step()
        values.append([group['params'][0].item() for group in optimizer.param_groups])
    return dict(out_lr=np.array(rates), out_value=np.array(values))


ADAPTERS = dict(
    cam_eval_curve=cam_eval_curve,
    crf_with_alpha=crf_with_alpha,
    cyclic_mask=cyclic_mask,
    multi_scale=multi_scale,
    poly_optimizer=poly_optimizer,
    **pmm_networks.ADAPTERS,
)

TOLERANCES = {
    'cam_eval_curve/*': close(1e-4),
    'crf_with_alpha/*': close(1e-3),
    'cyclic_mask/out_mask_no_crf': exact,
    'cyclic_mask/out_mask': agree(0.99),
    'cyclic_mask/*': close(1e-3),
    'multi_scale/*': close(1e-5),
    'poly_optimizer/out_lr': close(1e-12),
    'poly_optimizer/*': close(1e-5),
    **pmm_networks.TOLERANCES,
}
