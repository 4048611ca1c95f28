"""CLIP-ES (official code: linyq2117/CLIP-ES)."""

from functools import partial
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample
from open_clip.tokenizer import SimpleTokenizer

from mmwsss.models.backbones import clip_vit
from mmwsss.models.backbones.clip_vit import CLIPRequest, FrozenCLIP
from mmwsss.models.data_preprocessor import AnySizePreProcessor
from mmwsss.models.segmentors.clip_es import CLIPES
from mmwsss.models.text_encoders.text_features import text_features
from mmwsss.ops.affinity import mean_attention, sinkhorn_symmetric
from mmwsss.ops.affinity.box_mask import box_mask, connected_components
from mmwsss.ops.affinity.caa import class_aware_affinity
from mmwsss.ops.cam import minmax_normalize
from mmwsss.ops.clip.vit import embed_patches, interpolate_positions, run_block
from mmwsss.ops.confusion import confusion_matrix, segmentation_scores
from mmwsss.ops.dense_crf import DenseCRF, unary_from_scores
from mmwsss.ops.multi_view import resize_to_multiple
from mmwsss.ops.pixels import crf_image
from mmwsss.ops.pseudo_label import add_background, decide, threshold_label
from mmwsss.ops.resize import upsample
from mmwsss.registry import MODELS
from mmwsss.testing import labelled_sample, multi_hot

from ..harness import Case, agree, close, close_to_max, exact

CONFIGS = Path(__file__).parents[3] / 'configs'
SIZES = ('tiny', 'small', 'vitb16')


def preprocess(case: Case) -> dict:
    normalizer = _preprocessor(_config(case))
    image = normalizer(dict(inputs=[_bgr(case)]))['inputs'][0]
    out = {}
    for i, scale in enumerate(case['param_scales'].tolist()):
        view = resize_to_multiple(image, scale, 16, normalizer.mean, normalizer.std)
        out[f'out_image_{2 * i}'], out[f'out_image_{2 * i + 1}'] = view, view.flip(-1)
    return out


def tokenizer(case: Case) -> dict:
    return dict(out_tokens=SimpleTokenizer()([str(text) for text in case['in_texts']]))


def text(case: Case) -> dict:
    names, templates = ([str(t) for t in case[k]] for k in ('in_names', 'param_templates'))
    return dict(out_features=text_features(_clip(case), names, templates))


