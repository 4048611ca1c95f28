"""Make an image-label file from semantic masks (PNG of class indices, 255 ignored).

Labels from masks lack the objects that nobody segmented, so they know a little more than image
labels from a list of objects do; say which kind was used when comparing results.

The exit code is 1 if something in the folder was left out; it is named at the end.

    python tools/dataset_converters/mask_labels.py data/my/masks data/my/image_labels.json \\
        --classes data/my/classes.txt
"""

import argparse
import sys
from pathlib import Path

from mmwsss.datasets.class_names import NAMED, foreground_names
from mmwsss.datasets.converters.common import read_ids, scan_files, summarise_labels
from mmwsss.datasets.converters.masks import labels_from_masks
from mmwsss.stores.label_file import write_label_file
from mmwsss.utils.checks import check_apart


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('masks', type=Path, help='folder of <image id>.png')
    parser.add_argument('out', type=Path, help='label file to write')
    parser.add_argument(
        '--classes',
        required=True,
        help='text file, one foreground class per line in the order of the mask values 1, 2, '
        f'...; or {", ".join(NAMED)}',
    )
    parser.add_argument('--ids', type=Path, nargs='+', help='split lists (default: every mask)')
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    lists = {f'list {path}': path for path in args.ids or ()}
    check_apart({'OUT': args.out}, {'MASKS': args.masks, '--classes': args.classes, **lists})
    foreground = foreground_names(args.classes)
    scanned = scan_files(args.masks, '.png', 'Mask')
    ids = read_ids(*args.ids) if args.ids else list(scanned.found)
    labels = labels_from_masks(args.masks, foreground, ids)
    write_label_file(args.out, labels)
    print(f'{args.out}: {summarise_labels(labels)}')
    if args.ids or not scanned.left_out:
        return 0
    print(scanned.describe_left_out(), file=sys.stderr)
    return 1


def main() -> None:
    args = parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
    from _cli import run_or_exit

    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
