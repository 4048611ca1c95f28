"""Rank prompt templates, or other words for a class, by the sharpness of CLIP's scores.

Lower is better: CLIP-ES chose 'a clean origami {}.' so. Only image labels are used.

    python tools/analysis_tools/choose_prompt.py configs/wsss/clip_es_voc.py \
        --templates 'a clean origami {}.' 'a photo of a {}.' --synonym 'bird=bird avian'
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import track_iter_progress
from prettytable import PrettyTable

from mmwsss.models.segmentors import CLIPES
from mmwsss.models.text_encoders import TextBank
from mmwsss.models.text_encoders.text_bank import as_clip_reads, check_templates
from mmwsss.ops.clip.sharpness import score_sharpness
from mmwsss.ops.multi_view import resize_to_multiple
from mmwsss.registry import MODELS
from mmwsss.stages.launch import load_config
from mmwsss.structures import stack_image_labels
from mmwsss.utils.checks import check_device


def candidates(cfg: Config, templates: Sequence[str], synonyms: Sequence[str]) -> dict[str, dict]:
    """Text bank settings by what is different in them: the config's, then one change each.

    Raises:
        ValueError: The config is not one of CLIP-ES, a template is without ``{}``, or a synonym is
            not ``TEXT=OTHER`` with TEXT a class text of the config and OTHER none.
    """
    text = cfg.model.get('text', {})
    if 'templates' not in text:
        raise ValueError(f'{cfg.filename} is not a config of CLIP-ES: it has no model.text')
    check_templates([*text.templates, *templates])
    found = {f'config: {", ".join(text.templates)}': dict(text)}
    for template in templates:
        found[template] = dict(text, templates=[template])
    for synonym in synonyms:
        old, _, new = (part.strip() for part in synonym.partition('='))
        if not new or old not in text.class_names:
            raise ValueError(f'--synonym {synonym!r}: expected TEXT=OTHER, TEXT one of '
                             f'{", ".join(text.class_names)}')  # fmt: skip
        if as_clip_reads(new) in map(as_clip_reads, text.class_names):
            raise ValueError(f'--synonym {synonym!r}: {new!r} is the text of a class already')
        names = [new if name == old else name for name in text.class_names]
        found[synonym] = dict(text, class_names=names)
    return found


@torch.no_grad()
def rank(cfg: Config, settings: dict[str, dict], device: str = 'cpu') -> dict[str, float]:
    """Sharpness of every candidate over the images of ``test_dataloader``."""
    init_default_scope(cfg.default_scope)
    model: CLIPES = MODELS.build(cfg.model).eval()
    clip = MODELS.build(cfg.model.backbone)  # the model has dropped its text tower
    banks: dict[str, TextBank] = {name: MODELS.build(text) for name, text in settings.items()}
    for bank in banks.values():
        bank.encode(clip)
        bank.to(device)
    model.to(device)
    backbone, norm = model.backbone, model.data_preprocessor
    none = torch.zeros(0, dtype=torch.long, device=device)
    probs: dict[str, list] = {name: [] for name in banks}
    labels = []
    loader = Runner.build_dataloader(cfg.test_dataloader)
    for batch in track_iter_progress((loader, len(loader))):
        data = norm(batch)
        hot = stack_image_labels(data['data_samples'], model.text.num_classes)
        for image, one in zip(data['inputs'], hot[:, None], strict=True):
            if one.sum() < 2:
                continue
            view = resize_to_multiple(image, 1.0, backbone.patch_size, norm.mean, norm.std)
            tokens = backbone.encode(view[None]).tokens[-1]
            labels.append(one)
            for name, bank in banks.items():
                seed = backbone.gradcam(tokens, bank.embeddings, bank.mask(one), none, none)
                probs[name].append(seed.prob[:, : bank.num_classes])
    if not labels:
        raise ValueError('no image has two classes: sharpness compares classes of one image')
    hot = torch.cat(labels)
    return {name: float(score_sharpness(torch.cat(p), hot)) for name, p in probs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config of CLIP-ES')
    parser.add_argument('--templates', nargs='*', default=[], help="sentences with '{}'")
    parser.add_argument('--synonym', nargs='*', default=[], help='TEXT=OTHER for one class')
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    try:
        check_device(args.device)
        cfg = load_config(args.config)
        scores = rank(cfg, candidates(cfg, args.templates, args.synonym), args.device)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    table = PrettyTable(['prompt', 'sharpness (lower is better)'])
    for name, score in sorted(scores.items(), key=lambda item: item[1]):
        table.add_row([name, f'{score:.4f}'])
    print(f'\n{table}')


if __name__ == '__main__':
    main()
