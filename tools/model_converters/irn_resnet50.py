"""Convert IRN's ResNet-50 CAM checkpoint (res50_cam.pth): ``irn_resnet50.py SRC DST``."""

import argparse

import torch

from mmwsss.models.utils.convert_psa import convert_irn_resnet50
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.io import atomic_write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='res50_cam.pth')
    parser.add_argument('dst', help='checkpoint to write (.pth), for test.py and load_from')
    args = parser.parse_args()
    official = load_checkpoint_file(args.src, 'cpu')
    converted = convert_irn_resnet50(official.get('state_dict', official))
    with atomic_write(args.dst) as path:
        torch.save(dict(state_dict=converted, meta={}), path)
    print(f'{args.dst}: {len(converted)} tensors')


if __name__ == '__main__':
    main()
