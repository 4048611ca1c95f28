"""Write a trained segmentation network as ONNX: ``python tools/export_onnx.py CONFIG CHECKPOINT``.

The input is ``image``, uint8 RGB (B, 3, H, W); normalisation is inside. The output has the size of
the input. The file is written once ONNX Runtime gives what PyTorch gives.
"""

import argparse
from pathlib import Path

from _cli import CfgOptions, run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the network')
    parser.add_argument('checkpoint', help='its checkpoint; "none": the untrained network')
    parser.add_argument('--out', help='file to write (default: CHECKPOINT with .onnx)')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(512, 512),
        metavar=('H', 'W'),
        help='of the example; of all images where the network allows no others (default: 512 512)',
    )
    parser.add_argument('--opset', type=int, default=17, help='16 to 20 (default: 17)')
    parser.add_argument('--output', choices=['logits', 'labels'], default='logits')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='as train.py'
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.apis import load_config
    from mmwsss.exporters.onnx_model import export_onnx
    from mmwsss.utils import register_all_modules

    register_all_modules()
    cfg = load_config(args.config, args.cfg_options)
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    out = args.out or str(Path(checkpoint or Path(args.config).name).with_suffix('.onnx'))
    done = export_onnx(cfg, checkpoint, out, tuple(args.size), args.opset, args.output)
    sizes = 'any batch and size' if done.dynamic else f'batch 1, {args.size[0]}x{args.size[1]} only'
    print(f'{done.path}: {args.output}, {sizes}; ONNX Runtime differs by {done.difference:.2g}')
    if done.fixed_by:
        print(f'with free sizes: {done.fixed_by}')
    if done.left_out:
        print(f'not part of the network: {", ".join(done.left_out)}')


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