@torch.no_grad()
def frozen_layers(case: Case) -> dict:
    clip, image = _clip(case), case.tensor('in_image')
    grid = tuple(side // clip.patch_size for side in image.shape[-2:])
    x, attn = embed_patches(clip.visual, image), []
    for block in clip.visual.transformer.resblocks[:-1]:
        x, _, weights = run_block(block, x, 'mean')
        attn.append(weights)
    features = clip.encode(image, CLIPRequest(attn=len(attn) + 1))
    torch.testing.assert_close(features.attn, torch.stack(attn)[..., 1:, 1:])
    with _half_positions():
        asis = clip.encode(image).tokens[-1]
    return dict(
        out_pos_embed=interpolate_positions(clip.visual.positional_embedding, grid),
        out_tokens=features.tokens[-1].transpose(0, 1),
        out_attn=torch.stack(attn),
        out_tokens_asis=asis.transpose(0, 1),
    )


def gradcam(case: Case) -> dict:
    clip, image = _clip(case), case.tensor('in_image')
    foreground, background = case.tensor('in_fg_text'), case.tensor('in_bg_text')
    index, labels = case.tensor('in_pair_image'), case.tensor('in_pair_label')
    mask = torch.zeros(len(image), len(foreground) + len(background), dtype=torch.bool)
    mask[:, len(foreground) :] = True
    mask[index, labels] = True
    texts = torch.cat([foreground, background])

    def run() -> tuple:
        features = clip.encode(image)
        seed = clip.gradcam(features.tokens[-1], texts, mask, index, labels)
        raw = seed.cam.unflatten(1, features.grid)
        return seed, raw, minmax_normalize(minmax_normalize(raw.relu()))

    seed, raw, cam = run()
    with _half_positions():
        asis = run()[2]
    return dict(
        out_prob=seed.prob[index, labels],
        out_weight=seed.weights,
        out_cam_raw=raw,
        out_cam=cam,
        out_attn_last=seed.attn,
        out_cam_asis=asis,
    )


def scoremap2bbox(case: Case) -> dict:
    """The union of the boxes alone: the single boxes are of no use to us."""
    out = {}
    for k in _numbers(case, 'in_map_'):
        cam, threshold = case.tensor(f'in_map_{k}'), float(case[f'param_threshold_{k}'])
        if not case[f'param_multi_{k}']:
            cam = _largest_part(cam, threshold)
        out[f'out_mask_{k}'] = box_mask(cam[None], threshold)[0]
    return out


def _largest_part(cam: torch.Tensor, threshold: float) -> torch.Tensor:
    """1 in the strong component with the largest contour, 0 elsewhere."""
    grey = (cam * 255).floor()
    binary = grey > int(threshold * grey.max().double())
    contours = cv2.findContours(binary.byte().numpy(), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not contours:
        return torch.zeros_like(cam)
    x, y = max(contours, key=cv2.contourArea)[0, 0]
    ids = connected_components(binary[None])[0]
    return (ids == ids[y, x]).to(cam)


def caa(case: Case) -> dict:
    attn, cams = case.tensor('in_attn')[:, None, 1:, 1:], case.tensor('in_cam')
    threshold = float(case['param_box_threshold'])
    mean = mean_attention(attn, int(case['param_last_layers']))
    matrix = sinkhorn_symmetric(mean)[0]
    index = torch.zeros(len(cams), dtype=torch.long)
    refined = class_aware_affinity(mean, cams, index, threshold)
    size = tuple(case['param_out_hw'].tolist())
    return dict(
        out_attn_mean=mean[0],
        out_trans=matrix @ matrix,
        out_box_mask=box_mask(cams, threshold),
        out_refined=refined,
        out_highres_fp16=upsample(minmax_normalize(refined), size),
    )


def scale_cam(case: Case) -> dict:
    return {
        f'out_cam_{k}': upsample(minmax_normalize(case.tensor(f'in_cam_{k}')), tuple(size))
        for k in _numbers(case, 'in_cam_')
        for size in [case[f'param_out_hw_{k}'].tolist()]
    }


def decision(case: Case) -> dict:
    cams = torch.from_numpy(case['in_cams'])[None]  # float16, as the official arithmetic
    keys, truth = case.tensor('in_keys')[None], case.tensor('in_gt')
    out = {}
    for name in _numbers(case, 'out_label_'):
        if float(name) < 1:
            label = threshold_label(cams, keys, float(name))
        else:
            label = decide(add_background(cams, float(name)), keys)
        num_classes = 1 + max(20, int(keys.max()) + 1)
        scores = segmentation_scores(confusion_matrix(label[0], truth, num_classes), 'gt_present')
        out |= {f'out_label_{name}': label[0], f'out_miou_{name}': scores['miou']}
    return out


def crf(case: Case) -> dict:
    cams, keys = torch.from_numpy(case['in_cams']), case.tensor('in_keys')[None]
    mean, one = case.tensor('param_mean_bgr'), torch.ones(3)
    image = _bgr(case).float() - mean.view(3, 1, 1)
    image = crf_image(image, mean, one, 'wrapped')
    prob = add_background(cams[None])[0]
    unary = unary_from_scores(prob.float()).half().float()
    q = DenseCRF(image, preset='deeplabv2')(unary)
    label = decide(q[None], keys)[0]
    return dict(
        out_crf_image=image,
        out_unary_prob=prob.float(),
        out_q=q,
        out_label=label.masked_fill(q.amax(0) < 0.95, 255),
        out_label_eval=label,
    )


def full(case: Case) -> dict:
    cfg = _config(case)
    cfg.model.backbone.update(checkpoint=_weights(case), quick_gelu=True)
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).eval()
    assert isinstance(model, CLIPES)
    labels = case.tensor('in_labels')
    (hot,) = multi_hot(labels.tolist(), num_classes=model.text.num_classes)

    def run() -> SegDataSample:
        sample = labelled_sample(hot, ori_shape=case['in_image_rgb'].shape[:2])
        return model.test_step(dict(inputs=[_bgr(case)], data_samples=[sample]))[0].pred_cam

    result = run()
    with _half_positions():
        asis = run()
    order = torch.searchsorted(result.labels, labels)  # the annotation's order
    return dict(
        out_keys=result.labels[order],
        out_attn_highres=result.cam[order].half(),
        out_attn_highres_asis=asis.cam[order].half(),
    )


def _half_positions():
    """The official code without its CUDA half precision: positions alone are rounded."""
    rounded = lambda visual, image, _, *options: embed_patches(visual, image, True, *options)  # noqa: E731
    return mock.patch.object(clip_vit, 'embed_patches', rounded)


def _config(case: Case) -> Config:
    name = 'coco' if 'coco' in case.path.stem else 'voc'
    return Config.fromfile(CONFIGS / f'wsss/clip_es_{name}.py')


def _preprocessor(cfg: Config) -> AnySizePreProcessor:
    arguments = cfg.data_preprocessor.to_dict()
    arguments.pop('type')
    return AnySizePreProcessor(**arguments)


def _bgr(case: Case) -> torch.Tensor:
    return case.tensor('in_image_rgb').permute(2, 0, 1).flip(0)


def _weights(case: Case) -> dict:
    size = next(s for s in SIZES if s in case.path.stem.split('_'))
    weights = case.weights(f'manifest_clip_{size}.json')
    weights['logit_scale'] = torch.tensor(np.float32(np.log(100)))
    for key in weights:
        if key.startswith('visual.') and key.endswith('in_proj_weight'):
            weights[key] *= 2
    return weights


def _clip(case: Case) -> FrozenCLIP:
    return FrozenCLIP(_weights(case), quick_gelu=True)


def _numbers(case: Case, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in case.arrays if key.startswith(prefix)]


# boxes of inner contours change no mask, so we never make them
GIVEN = {'scoremap2bbox': tuple(f'out_boxes_{k:02d}' for k in range(100))}
ADAPTERS = dict(
    preprocess=preprocess,
    tokenizer=tokenizer,
    text=text,
    frozen_layers=frozen_layers,
    gradcam=gradcam,
    scoremap2bbox=scoremap2bbox,
    caa=caa,
    scale_cam=scale_cam,
    decide=decision,
    crf=crf,
    full=full,
)

_rows = partial(close_to_max, rows=True)
TOLERANCES = {
    'preprocess/*': close(1e-6),
    'tokenizer/*': exact,
    'text/*': close(2e-5),
    'frozen_layers/out_pos_embed': close(1e-6),
    'frozen_layers/out_tokens*': close(1e-3),
    'frozen_layers/out_attn': close(5e-5),
    'gradcam/out_prob': _rows(5e-4),
    'gradcam/out_weight': _rows(5e-4),
    'gradcam/out_cam_raw': _rows(5e-4),
    'gradcam/out_cam*': close(3e-4),
    'gradcam/out_attn_last': close(5e-5),
    'scoremap2bbox/*': exact,
    'caa/out_attn_mean': close(1e-6),
    'caa/out_trans': close(rtol=1e-4),
    'caa/out_box_mask': exact,
    'caa/out_refined': close_to_max(1e-4),
    'caa/out_highres_fp16': close(1e-3),
    'scale_cam/*': close(1e-5),
    'decide/out_miou*': close(1e-9),
    'decide/*': exact,
    'crf/out_crf_image': exact,
    'crf/out_unary_prob': exact,
    'crf/out_q': close(1e-4),
    'crf/out_label*': agree(0.97),
    'full/out_keys': exact,
    'full/*': close(2e-3),
}
