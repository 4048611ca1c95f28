"""Make an image-label file from VOC XML annotations.

Every object counts, difficult and truncated ones included. With --sbd the list of the augmented
training set (train_aug, 10582 images) is made first. The name of an XML file says which image it is
of; where its <filename> disagrees, that is counted and told. The exit code is 1 if something in the
folder was left out; it is named at the end.

    python tools/dataset_converters/voc_labels.py data/VOCdevkit/VOC2012 --sbd data/sbd
"""

import argparse
import sys
from pathlib import Path

from mmseg.datasets import PascalVOCDataset

from mmwsss.datasets.converters.common import (
    read_class_names,
    read_ids,
    summarise_labels,
    write_ids,
)
from mmwsss.datasets.converters.voc import (
    TRAIN_AUG_SIZE,
    labels_from_xml,
    scan_annotations,
    train_aug_ids,
)
from mmwsss.stores.label_file import write_label_file
from mmwsss.utils.checks import check_apart


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder with Annotations/ (VOC2012)')
    parser.add_argument('--out', type=Path, help='label file (default: ROOT/image_labels.json)')
    parser.add_argument('--ids', type=Path, nargs='+', help='split lists (default: every XML file)')
    parser.add_argument(
        '--classes', type=Path, help='text file, one foreground class per line (default: VOC)'
    )
    parser.add_argument(
        '--sbd',
        type=Path,
        help='folder with train.txt and val.txt of SBD: write '
        'ROOT/ImageSets/Segmentation/train_aug.txt',
    )
    parser.add_argument(
        '--strict-filenames',
        action='store_true',
        help='refuse XML files whose <filename> is that of another image',
    )
    return parser.parse_args()


def write_train_aug(root: Path, sbd: Path) -> None:
    lists = root / 'ImageSets' / 'Segmentation'
    ids = train_aug_ids(
        read_ids(lists / 'train.txt'),
        read_ids(lists / 'val.txt'),
        read_ids(sbd / 'train.txt', sbd / 'val.txt'),
    )
    write_ids(lists / 'train_aug.txt', ids)
    print(f'{lists / "train_aug.txt"}: {len(ids)} images')
    if len(ids) != TRAIN_AUG_SIZE:
        print(f'WARNING: with the official lists it would be {TRAIN_AUG_SIZE} images')


def run(args: argparse.Namespace) -> int:
    out = args.out or args.root / 'image_labels.json'
    lists = {f'list {path}': path for path in args.ids or ()}
    check_apart({'--out': out}, {'--classes': args.classes, **lists})
    if args.classes:
        foreground = read_class_names(args.classes)
    else:
        foreground = list(PascalVOCDataset.METAINFO['classes'][1:])
    scanned = scan_annotations(args.root / 'Annotations')
    if args.sbd:
        write_train_aug(args.root, args.sbd)
    ids = read_ids(*args.ids) if args.ids else list(scanned.found)
    labels = labels_from_xml(scanned.folder, foreground, ids, args.strict_filenames)
    write_label_file(out, labels)
    print(f'{out}: {summarise_labels(labels)}')
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
