"""Make an image-label file from VOC XML annotations.

Every object counts, difficult and truncated ones included. With --sbd the list of the augmented
training set (train_aug, 10582 images) is made first.

    python tools/dataset_converters/voc_labels.py data/VOCdevkit/VOC2012 --sbd data/sbd
"""

import argparse
from pathlib import Path

from mmseg.datasets import PascalVOCDataset

from mmwsss.datasets.converters.common import (
    read_class_names,
    read_ids,
    summarise_labels,
    write_ids,
)
from mmwsss.datasets.converters.voc import TRAIN_AUG_SIZE, labels_from_xml, train_aug_ids
from mmwsss.datasets.label_file import write_label_file


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


def main() -> None:
    args = parse_args()
    if args.sbd:
        write_train_aug(args.root, args.sbd)
    if args.classes:
        foreground = read_class_names(args.classes)
    else:
        foreground = list(PascalVOCDataset.METAINFO['classes'][1:])
    ids = read_ids(*args.ids) if args.ids else None
    labels = labels_from_xml(args.root / 'Annotations', foreground, ids)
    out = args.out or args.root / 'image_labels.json'
    write_label_file(out, labels)
    print(f'{out}: {summarise_labels(labels)}')


if __name__ == '__main__':
    main()
