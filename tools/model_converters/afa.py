"""Convert an official AFA checkpoint or ImageNet weights of MiT: ``afa.py SRC DST``.

SRC is a checkpoint of AFA, for test.py and load_from, or SegFormer's ``mit_b1.pth`` (``mit_b0.pth``
to ``mit_b5.pth``); then DST goes into ``model.backbone.init_cfg.checkpoint``.
"""

import argparse

import torch

from mmwsss.models.utils.convert_afa import convert_afa, convert_mit
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.io import atomic_write


def convert(official: dict[str, torch.Tensor]) -> dict:
    """What is written: a checkpoint of the whole model, or the weights of the encoder."""
    if any(key.startswith('patch_embed1.') for key in official):
        return convert_mit(official)
    return dict(state_dict=convert_afa(official), meta={})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src')
    parser.add_argument('dst', help='file to write (.pth)')
    args = parser.parse_args()
    official = load_checkpoint_file(args.src, 'cpu')
    converted = convert(official.get('state_dict', official))
    with atomic_write(args.dst) as path:
        torch.save(converted, path)
    print(f'{args.dst}: {len(converted.get("state_dict", converted))} tensors')


if __name__ == '__main__':
    main()
