"""MCTformer (official code: xulianuwa/MCTformer): refinement and merging of maps, masks,
networks, losses, positions, retraining."""

import numpy as np
import torch
from mmengine.registry import init_default_scope

from mmwsss.converters.deeplab import convert_deeplab
from mmwsss.models.decode_heads.affinity_head import AffinityHead
from mmwsss.ops.affinity import propagate
from mmwsss.ops.cam import merge_cams
from mmwsss.ops.confusion import segmentation_scores, sweep_matrices, threshold_histogram
from mmwsss.ops.dense_crf import DenseCRF, dense_crf, unary_from_scores
from mmwsss.ops.multi_view import merge_logits
from mmwsss.ops.pixel_affinity import dense_affinity
from mmwsss.ops.pseudo_label import add_background
from mmwsss.ops.vit_positions import resize_positions

from .. import mctformer_networks
from ..affinity_net import bare_net, predicted_mask, walked_scores
from ..harness import Case, agree, close, close_to_scale, exact, marginals
from ..networks import network, rgb_inputs

PATCH = 16  # pixels


def v2_pos_embed_interp(case: Case) -> dict:
    """The class tokens come first; the square grid of the training keeps its embedding."""
    positions, num_classes = case.tensor('in_pos_embed'), int(case['param_num_classes'])
    tokens, patches = positions[:, :num_classes], positions[:, num_classes:]
    return {
        name: torch.cat([tokens, resized], dim=1)
        for name, resized in _resized(case, patches, 0.1).items()
    }


def plus_pos_embed_interp(case: Case) -> dict:
    return _resized(case, case.tensor('in_pos_embed_pat'), 0.0)


def _resized(case: Case, patches: torch.Tensor, offset: float) -> dict[str, torch.Tensor]:
    out = {}
    for height, width in case['param_sizes'].tolist():
        grid = height // PATCH, width // PATCH
        same = height == width and grid[0] * grid[1] == patches.shape[1]
        resized = patches if same else resize_positions(patches, grid, offset)
        out[f'out_{height}x{width}'] = resized
    return out


def gen_cam(case: Case) -> dict:
    sizes, present = case['param_sizes'].tolist(), case.tensor('in_label').nonzero()[:, 0]
    views, images = [], torch.zeros_like(present)
    for i, (height, width) in enumerate(sizes):
        maps = case.tensor(f'in_cam_{i}')[0, present].flatten(1)
        affinity = case.tensor(f'in_attn_{i}').sum(0)
        refined = propagate(affinity, maps, images, power=1)
        refined = refined.unflatten(1, (height // PATCH, width // PATCH))
        views.append(refined.flip(-1) if i % 2 else refined)
    return dict(out_class_ids=present, out_cam=merge_cams(views, tuple(sizes[0]), 'mctformer'))


def crf_alpha(case: Case) -> dict:
    crf, cam = DenseCRF(case.tensor('in_image'), 'psa'), case.tensor('in_cam')
    out = dict(out_keys=np.concatenate([[0], case['in_class_ids'] + 1]))
    for key in case.arrays:
        if key.startswith('out_crf_alpha'):
            power = float(key.removeprefix('out_crf_alpha'))
            out[key] = crf(unary_from_scores(add_background(cam[None], power)[0]))
    return out


def psa_rw(case: Case) -> dict:
    taps = [case.tensor(f'in_conv{level}') for level in (4, 5, 6)]
    weights = {f'f8_{i}.weight': case.tensor(f'in_w_f8_{i}') for i in (3, 4, 5)}
    channels = [len(weight) for weight in weights.values()]
    init_default_scope('mmseg')
    head = AffinityHead([tap.shape[1] for tap in taps], channels)
    head.load_state_dict({**weights, 'f9.weight': case.tensor('in_w_f9')})
    with torch.no_grad():
        pairs = head.affinity(taps)
    settings = dict(
        background=case.decimal('param_bg_thr'),
        beta=float(case['param_beta']),
        logt=int(case['param_logt']),
    )
    model, cam = bare_net(pairs, head.radius, settings), case.tensor('in_cam')
    image = torch.zeros(3, *cam.shape[-2:])
    return dict(
        out_pair_affinity=pairs,
        out_dense_affinity=dense_affinity(pairs, taps[0].shape[-2:], head.radius)[0],
        out_rw_logits_sub=walked_scores(model, cam),
        out_label=predicted_mask(model, image, cam, case.tensor('in_class_ids')),
    )


def eval_curve(case: Case) -> dict:
    """All thresholds; the official search stops at the first that is no better."""
    thresholds, num_classes = case.tensor('param_thresholds'), len(case['out_iou_at_030'])
    histogram = 0
    for i in range(sum(key.startswith('in_gt_') for key in case.arrays)):
        cam, labels, truth = (case.tensor(f'in_{n}_{i}') for n in ('cam', 'class_ids', 'gt'))
        histogram = histogram + threshold_histogram(cam, labels, truth, thresholds, num_classes)
    scores = segmentation_scores(sweep_matrices(histogram), 'zero')
    miou = scores['miou'] * 100
    drops = (miou[1:] <= miou[:-1]).nonzero()[:, 0].tolist()
    best, at_030 = (drops or [len(miou) - 1])[0], int((thresholds - 0.3).abs().argmin())
    return dict(
        out_miou=miou,
        out_best_miou_first_drop=miou[best],
        out_best_thr_first_drop=thresholds[best],
        out_iou_at_030=scores['iou'][at_030].nan_to_num(nan=0.0) * 100,
        out_fp_at_030=scores['mean_fp'][at_030] * 100,
        out_fn_at_030=scores['mean_fn'][at_030] * 100,
    )


@torch.no_grad()
def seg_rn38(case: Case) -> dict:
    manifests = f'{case.path.stem}_manifest.json', 'seg_rn38_manifest.json'
    model = network(case, 'resnet38_fov2', convert_deeplab, *manifests)
    return dict(out_logits=model.decode_head(model.extract_feat(rgb_inputs(model, case))))


def seg_test_merge(case: Case) -> dict:
    image = case.tensor('in_image')
    prob = merge_logits(case.views('in_logits_'), image.shape[:2], 'prob_max')[0]
    return dict(
        out_probs=prob[::4],
        out_argmax=prob.argmax(0),
        out_label_crf=dense_crf(image, prob, preset='mctformer').argmax(0),
    )


ADAPTERS = dict(
    v2_pos_embed_interp=v2_pos_embed_interp,
    plus_pos_embed_interp=plus_pos_embed_interp,
    gen_cam=gen_cam,
    crf_alpha=crf_alpha,
    psa_rw=psa_rw,
    eval_curve=eval_curve,
    seg_rn38=seg_rn38,
    seg_test_merge=seg_test_merge,
    **mctformer_networks.ADAPTERS,
)

TOLERANCES = {
    '*/out_class_ids': exact,
    '*_pos_embed_interp/*': close_to_scale(1e-5),
    'gen_cam/*': close_to_scale(1e-5),
    'crf_alpha/out_keys': exact,
    'crf_alpha/*': marginals(1e-4),
    'psa_rw/out_label': agree(0.999),
    'psa_rw/*': close_to_scale(1e-4),
    'eval_curve/*': close(1e-3),
    'seg_rn38/*': close_to_scale(1e-4),
    'seg_test_merge/out_argmax': agree(0.999),
    'seg_test_merge/out_label_crf': agree(0.99),
    'seg_test_merge/*': close_to_scale(1e-5),
    **mctformer_networks.TOLERANCES,
}
