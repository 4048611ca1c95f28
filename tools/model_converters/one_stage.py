"""Convert an official 1-Stage checkpoint, any backbone: ``one_stage.py SRC DST``."""

import argparse

import torch

from mmwsss.models.utils.convert_one_stage import convert_one_stage
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.io import atomic_write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='model_enc_*.pth of visinf/1-stage-wseg')
    parser.add_argument('dst', help='checkpoint to write (.pth), for test.py and load_from')
    args = parser.parse_args()
    official = load_checkpoint_file(args.src, 'cpu')
    converted = convert_one_stage(official.get('state_dict', official))
    with atomic_write(args.dst) as path:
        torch.save(dict(state_dict=converted, meta={}), path)
    print(f'{args.dst}: {len(converted)} tensors')


if __name__ == '__main__':
    main()
