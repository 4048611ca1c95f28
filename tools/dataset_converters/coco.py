"""Image labels, split lists and semantic masks from COCO instance annotations.

cd data/coco2014; T=path/to/tools/dataset_converters/coco.py
python $T labels annotations/instances_{train,val}2014.json --out image_labels.json
python $T split annotations/instances_train2014.json --out train.txt
python $T split annotations/instances_val2014.json --out val.txt
python $T masks annotations/instances_val2014.json --out semantic_masks/val2014
python $T compare semantic_masks/val2014 downloaded_masks/val2014
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from mmwsss.datasets.converters.coco import (
    CROWDS,
    OVERLAPS,
    image_labels_of_files,
    read_instances,
    split_ids,
)
from mmwsss.datasets.converters.coco_masks import compare_masks, write_semantic_masks
from mmwsss.datasets.converters.common import summarise_labels, write_ids
from mmwsss.stores.label_file import write_label_file
from mmwsss.utils.checks import check_apart


def labels(args: argparse.Namespace) -> None:
    check_apart({'--out': args.out}, {f'the annotation file {path}': path for path in args.json})
    found, dropped = image_labels_of_files(args.json, args.crowd, args.drop_categories)
    write_label_file(args.out, found)
    print(f'{args.out}: {summarise_labels(found)}')
    tell_dropped(dropped)


def split(args: argparse.Namespace) -> None:
    check_apart({'--out': args.out}, {'the annotation file': args.json})
    coco = read_instances(args.json, args.drop_categories)
    ids = split_ids(coco, annotated_only=not args.all)
    if not ids:
        raise ValueError(f'{args.json}: no image has an annotation; --all lists all images')
    write_ids(args.out, ids)
    rest = len(coco.images) - len(ids)
    note = f'; {rest} without annotation are left out (--all keeps them)' if rest else ''
    print(f'{args.out}: {len(ids)} images{note}')
    tell_dropped(coco.dropped)


def masks(args: argparse.Namespace) -> None:
    check_apart({'--out': args.out}, {'the annotation file': args.json})
    coco = read_instances(args.json, args.drop_categories)
    meta = write_semantic_masks(coco, args.out, args.overlap, args.crowd, args.nproc)
    print(f'\n{args.out}: {meta["num_images"]} masks, pixels per class in meta.json')
    tell_dropped(coco.dropped)


def tell_dropped(dropped: Mapping[str, int]) -> None:
    for category, count in dropped.items():
        print(f'left out: category {category} with {count} annotations')


def compare(args: argparse.Namespace) -> None:
    result = compare_masks(args.masks, args.other, args.raw_ids)
    share = 100 * result['differing_pixels'] / result['pixels']
    print(
        f'\n{result["differing_pixels"]} of {result["pixels"]} pixels differ ({share:.3f} %), '
        f'in {result["differing_images"]} of {result["images"]} images; '
        f'{len(result["missing"])} images have no mask in {args.other}'
    )
    for ours, other, pixels in result['pairs']:
        print(f'  {ours} -> {other}: {pixels} pixels')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar='{labels,split,masks,compare}')

    command = commands.add_parser('labels', help='image-label file of all images')
    command.add_argument('json', type=Path, nargs='+', help='instances_*.json')
    command.add_argument('--out', type=Path, required=True, help='label file to write')
    command.add_argument('--crowd', choices=('include', 'exclude'), default='include')
    add_drop_option(command)
    command.set_defaults(run=labels)

    command = commands.add_parser('split', help='list of the annotated images')
    command.add_argument('json', type=Path, help='instances_*.json')
    command.add_argument('--out', type=Path, required=True, help='text file to write')
    command.add_argument('--all', action='store_true', help='also images without annotation')
    add_drop_option(command)
    command.set_defaults(run=split)

    command = commands.add_parser('masks', help='semantic masks of all images')
    command.add_argument('json', type=Path, help='instances_*.json')
    command.add_argument('--out', type=Path, required=True, help='folder to write')
    command.add_argument('--overlap', choices=OVERLAPS, default='small', help='who owns a pixel')
    command.add_argument('--crowd', choices=CROWDS, default='include', help='crowd regions')
    command.add_argument('--nproc', type=int, default=1, help='processes')
    add_drop_option(command)
    command.set_defaults(run=masks)

    command = commands.add_parser('compare', help='count pixels that differ from other masks')
    command.add_argument('masks', type=Path, help='folder made by the command masks')
    command.add_argument('other', type=Path, help='folder of other masks of these images')
    command.add_argument('--raw-ids', action='store_true', help='they hold category ids (1..90)')
    command.set_defaults(run=compare)
    return parser.parse_args()


def add_drop_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        '--drop-categories',
        type=int,
        nargs='+',
        default=(),
        metavar='ID',
        help='ids of categories that are no classes, such as the root that Roboflow adds',
    )


def main() -> None:
    args = parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
    from _cli import run_or_exit

    run_or_exit(lambda: args.run(args))


if __name__ == '__main__':
    main()
