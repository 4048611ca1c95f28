"""What the tools that read corrected masks of annotation tools share."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

OVERLAPS = ('small', 'first', 'last')


def make_parser(description: str, source: str, overlap: str) -> argparse.ArgumentParser:
    """A parser of the options that all have.

    Args:
        description: Docstring of the tool.
        source: What is read.
        overlap: Default of ``--overlap``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help=source)
    parser.add_argument('out', type=Path, help='folder of masks to write')
    parser.add_argument(
        '--classes',
        required=True,
        help='voc12, coco14, mini, or a text file with one foreground class per line, in the order '
        'of the mask values 1, 2, ...',
    )
    parser.add_argument(
        '--overlap',
        choices=OVERLAPS,
        default=overlap,
        help=f'which region owns a pixel of several: the smallest, or the first or last of the '
        f'file (default: {overlap})',
    )
    parser.add_argument('--nproc', type=int, default=1, help='processes')
    return parser


def main(parser: argparse.ArgumentParser, read: Callable) -> None:
    """Read, write the masks, and say what they hold.

    Args:
        parser: Of :func:`make_parser`.
        read: ``(arguments, class names)`` -> annotations, and ids of images that are left out.
    """
    args = parser.parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
    from _cli import run_or_exit

    run_or_exit(lambda: _run(args, read))


def _run(args: argparse.Namespace, read: Callable) -> int:
    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.datasets.converters.coco_masks import write_semantic_masks
    from mmwsss.utils.checks import check_apart, some

    inputs = {'SOURCE': args.source, '--images': getattr(args, 'images', None)}
    check_apart({'OUT': args.out}, inputs)
    found, left_out = read(args, foreground_names(args.classes))
    meta = write_semantic_masks(found, args.out, args.overlap, nproc=args.nproc)
    print(f'\n{args.out}: {meta["num_images"]} masks, pixels per class in meta.json')
    if left_out:
        print(
            f'left out: {len(left_out)} images without annotation: {some(left_out)}',
            file=sys.stderr,
        )
    return bool(left_out)
