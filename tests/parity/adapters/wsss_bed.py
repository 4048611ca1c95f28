"""WSSS-BED (official code: clovaai/WSSS-BED): its label rule, classifier and networks."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.converters.deeplab import convert_deeplab
from mmwsss.converters.psa import convert_psa
from mmwsss.engine.schedulers import StepwisePolyLR
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.confusion import segmentation_scores
from mmwsss.ops.dense_crf import dense_crf
from mmwsss.ops.multi_view import make_resize, view_batches
from mmwsss.ops.resize import resize_label, upsample
from mmwsss.ops.saliency import quantize, saliency_guided_label
from mmwsss.ops.saliency.sweep import joint_histogram, sweep_confusions

from ..harness import Case, close, close_to_max, crf_arguments, exact, marginals
from ..networks import MEAN, STD, imagenet_normalised, network, rgb_inputs

CONFIGS = Path(__file__).parents[3] / 'configs/_base_'


def label_rule(case: Case) -> dict:
    maps, classes = case.tensor('in_activation'), case.tensor('in_classes').long()
    saliency = case.tensor('in_saliency')
    labels = []
    for sal_thresh, tau, ignore, without in case['param_table'].tolist():
        given = dict(saliency=None) if without else dict(saliency=saliency, ignore=bool(ignore))
        labels.append(saliency_guided_label(maps, classes, tau=tau, sal_thresh=sal_thresh, **given))
    return dict(out_label=torch.stack(labels))


def threshold_sweep(case: Case) -> dict:
    taus, thresholds = case.tensor('param_atm_thresh'), case.tensor('param_sal_thresh')
    binary = _confusions(case, taus, thresholds).transpose(0, 1)
    scores = segmentation_scores(binary)
    without = segmentation_scores(_confusions(case, taus)[:, 0])
    return dict(
        out_confusion=binary[..., :-1],
        out_miou=scores['miou'],
        out_miou_valid=segmentation_scores(binary, empty='gt_present')['miou'],
        out_iou=scores['iou'],
        out_miou_wo_sal=without['miou'],
    )


def _confusions(case: Case, taus: torch.Tensor, thresholds: torch.Tensor | None = None):
    """All images in one pass; without ``thresholds`` the saliency is not used."""
    count = case['out_iou'].shape[-1]
    given = {} if thresholds is None else dict(sal_thresholds=thresholds)
    bins = len(taus) + 1, len(given.get('sal_thresholds', [0])) + 1
    total = torch.zeros(count, count, *bins, dtype=torch.int64)
    images = (case.tensor(f'in_{name}') for name in ('activation', 'classes', 'saliency', 'gt'))
    for maps, classes, saliency, truth in zip(*images, strict=True):
        used = classes >= 0
        maps, classes = maps[used], classes[used].long()
        saliency = saliency if given else None
        rows, columns, counts = joint_histogram(
            maps, classes, saliency, truth, taus, num_classes=count, **given
        )
        total[rows[:, None], columns] += counts
    return sweep_confusions(total)


def cam_multiscale(case: Case) -> dict:
    image, present = case['in_image'], case.tensor('in_classes').long()
    inputs = imagenet_normalised(image.transpose(2, 0, 1))[None]
    scales, resize = case['param_scales'].tolist(), make_resize('pil_cubic', MEAN, STD)
    seen, out = view_batches(inputs, scales, True, resize), {}
    for scale, (plain, mirrored) in zip(scales, seen, strict=True):
        name = f'out_input_s{round(10 * scale):02d}'
        out.update({name: plain, f'{name}_flip': mirrored})
    views = [view[present] for view in case.views('in_raw', flip=True)]
    cam = merge_cams(views, image.shape[:2], 'psa')
    return dict(
        out,
        out_sum=sum(upsample(view, image.shape[:2]) for view in views),
        out_norm=cam,
        out_png=quantize(cam),
    )


@torch.no_grad()
def resnet38_cls(case: Case) -> dict:
    manifests = f'{case.path.stem}_manifest.json', 'resnet38_cls_manifest.json'
    model = network(case, 'resnet38_cls', convert_psa, *manifests)
    model.backbone.out_indices = (1, 2, 3)
    features = model.extract_feat(rgb_inputs(model, case))
    conv4, conv5, conv6 = features
    return dict(
        out_logits=model.decode_head(features),
        out_cam=model.decode_head.cam(features),
        out_conv4_ch=conv4[:, ::64],
        out_conv5_ch=conv5[:, ::128],
        out_conv6_ch=conv6[:, ::512],
        out_conv6_mean=conv6.mean((2, 3)),
    )


def crf(case: Case) -> dict:
    image, prob = case.tensor('in_image'), case.tensor('in_prob')
    return {
        f'out_{name}': dense_crf(image, prob, **crf_arguments(case[f'param_{name}']))
        for name in ('deeplab', 'classifier')
    }


def poly_lr(case: Case) -> dict:
    rates = case['param_lr'].tolist()
    groups = [dict(params=[torch.zeros(1, requires_grad=True)], lr=rate) for rate in rates]
    optimizer = torch.optim.SGD(groups)
    scheduler = StepwisePolyLR(
        optimizer,
        max_iters=int(case['param_iter_max']),
        interval=int(case['param_step']),
        power=float(case['param_power']),
        by_epoch=False,
    )
    used = []
    for _ in case['out_lr_used']:
        used.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return dict(out_lr_used=np.array(used))


def deeplabv2_msc(case: Case) -> dict:
    manifests = f'{case.path.stem}_manifest.json', 'deeplabv2_msc_manifest.json'
    model = network(case, 'deeplabv2_r101', convert_deeplab, *manifests).train()
    inputs, label = case.tensor('in_image'), case.tensor('in_label').long()
    with torch.no_grad():
        scales = model.forward_scales(inputs)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in label]
    losses = model.loss(inputs, samples)
    parts = torch.stack([value for key, value in losses.items() if key.endswith('loss_ce')])
    loss = parts.sum() / 2  # gradients of two batches are added up
    loss.backward()
    ours = {v: k for k, v in convert_deeplab({k: k for k in case.manifest(*manifests)}).items()}
    names = [ours[f'base.{name}'] for name in case['param_grad_names']]
    _check_groups(model, case['param_group_sizes'])
    return dict(
        out_eval=scales[-1],
        out_logits=scales[0],
        out_logits_05=scales[1],
        out_logits_075=scales[2],
        out_label_05=resize_label(label, scales[1].shape[-2:]),
        out_loss_parts=parts.detach(),
        out_loss=loss.detach(),
        out_grad_norm=np.array([model.get_parameter(name).grad.norm() for name in names]),
    )


def _check_groups(model: torch.nn.Module, sizes: np.ndarray) -> None:
    """How many numbers learn at 1, 10 and 20 times the rate of the shipped schedule."""
    cfg = Config.fromfile(CONFIGS / 'schedules/deeplabv2_20k.py').optim_wrapper
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    for factor, size in zip((1, 10, 20), sizes, strict=True):
        mine = [g for g in groups if np.isclose(g['lr'], factor * cfg.optimizer.lr)]
        assert sum(p.numel() for g in mine for p in g['params'] if p.requires_grad) == size


def _bytes(ours: np.ndarray, golden: np.ndarray) -> str:
    """One level off in at most 0.1 % of the pixels."""
    off = np.abs(ours.astype(int) - golden.astype(int))
    return '' if off.max() <= 1 and (off > 0).mean() <= 1e-3 else f'{(off > 0).mean():.4f} differ'


ADAPTERS = dict(
    label_rule=label_rule,
    threshold_sweep=threshold_sweep,
    cam_multiscale=cam_multiscale,
    resnet38_cls=resnet38_cls,
    crf=crf,
    poly_lr=poly_lr,
    deeplabv2_msc=deeplabv2_msc,
)

TOLERANCES = {
    'label_rule/*': exact,
    'threshold_sweep/out_confusion': exact,
    'threshold_sweep/*': close(1e-6),
    'cam_multiscale/out_input*': close(2e-2),
    'cam_multiscale/out_png': _bytes,
    'cam_multiscale/*': close(1e-5),
    'resnet38_cls/*': close(atol=1e-3, rtol=1e-3),
    'crf/*': marginals(1e-4, 0.99),
    'poly_lr/*': close(1e-12),
    'deeplabv2_msc/out_label*': exact,
    'deeplabv2_msc/out_logits*': close_to_max(1e-3),
    'deeplabv2_msc/out_eval': close_to_max(1e-3),
    'deeplabv2_msc/out_grad_norm': close(rtol=5e-3),
    'deeplabv2_msc/*': close(rtol=1e-3),
}
