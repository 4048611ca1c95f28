"""Make an image-label file from semantic masks (PNG of class indices, 255 ignored).

Labels from masks lack the objects that nobody segmented, so they know a little more than image
labels from a list of objects do; say which kind was used when comparing results.

    python tools/dataset_converters/mask_labels.py data/my/masks data/my/image_labels.json \\
        --classes data/my/classes.txt
"""

import argparse
from pathlib import Path

from mmwsss.datasets.class_names import NAMED, foreground_names
from mmwsss.datasets.converters.common import read_ids, summarise_labels
from mmwsss.datasets.converters.masks import labels_from_masks
from mmwsss.datasets.label_file import write_label_file


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


def main() -> None:
    args = parse_args()
    foreground = foreground_names(args.classes)
    ids = read_ids(*args.ids) if args.ids else None
    labels = labels_from_masks(args.masks, foreground, ids)
    write_label_file(args.out, labels)
    print(f'{args.out}: {summarise_labels(labels)}')


if __name__ == '__main__':
    main()
