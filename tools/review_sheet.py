"""Which masks to correct first: sort a folder of masks by doubt.

    python tools/review_sheet.py data/pets/masks data/pets/images --cams data/pets/cams \\
        --classes data/pets/classes.txt --out review.html

The sheet is one HTML file with pictures of the most doubtful masks; review.csv beside it has all.
Doubt is the share of unsure pixels (255), how narrow the margin between the two best maps is
(--cams), how improbable the labels are (if the store has their scores), and on how much of the
foreground another folder of masks disagrees (--other), by rank. No truth is needed. The exit code
is 1 if files could not be read; they are named, and the others are on the sheet.
"""

import argparse
import sys

from _cli import run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('masks', help='folder of masks, <image id>.png')
    parser.add_argument('images', help='folder of the pictures')
    parser.add_argument('--cams', metavar='STORE', help='CAM store the masks are made of')
    parser.add_argument(
        '--other', metavar='MASKS2', help='masks of the same images, made otherwise'
    )
    parser.add_argument('--top', type=int, default=50, help='with pictures (default: %(default)s)')
    parser.add_argument(
        '--classes', help='voc12, coco14, mini, or a text file with one foreground class per line'
    )
    parser.add_argument('--split', nargs='+', help='lists of image ids (default: all masks)')
    parser.add_argument('--out', default='review.html', help='default: %(default)s')
    parser.add_argument('--processes', type=int, help='default: one per CPU')
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    from mmwsss.apis.review import review_masks
    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.datasets.converters.common import read_ids

    classes = ['background', *foreground_names(args.classes)] if args.classes else None
    review = review_masks(
        args.masks,
        args.images,
        args.out,
        args.cams,
        args.other,
        args.top,
        classes,
        read_ids(*args.split) if args.split else None,
        args.processes,
    )
    print(f'{len(review.doubts)} masks: {review.sheet}, {review.table}')
    for key, message in review.failed.items():
        print(f'failed: {key}: {message}', file=sys.stderr)
    if review.failed:
        print(f'{len(review.failed)} masks could not be looked at', file=sys.stderr)
    return 1 if review.failed else 0


def main() -> None:
    args = parse_args()
    sys.stdout.reconfigure(errors='backslashreplace')  # names that the terminal cannot show
    sys.stderr.reconfigure(errors='backslashreplace')
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
