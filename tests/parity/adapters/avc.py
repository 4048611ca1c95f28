"""AVC (official code: xupeijun01/AVC) and its baseline TransCAM (liruiwen/TransCAM): labels,
random walk, retraining."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmwsss.converters.deeplab import convert_deeplab
from mmwsss.engine.schedulers import PolyWarmupLR
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.dense_crf import dense_crf, refine_labels
from mmwsss.ops.multi_view import merge_logits
from mmwsss.ops.pixel_affinity import pair_labels, transition_power
from mmwsss.ops.pixels import crf_image
from mmwsss.ops.pseudo_label import confident_label, decide, threshold_label
from mmwsss.ops.resize import upsample

from ..harness import Case, agree, close, close_to_scale, exact, with_spread
from ..networks import MEAN, STD, imagenet_normalised, network, rgb_inputs, without_dropout

PENDING = ('transcam_net', 'transcam_train_step', 'apc', 'recon_terms')
MANIFEST = 'deeplabv1_rn38_manifest.json'
LABELS = 21  # of TransCAM's label CRF: those of VOC, present or not


def transcam_aff_label(case: Case) -> dict:
    label = confident_label(case.tensor('in_label_060'), case.tensor('in_label_025')).long()
    parts = pair_labels(label[None], int(case['param_radius']))
    names = ('out_bg_pos', 'out_fg_pos', 'out_neg')
    return dict(zip(names, (part[0] for part in parts), strict=True), out_label=label)


def transcam_infer_merge(case: Case) -> dict:
    image, present = case.tensor('in_image'), case.tensor('in_label').nonzero()[:, 0]
    views = [view[0, present + 1] for view in case.views('in_cam_', flip=True)]
    cam = merge_cams(views, image.shape[:2], 'seam')
    out = dict(out_class_ids=present, out_cam=cam)
    for key in case.arrays:
        if key.startswith('out_crf_label_'):
            background = int(key.removeprefix('out_crf_label_')) / 100
            label = threshold_label(cam[None], present[None], background)[0]
            labels = 1 + len(case['in_label'])
            out[key] = refine_labels(image, label, num_labels=labels, preset='irn')
    return out


def transcam_rw(case: Case) -> dict:
    """With a matrix that also has the pairs at the border, which no network gives."""
    image, cam = torch.from_numpy(case['in_image'][0]).permute(1, 2, 0), case.tensor('in_cam')
    keys, (height, width) = case.tensor('in_class_ids'), image.shape[:2]
    scores = F.pad(cam, (0, 0, 0, 0, 1, 0), value=case.decimal('param_bkg'))
    scores = F.pad(scores, (0, -width % 8, 0, -height % 8))
    pooled = F.avg_pool2d(scores, 8)
    beta, logt = float(case['param_beta']), int(case['param_logt'])
    step = transition_power(case.tensor('in_affinity')[None], beta, logt)[0]
    walked = (pooled.flatten(1) @ step).view_as(pooled)
    walked = upsample(walked, scores.shape[-2:])
    label = decide(walked[None], keys[None])[0]
    refined = refine_labels(image, label[:height, :width], num_labels=LABELS, preset='irn')
    return dict(out_rw_scores=walked, out_label_before_crf=label, out_label=refined)


# ---- retraining ----


@torch.no_grad()
def deeplabv1_rn38(case: Case) -> dict:
    manifests = f'{case.path.stem}_manifest.json', MANIFEST
    model = network(case, 'deeplabv1_resnet38', convert_deeplab, *manifests)
    inputs = rgb_inputs(model, case)
    logits = model.decode_head(model.extract_feat(inputs))
    full = upsample(logits, inputs.shape[-2:], model.align_corners)
    return dict(out_logits_stride8=logits, out_logits_sub=full[..., ::8, ::8])


def deeplabv1_train_step(case: Case) -> dict:
    """Chaotic as ``train_step_dlv1_rn38`` of deeplab_retrain: other last bits of the input move the
    gradient norm of ``conv1a`` by up to 5e-3, and the loss not at all.
    """
    x = imagenet_normalised(case['in_image']).contiguous()
    return with_spread(partial(_deeplabv1_step, case), x, draws=4)


def _deeplabv1_step(case: Case, x: torch.Tensor) -> dict:
    manifests = f'{case.path.stem}_manifest.json', MANIFEST
    model = without_dropout(network(case, 'deeplabv1_resnet38', convert_deeplab, *manifests))
    labels = case.tensor('in_label').long()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]
    loss = model.loss(x, samples)['decode.loss_ce']
    loss.backward()
    ours = {v: k for k, v in convert_deeplab({k: k for k in case.manifest(*manifests)}).items()}
    state, out = model.state_dict(), dict(out_loss=loss.item())
    for key in case.arrays:
        kind, _, name = key.removeprefix('out_').partition('__')
        if kind == 'gradnorm':
            out[key] = model.get_parameter(ours[name]).grad.norm().item()
    for layer in ('backbone.bn7', 'bn_fov'):
        key = f'out_running_mean_{layer.rpartition(".")[2]}_after'
        out[key] = state[ours[f'{layer}.running_mean']].numpy()
    return out


def deeplab_test_merge(case: Case) -> dict:
    image = case['in_image']
    views = case.views('in_logits_', flip=True)
    merged = merge_logits(views, image.shape[-2:], 'logit_mean', align_corners=True)
    prob = merged[0].softmax(0)
    seen = crf_image(imagenet_normalised(image), MEAN, STD, 'truncated')
    posterior = dense_crf(seen, prob, preset='avc')
    return dict(
        out_prob=prob[::4],
        out_label=prob.argmax(0),
        out_crf_prob=posterior[::4],
        out_label_crf=posterior.argmax(0),
    )


def deeplab_lr(case: Case) -> dict:
    rate = case.decimal('param_lr')
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(4)]
    rows = []
    for step in case['in_iter'].tolist():
        groups = [
            dict(params=[parameter], lr=rate * factor, initial_lr=rate * factor)
            for parameter, factor in zip(parameters, (1, 2, 10, 20), strict=True)
        ]
        optimizer = torch.optim.SGD(groups)
        PolyWarmupLR(
            optimizer,
            max_iters=int(case['param_max_iter']) + 1,
            warmup_iters=0,
            power=case.decimal('param_power'),
            last_step=step - 1,
            by_epoch=False,
        )
        rows.append([group['lr'] for group in optimizer.param_groups])
    return dict(out_lr=np.array(rows))


ADAPTERS = dict(
    transcam_aff_label=transcam_aff_label,
    transcam_infer_merge=transcam_infer_merge,
    transcam_rw=transcam_rw,
    deeplabv1_rn38=deeplabv1_rn38,
    deeplabv1_train_step=deeplabv1_train_step,
    deeplab_test_merge=deeplab_test_merge,
    deeplab_lr=deeplab_lr,
)

TOLERANCES = {
    'transcam_aff_label/*': exact,
    'transcam_infer_merge/out_class_ids': exact,
    'transcam_infer_merge/out_crf*': agree(0.99),
    'transcam_infer_merge/*': close_to_scale(1e-5),
    'transcam_rw/out_label_before_crf': exact,
    'transcam_rw/out_label': agree(0.99),
    'transcam_rw/*': close_to_scale(1e-4),
    'deeplabv1_rn38/*': close_to_scale(1e-4),
    'deeplabv1_train_step/out_gradnorm*': close_to_scale(1e-3),
    'deeplabv1_train_step/*': close_to_scale(1e-4),
    'deeplab_test_merge/out_label*': agree(0.999),
    'deeplab_test_merge/out_crf*': close_to_scale(1e-3),
    'deeplab_test_merge/*': close_to_scale(1e-5),
    'deeplab_lr/*': close(1e-7),
}
