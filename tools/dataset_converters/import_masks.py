"""Bring finished masks of another code into a folder that configs and pipelines can name.

Every mask is checked against its image's size and the classes; raw COCO category ids become the 81
contiguous ones.

    python tools/dataset_converters/import_masks.py cocoPGTMCT work_dirs/mctformer_coco/masks \\
        data/coco2014/train2014 --classes coco14 --ids coco91
    python tools/run_pipeline.py configs/pipelines/weakclip_coco.py \\
        --mask-dir work_dirs/mctformer_coco/masks
"""

import argparse
import sys
from pathlib import Path

from mmwsss.datasets.class_names import NAMED


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='folder of <image id>.png')
    parser.add_argument('out', help='folder to write to')
    parser.add_argument('images', help='folder of the images')
    parser.add_argument(
        '--classes',
        required=True,
        help=f'{", ".join(NAMED)}, or a text file with one foreground class per line',
    )
    parser.add_argument(
        '--ids',
        default='classes',
        choices=['classes', 'coco91'],
        help='what the values of the masks are: class indices, or raw COCO category ids '
        '(default: classes)',
    )
    parser.add_argument(
        '--restart', action='store_true', help='throw away what OUT holds of other settings'
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.datasets.converters.common import scan_files
    from mmwsss.datasets.converters.mask_import import import_masks

    count = 1 + len(foreground_names(args.classes))
    number = import_masks(args.source, args.out, args.images, count, args.ids, args.restart)
    print(f'\n{args.out}: {number} masks')
    left_out = scan_files(args.source, '.png', 'Mask').describe_left_out()
    if left_out:
        print(left_out, file=sys.stderr)
    return bool(left_out)


def main() -> None:
    args = parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
    from _cli import run_or_exit

    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
