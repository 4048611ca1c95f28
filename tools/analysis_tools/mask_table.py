"""Count the pixels of every class in a folder of masks, and check that its ids are the expected.

    python tools/analysis_tools/mask_table.py work_dirs/pmm_voc_scalenet101/masks --classes voc12

Raw COCO category ids (91 with background) in place of the 81 classes are an error.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
from _cli import run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', help='folder of <image id>.png')
    parser.add_argument(
        '--classes',
        required=True,
        help='voc12, coco14, mini, or a text file with one foreground class per line',
    )
    parser.add_argument('--processes', type=int, help='default: one per CPU')
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.stages.mask_table import pixel_counts, pixel_table

    names = ['background', *foreground_names(args.classes)]
    counts = pixel_counts(args.folder, len(names), processes=args.processes)
    print(f'\n{pixel_table(names, *counts)}')


if __name__ == '__main__':
    args = parse_args()
    run_or_exit(lambda: run(args))
