"""Convert an official WeCLIP checkpoint: ``weclip.py SRC DST [--clip CLIP_DST]``."""

import argparse

import torch
from safetensors.torch import save_file

from mmwsss.models.utils.convert_weclip import convert_weclip, official_clip
from mmwsss.utils import load_checkpoint_file
from mmwsss.utils.io import atomic_write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='official checkpoint, a state dict saved with torch.save')
    parser.add_argument('dst', help='checkpoint to write (.pth), for test.py and load_from')
    parser.add_argument('--clip', help='also write the CLIP inside it (.safetensors)')
    args = parser.parse_args()
    official = load_checkpoint_file(args.src, 'cpu')
    converted = convert_weclip(official)
    with atomic_write(args.dst) as path:
        torch.save(dict(state_dict=converted, meta={}), path)
    print(f'{args.dst}: {len(converted)} tensors')
    if args.clip:
        clip = {k: v.contiguous() for k, v in official_clip(official).items()}
        with atomic_write(args.clip) as path:
            save_file(clip, path, metadata={'quick_gelu': 'true'})
        print(f'{args.clip}: {len(clip)} tensors; set model.backbone.checkpoint to it')


if __name__ == '__main__':
    main()
