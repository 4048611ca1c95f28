"""Convert a checkpoint of another code into ours: ``convert.py METHOD SRC DST``.

``convert.py -h`` lists the methods, ``convert.py METHOD -h`` tells what SRC is and names further
options. DST is for ``load_from`` and test.py if SRC is a whole network; weights of a backbone go
into ``model.backbone.init_cfg.checkpoint``.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmwsss.converters import (
    acr,
    afa,
    convert_file,
    deeplab,
    efficientnet,
    excel,
    imagenet_init,
    irn,
    mctformer,
    one_stage,
    pmm,
    psa,
    transcam,
    weakclip,
    weclip,
    weclip_plus,
)
from mmwsss.utils.checks import check_apart, check_unique
from mmwsss.utils.io import atomic_write

State = dict[str, Tensor]


class Extra(NamedTuple):
    """A further ``.safetensors`` file that a method can write.

    Attributes:
        convert: Path of SRC -> state dict.
        about: What the file holds, and what it is for.
        metadata: Written into the file.
    """

    convert: Callable[[str], State]
    about: str
    metadata: dict[str, str]


class Method(NamedTuple):
    """A row of :data:`METHODS`.

    Attributes:
        convert: Path of SRC -> state dict: names of a whole model (``backbone.*``,
            ``decode_head.*``), or of a backbone alone.
        about: What SRC is.
        extras: Further files by the name of their option.
        frozen_backbone: The backbone is not trained and left out of DST.
    """

    convert: Callable[[str], State]
    about: str
    extras: Mapping[str, Extra] = {}
    frozen_backbone: bool = False


def of_state(rename: Callable[[State], State]) -> Callable[[str], State]:
    """From a function of a state dict to one of a file."""
    return lambda src: convert_file(src, rename)


def complete_backbone(src: str) -> State:
    """ImageNet weights that cover ResNet-38 or VGG-16.

    Raises:
        ValueError: Some tensors are missing or have another shape.
    """
    from mmwsss.models.backbones import ResNet38d, VGG16d

    state = imagenet_init.read_backbone(src)
    with torch.device('meta'):
        network = ResNet38d() if 'conv1a.weight' in state else VGG16d()
    own = {k: v for k, v in network.state_dict().items() if 'num_batches_tracked' not in k}
    wrong = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
    if wrong:
        raise ValueError(
            f'{src} does not cover {type(network).__name__}: {len(wrong)} of {len(own)} tensors '
            f'are missing or have another shape: {", ".join(wrong[:5])}'
        )
    return state


METHODS = {
    'acr': Method(
        lambda src: convert_file(src, acr.convert_acr, acr.read_acr),
        "ACR's Lightning checkpoint (Kweon et al., CVPR 2023), last.ckpt: both networks",
    ),
    'afa': Method(
        of_state(afa.convert),
        "AFA's checkpoint, or SegFormer's ImageNet weights of an encoder (mit_b0.pth to "
        'mit_b5.pth)',
    ),
    'deeplab': Method(
        of_state(deeplab.convert_deeplab),
        'DeepLab of a retraining code (deeplab-pytorch, SEAM, MCTformer, L2G), trained or initial '
        '(deeplabv1_resnet101-*.pth)',
    ),
    'excel': Method(of_state(excel.convert_excel), "ExCEL's checkpoint", frozen_backbone=True),
    'efficientnet_lite0': Method(
        of_state(efficientnet.convert_efficientnet_lite0),
        'EfficientNet-Lite0 of a PyTorch port (_blocks.0._bn1.weight), for timm',
    ),
    'imagenet_init': Method(
        complete_backbone,
        'ImageNet weights of ResNet-38 or VGG-16: ilsvrc-cls_rna-a1_cls1000_ep-0001.params '
        "(MXNet), vgg16_20M.caffemodel (Caffe), neither of which is needed, or a .pth with PSA's "
        'key names',
    ),
    'irn_resnet50': Method(
        of_state(irn.convert_irn_resnet50), "IRN's ResNet-50 CAM, res50_cam.pth"
    ),
    'mctformer': Method(
        lambda src: convert_file(src, mctformer.convert_mctformer, mctformer.read_mctformer),
        "MCTformer's classifier, checkpoint.pth of V1, V2 or MCTformer+ (DeiT's weights need no "
        'conversion)',
    ),
    'one_stage': Method(
        of_state(one_stage.convert_one_stage), '1-Stage of any backbone, model_enc_*.pth'
    ),
    'pmm': Method(
        of_state(pmm.convert_pmm),
        "PMM's PSPNet on ResNet-38, Res2Net-101 or ScaleNet-101; 91 classes of COCO become 81",
    ),
    'pmm_backbone': Method(
        of_state(pmm.convert_pmm_backbone),
        'ImageNet weights of ScaleNet-101 (scalenet101.pth) or Res2Net-101 v1b '
        '(res2net101_v1b_26w_4s-0812c246.pth)',
    ),
    'pmm_classifier': Method(
        lambda src: convert_file(src, pmm.convert_pmm_classifier, pmm.read_classifier),
        "PMM's or SEAM's classifier on ResNet-38 or ScaleNet-101: voc12_wr38.pth, "
        'resnet38_SEAM.pth',
    ),
    'psa': Method(
        of_state(psa.convert_psa),
        'classifier or AffinityNet of PSA: res38_cls.pth, vgg16_cls.pth, res38_aff.pth or '
        'vgg16_aff.pth',
    ),
    'transcam': Method(
        of_state(transcam.convert_transcam),
        "TransCAM.pth, or AVC's classifier (Conformer's ImageNet weights need no conversion)",
    ),
    'weakclip': Method(
        of_state(weakclip.convert_weakclip),
        "WeakCLIP's checkpoint, of VOC (21 classes) or COCO (91 raw category ids)",
        {
            'clip': Extra(
                of_state(weakclip.official_clip),
                'the CLIP inside it, which its training has moved; set model.backbone.checkpoint '
                'to it',
                {'quick_gelu': 'true'},
            )
        },
        frozen_backbone=True,
    ),
    'weclip': Method(
        of_state(weclip.convert_weclip),
        "WeCLIP's checkpoint",
        {
            'clip': Extra(
                of_state(weclip.official_clip),
                'the CLIP inside it; set model.backbone.checkpoint to it',
                {'quick_gelu': 'true'},
            )
        },
    ),
    'weclip_plus': Method(
        of_state(weclip_plus.convert_weclip_plus),
        "WeCLIP+'s checkpoint",
        {
            'clip': Extra(
                of_state(weclip.official_clip),
                'the CLIP inside it; set model.backbone.checkpoint to it',
                {'quick_gelu': 'true'},
            ),
            'dino': Extra(
                of_state(weclip_plus.official_dino),
                'the DINOv2 inside it; set model.dino.checkpoint to it',
                {},
            ),
        },
        frozen_backbone=True,
    ),
}


def convert(method: str, src: str, dst: str, **extras: str | None) -> list[str]:
    """Convert ``src``; all files are written, or none.

    Args:
        method: A row of :data:`METHODS`.
        src: Checkpoint of the other code.
        dst: File to write: ``.safetensors``, else in the format of ``torch.save``.
        extras: Paths of the method's further files (``.safetensors``), None for not writing one.

    Returns:
        A line about each file that was written.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: ``src`` is of another code or damaged, or a path is given twice.
    """
    row = METHODS[method]
    extras = {name: path for name, path in extras.items() if path is not None}
    check_paths(src, dst, extras)
    states = {dst: row.convert(src)}
    states.update({path: row.extras[name].convert(src) for name, path in extras.items()})
    notes = {dst: kind(states[dst], src, row.frozen_backbone)}
    notes.update({path: row.extras[name].about for name, path in extras.items()})
    with ExitStack() as stack:
        write_model(stack.enter_context(atomic_write(dst)), states[dst])
        for name, path in extras.items():
            target = stack.enter_context(atomic_write(path))
            write_safetensors(target, states[path], row.extras[name].metadata)
    return [f'{path}: {len(state)} tensors, {notes[path]}' for path, state in states.items()]


def check_paths(src: str, dst: str, extras: Mapping[str, str]) -> None:
    """Raise ValueError if a file would overwrite another, or its suffix deny its content."""
    outputs = {'DST': dst, **{f'--{name}': path for name, path in extras.items()}}
    check_apart(outputs, {'SRC': src})
    check_unique('an output file', [os.path.realpath(path) for path in outputs.values()])
    for name, path in extras.items():
        if Path(path).suffix != '.safetensors':
            raise ValueError(f'--{name} is written as safetensors, name it *.safetensors: {path}')


def kind(state: State, src: str, frozen_backbone: bool = False) -> str:
    """What a state dict is, in words; ValueError if a part is missing."""
    head = has_head(state)
    if frozen_backbone:
        if not head:
            raise ValueError(f'{src} holds no trained tensor')
        return 'what is trained of a network'
    if not state or (head and not any('backbone' in key.split('.') for key in state)):
        raise ValueError(f'{src} holds no tensor of a backbone')
    return 'a whole network' if head else 'weights of a backbone'


def has_head(state: State) -> bool:
    """Whether tensors of a head are among those of a state dict, also of one network of several."""
    return any({'decode_head', 'auxiliary_head'} & set(key.split('.')) for key in state)


def write_model(path: Path, state: State) -> None:
    if path.suffix == '.safetensors':
        write_safetensors(path, state)
    elif has_head(state) or any(key.startswith('backbone.') for key in state):
        torch.save(dict(state_dict=state, meta={}), path)
    else:
        torch.save(state, path)


def write_safetensors(path: Path, state: State, metadata: dict[str, str] | None = None) -> None:
    copies = {k: v.clone(memory_format=torch.contiguous_format) for k, v in state.items()}
    save_file(copies, path, metadata=metadata)


def add_arguments(parser: argparse.ArgumentParser, row: Method) -> None:
    parser.add_argument('src', metavar='SRC', help=row.about)
    parser.add_argument('dst', metavar='DST', help='checkpoint to write (.pth)')
    for name, extra in row.extras.items():
        text = f'also write {extra.about} (.safetensors)'
        parser.add_argument(f'--{name}', metavar='FILE', help=text)


def parse_args(method: str | None = None) -> dict[str, str | None]:
    """Arguments of :func:`convert`; with ``method`` the command line does not name it."""
    about = __doc__ if method is None else f'Convert {METHODS[method].about}.'
    parser = argparse.ArgumentParser(description=about)
    if method is None:
        methods = parser.add_subparsers(dest='method', metavar='METHOD', required=True)
        for name, row in METHODS.items():
            add_arguments(methods.add_parser(name, help=row.about), row)
    else:
        parser.set_defaults(method=method)
        add_arguments(parser, METHODS[method])
    return vars(parser.parse_args())


def main(method: str | None = None) -> None:
    arguments = parse_args(method)
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
    from _cli import run_or_exit

    run_or_exit(lambda: print(*convert(**arguments), sep='\n'))


if __name__ == '__main__':
    main()
