"""Convert ImageNet weights of ResNet-38 or VGG-16: ``imagenet_init.py SRC DST``.

SRC is ``ilsvrc-cls_rna-a1_cls1000_ep-0001.params`` (MXNet), ``vgg16_20M.caffemodel`` (Caffe) or a
``.pth`` with the official keys of PSA. Neither MXNet nor Caffe is needed. DST goes into
``model.backbone.init_cfg.checkpoint``.
"""

import argparse
from pathlib import Path

import torch

from mmwsss.models.backbones import ResNet38d, VGG16d
from mmwsss.models.utils.caffemodel import read_caffemodel
from mmwsss.models.utils.convert_psa import convert_psa, convert_resnet38_mxnet, convert_vgg16_caffe
from mmwsss.models.utils.mxnet_params import read_params
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.io import atomic_write


def read_backbone(src: str) -> dict[str, torch.Tensor]:
    """Weights of a backbone without prefix, whatever the format of the file."""
    suffix = Path(src).suffix
    if suffix == '.params':
        return convert_resnet38_mxnet(read_params(src))
    if suffix == '.caffemodel':
        return convert_vgg16_caffe(read_caffemodel(src))
    state = load_checkpoint_file(src, 'cpu')
    converted = convert_psa(state.get('state_dict', state))
    return {k[9:]: v for k, v in converted.items() if k.startswith('backbone.')}


def check(state: dict[str, torch.Tensor], src: str) -> str:
    """Name of the network that the weights cover completely.

    Raises:
        ValueError: Some tensors are missing or have another shape.
    """
    with torch.device('meta'):
        network = ResNet38d() if 'conv1a.weight' in state else VGG16d()
    own = {k: v for k, v in network.state_dict().items() if 'num_batches_tracked' not in k}
    wrong = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
    name = type(network).__name__
    if wrong:
        raise ValueError(
            f'{src} does not cover {name}: {len(wrong)} of {len(own)} tensors are missing or have '
            f'another shape: {", ".join(wrong[:5])}'
        )
    return name


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src')
    parser.add_argument('dst', help='file to write (.pth)')
    args = parser.parse_args()
    state = read_backbone(args.src)
    name = check(state, args.src)
    with atomic_write(args.dst) as path:
        torch.save(state, path)
    print(f'{args.dst}: {name}, {len(state)} tensors')


if __name__ == '__main__':
    main()
