"""PMM's networks, training steps, losses, smoothing, masks and crops."""

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import LabelData
from mmseg.structures import SegDataSample

from mmwsss.converters.pmm import convert_pmm_classifier
from mmwsss.models import PUFCrossEntropyLoss, ResNet38d, ScaleNet
from mmwsss.models.backbones import Res2NetV1b
from mmwsss.ops.dense_crf import DenseCRF
from mmwsss.ops.multi_crop import crop_labels, multi_crop_cams, summed_areas, tile_boxes
from mmwsss.ops.multi_view import crop_pixels
from mmwsss.ops.ppmg import (
    coefficient_of_variation,
    foreground_scores,
    proportional_label,
    smooth_activation,
)
from mmwsss.ops.resize import upsample
from mmwsss.ops.seam import seam_losses
from mmwsss.registry import MODELS

from .harness import Case, agree, close, close_to_max, exact
from .networks import MEAN, MODEL_CONFIGS, STD, imagenet_normalised, without_dropout


def ppmg(case: Case) -> dict:
    cams, keys = case.tensor('in_cam'), case.tensor('in_keys')
    alpha, threshold, scale = case['param'].tolist()
    scores = foreground_scores(smooth_activation(cams, threshold, scale), alpha)
    foreground = DenseCRF(case.tensor('in_image'), 'pmm').binary(scores)
    return dict(
        out_cv=coefficient_of_variation(cams, threshold, scale),
        out_crf_input=scores,
        out_crf=torch.stack([1 - foreground, foreground], dim=1),
        out_mask=proportional_label(cams, foreground > 0.5, keys),
    )


def ppmg_injected(case: Case) -> dict:
    cams, keys = case.tensor('in_cam'), case.tensor('in_keys')
    alpha, threshold, scale = case['param'].tolist()
    smoothed = smooth_activation(cams, threshold, scale)
    return dict(
        out_cv=coefficient_of_variation(cams, threshold, scale),
        out_smoothed=smoothed,
        out_background_score=foreground_scores(smoothed, alpha)[:, 0],
        out_mask=proportional_label(cams, case.tensor('in_crf_foreground') > 0.5, keys),
    )


def multi_crop_boxes(case: Case) -> dict:
    crop, stride = case['param_crop_stride'].tolist()
    boxes, places = [], []
    for image, (width, height) in enumerate(case['in_size_wh'].tolist()):
        found = tile_boxes((height, width), case['param_scales'].tolist(), crop, stride)
        boxes += found
        places += [[image, scale] for scale, several in enumerate(found) for _ in several]
    return dict(out_box_xyxy=_xyxy(torch.cat(boxes)), out_image_scale_index=np.array(places))


def _xyxy(boxes: torch.Tensor) -> torch.Tensor:
    return boxes[:, [2, 0, 3, 1]]


def multi_crop(case: Case) -> dict:
    crop, stride = case['param_crop_stride'].tolist()
    image, raw = case['in_image'], case.tensor('in_raw')
    size = image.shape[:2]
    scales = tile_boxes(size, case['param_scales'].tolist(), crop, stride)
    boxes = torch.cat(scales)
    inputs = (torch.from_numpy(image).permute(2, 0, 1) - MEAN) / STD
    seen, given = [], iter(raw)

    def forward(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch)
        return torch.stack([next(given) for _ in batch])

    crops = (crop_pixels(inputs, some, (crop, crop), MEAN, STD) for some in boxes.split(3))
    cam = multi_crop_cams(forward, crops, boxes, size)
    xyxy = _xyxy(boxes)
    return dict(
        out_boxes_xywh=torch.cat([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], dim=1),
        out_boxes_per_scale=[len(several) for several in scales],
        out_inputs_sub=torch.cat(seen)[..., ::56, ::56],
        out_cam=cam,
    )


def crop_label(case: Case) -> dict:
    confidence, share = case['param_thresh'].tolist()
    labels, keys = case.tensor('in_label'), case.tensor('in_heat_keys')
    boxes = case.tensor('in_boxes_xyxy')[:, [1, 3, 0, 2]]
    shown = crop_labels(summed_areas(case.tensor('in_heat') > confidence), boxes, share)
    out = torch.zeros(len(boxes), len(labels))
    foreground = keys > 0
    out[:, keys[foreground] - 1] = shown[:, foreground].float()
    return dict(out_label=out * labels)


def _losses(case: Case, losses: dict) -> np.ndarray:
    total = losses['loss_cls'] + losses['loss_er'] + losses['loss_ecr']
    losses = {'loss': total, **losses}
    return np.array([losses[name].item() for name in case['param_names']])


def seam_loss(case: Case) -> dict:
    names = ('in_cam1', 'in_cam_rv1', 'in_cam2', 'in_cam_rv2')
    maps = [case.tensor(name).requires_grad_() for name in names]
    losses = seam_losses(*maps, case.tensor('in_label'))
    sum(losses[name] for name in ('loss_cls', 'loss_er', 'loss_ecr')).backward()
    return dict(
        out_losses=_losses(case, losses), out_grad_norm=torch.stack([m.grad.norm() for m in maps])
    )


def _seam(case: Case):
    """The shipped model with the seeded weights of the official keys."""
    init_default_scope('mmseg')
    name = next(n for n in ('resnet38', 'scalenet101') if case.path.stem.startswith(n))
    manifests = f'{case.path.stem}_manifest.json', f'{name}_seam_manifest.json'
    weights = convert_pmm_classifier(case.weights(*manifests))
    config = Config.fromfile(MODEL_CONFIGS / f'seam_{name}.py').model
    config.decode_head.num_classes = len(weights['decode_head.fc8.weight']) - 1
    model = MODELS.build(config)
    model.load_state_dict(weights, strict=True)
    return model


