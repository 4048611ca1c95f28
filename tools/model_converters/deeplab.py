"""Convert a DeepLab checkpoint of the WSSS retraining codes: ``deeplab.py SRC DST``.

Final checkpoints (for test.py) and initialisations (``deeplabv1_resnet101-*.pth``, for the
``init_cfg`` of the backbone) are both understood.
"""

import argparse

import torch

from mmwsss.models.utils.convert_deeplab import convert_deeplab
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.io import atomic_write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help='official checkpoint, a state dict saved with torch.save')
    parser.add_argument('dst', help='checkpoint to write (.pth)')
    args = parser.parse_args()
    official = load_checkpoint_file(args.src, 'cpu')
    try:
        converted = convert_deeplab(official.get('state_dict', official))
    except ValueError as error:
        raise SystemExit(f'{args.src}: {error}') from error
    with atomic_write(args.dst) as path:
        torch.save(dict(state_dict=converted, meta={}), path)
    head = sum(key.startswith('decode_head.') for key in converted)
    kind = 'a whole network' if head else 'a backbone initialisation'
    print(f'{args.dst}: {len(converted)} of {len(official)} tensors, {kind}')


if __name__ == '__main__':
    main()
