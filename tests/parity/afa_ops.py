"""The parts of AFA's family that are functions of their own; adapters/afa.py includes them."""

import torch

from mmwsss.models.losses import DenseEnergyLoss
from mmwsss.models.refiners import PAR
from mmwsss.ops.affinity.token_contrast import token_affinity_label, token_contrast_loss
from mmwsss.ops.losses.dense_energy import bilateral_filter
from mmwsss.ops.pseudo_label import inside_box, region_label, region_level

from .harness import close, exact


def par(case):
    image, mask = case.tensor('in_image').float() / 255, case.tensor('in_mask')
    options = dict(dilations=case['param_dilations'].tolist(), resize='masks')
    iterations = int(case['param_num_iter'])
    return dict(
        out_mask=PAR(iterations=iterations, **options)(image, mask),
        out_mask_after_1=PAR(iterations=1, **options)(image, mask),
    )


def energy_loss(case):
    images, logits = case.tensor('in_image').float(), case.tensor('in_logits').requires_grad_()
    label, box = case.tensor('in_label').long(), case.tensor('in_img_box').long()
    scale, sigma_xy = float(case['param_scale_factor']), float(case['param_sigma_xy'])
    options = dict(sigma_xy=sigma_xy, sigma_rgb=float(case['param_sigma_rgb']), scale_factor=scale)
    loss = DenseEnergyLoss(1.0, float(case['param_weight']), **options)(logits, images, label, box)
    loss.backward()

    def smaller(x, mode):
        return torch.nn.functional.interpolate(x, scale_factor=scale, mode=mode)

    inside = smaller(inside_box(box, images.shape[-2:])[:, None].float(), 'nearest')
    segmentation = smaller(logits.detach().softmax(dim=1), 'bilinear') * inside
    filtered = bilateral_filter(
        smaller(images, 'nearest'), segmentation, sigma_xy * scale, options['sigma_rgb']
    )
    return dict(out_loss=loss.detach().view(1), out_grad=logits.grad, out_AS=filtered)


def toco_ptc(case):
    features = case.tensor('in_feat').requires_grad_()
    target = token_affinity_label(case.tensor('in_label').long())
    loss = token_contrast_loss(features, target)
    loss.backward()
    return dict(out_aff_mask=target, out_loss=loss.detach(), out_grad=features.grad)


def cam_to_roi_mask(case):
    cams, labels = case.tensor('in_cam'), case.tensor('in_cls_label')
    index = torch.arange(cams.shape[1]).expand(cams.shape[:2])
    classes = index.masked_fill(labels == 0, -1)
    low, high = float(case['param_low_thre']), float(case['param_high_thre'])
    box = case.tensor('in_img_box').long()
    return dict(
        out_roi_mask_toco=region_level(cams, classes, low, high),
        out_roi_mask_seco=region_label(cams, classes, low, high, box),
    )


ADAPTERS = dict(
    cam_to_roi_mask=cam_to_roi_mask, energy_loss=energy_loss, par=par, toco_ptc=toco_ptc
)

# inputs of comparisons, and results of other algorithms, that are stored as outputs
GIVEN = {'energy_loss': ('out_exact_gauss_AS',)}

TOLERANCES = {
    'cam_to_roi_mask/*': exact,
    'energy_loss/out_AS': close(rtol=1e-4),
    'energy_loss/out_loss': close(rtol=1e-4),
    'energy_loss/out_grad': close(1e-11),
    'par/*': close(2e-6),
    'toco_ptc/out_aff_mask': exact,
    'toco_ptc/out_loss': close(1e-6),
    'toco_ptc/out_grad': close(1e-7),
}