@torch.no_grad()
def seam_network(case: Case) -> dict:
    model, images = _seam(case).eval(), imagenet_normalised(case['in_image'])
    out = {}
    for name, maps in zip(('cam', 'cam_rv'), model.maps(images), strict=True):
        maps = upsample(maps, images.shape[-2:], align_corners=True)
        out[f'out_{name}_sub'] = maps[..., ::8, ::8]
        out[f'out_{name}_mean'] = maps.mean((2, 3))
    return out


def seam_step(case: Case) -> dict:
    model = without_dropout(_seam(case))
    samples = [
        SegDataSample(gt_image_labels=LabelData(label=label)) for label in case.tensor('in_label')
    ]
    losses = model.loss(imagenet_normalised(case['in_image']), samples)
    sum(losses[name] for name in ('loss_cls', 'loss_er', 'loss_ecr')).backward()
    norms = []
    for name in case['param_grad_names'].tolist():
        (ours,) = convert_pmm_classifier({name: torch.empty(1, 1)})
        norms.append(model.get_parameter(ours).grad.norm())
    return dict(out_losses=_losses(case, losses), out_grad_norm=torch.stack(norms))


def puf_loss(case: Case) -> dict:
    label = case.tensor('in_label').long()

    def run(temperature: float, weight: torch.Tensor | None = None, **kwargs):
        logits = (case.tensor('in_logits') * temperature).requires_grad_()
        loss = PUFCrossEntropyLoss(**kwargs)(logits, label, weight)
        return logits, loss

    shape = case['out_loss'].shape
    loss, norm = np.empty(shape, np.float32), np.empty(shape, np.float32)
    maps, plain = np.empty_like(case['out_loss_map']), []
    for i, temperature in enumerate(case['param_temperature'].tolist()):
        settings = zip(case['param_type'], case['param_beta'], case['param_k'], strict=True)
        plain.append(run(temperature, kind=None)[1].item())
        for j, (kind, beta, k) in enumerate(settings):
            given = dict(kind=str(kind) or None, beta=float(beta), k=float(k))
            logits, value = run(temperature, **given)
            value.backward()
            loss[i, j], norm[i, j] = value.item(), logits.grad.norm().item()
            maps[i, j] = run(temperature, **given, reduction='none')[1].detach()
    logits, weighted = run(1.0, case.tensor('in_pixel_weight'), loss_weight=0.4)
    weighted.backward()
    return dict(
        out_plain_mean=np.array(plain),
        out_loss=loss,
        out_grad_norm=norm,
        out_loss_map=maps,
        out_weighted=weighted.detach(),
        out_weighted_grad_norm=logits.grad.norm(),
    )


def _backbone(case: Case, kind: type, name: str) -> dict:
    model = kind(out_indices=(0, 1, 2, 3))
    manifests = f'{case.path.stem}_manifest.json', f'{name}_manifest.json'
    model.load_state_dict(case.weights(*manifests), strict=True)
    with torch.no_grad():
        maps = model.eval()((case.tensor('in_image') - MEAN) / STD)
    out = {}
    for i, features in enumerate(maps):
        out[f'out_{i}_ch'] = features[:, :: features.shape[1] // 16]
        out[f'out_{i}_mean'] = features.mean((2, 3))
    return out


def mmseg_wideres38(case: Case) -> dict:
    return _backbone(case, ResNet38d, 'mmseg_wideres38')


def mmseg_res2net101(case: Case) -> dict:
    return _backbone(case, Res2NetV1b, 'mmseg_res2net101')


def mmseg_scalenet101(case: Case) -> dict:
    return _backbone(case, ScaleNet, 'mmseg_scalenet101')


ADAPTERS = dict(
    ppmg=ppmg,
    ppmg_params=ppmg,
    ppmg_injected=ppmg_injected,
    multi_crop=multi_crop,
    multi_crop_boxes=multi_crop_boxes,
    crop_label=crop_label,
    seam_loss=seam_loss,
    resnet38_seam=seam_network,
    resnet38_seam_step=seam_step,
    scalenet101_seam=seam_network,
    scalenet101_seam_step=seam_step,
    puf_loss=puf_loss,
    mmseg_wideres38=mmseg_wideres38,
    mmseg_res2net101=mmseg_res2net101,
    mmseg_scalenet101=mmseg_scalenet101,
)

TOLERANCES = {
    'ppmg*/out_cv': close(1e-4),
    'ppmg_injected/out_mask': exact,
    'ppmg_injected/*': close(1e-5),
    'ppmg*/out_mask': agree(0.99),
    'ppmg*/out_crf_input': close(1e-5),
    'ppmg*/out_crf': close(1e-3),
    'multi_crop_boxes/*': exact,
    'multi_crop/out_boxes*': exact,
    'multi_crop/out_inputs_sub': close(3e-2),
    'multi_crop/*': close(1e-3),
    'crop_label/*': exact,
    'seam_loss/out_losses': close(1e-5),
    'seam_loss/*': close(rtol=1e-3),
    '*_seam/*': close_to_max(2e-3),
    '*_seam_step/out_losses': close(rtol=1e-3),
    '*_seam_step/*': close(rtol=1e-2),
    'puf_loss/*grad_norm': close(rtol=1e-3),
    'puf_loss/*': close(1e-5),
    'mmseg_*/*': close_to_max(2e-3),
}
