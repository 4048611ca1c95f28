"""Saliency maps of images without learning: ``python tools/saliency.py IMAGES OUT --method NAME``.

OUT gets ``<image id>.png``, 8-bit grey of the image's size, 255 salient. No masks and no training
are behind it: a classical operator looks at the colours of each image. An interrupted run goes on
when started again.
"""

import argparse

from _cli import run_or_exit

METHODS = (
    'spectral_residual',
    'frequency_tuned',
    'maximum_symmetric_surround',
    'border_colour',
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', help='folder of the images')
    parser.add_argument('out', help='folder to write to')
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument('--method', choices=METHODS, help='the operator')
    kind.add_argument(
        '--oracle',
        choices=('good', 'fair', 'poor'),
        help='for comparison only: true foreground of --truth, made worse to this degree; the bed '
        'marks such maps as made from masks',
    )
    parser.add_argument('--truth', metavar='DIR', help='true masks, for --oracle')
    parser.add_argument('--ids', help='text file of image ids (default: all of IMAGES)')
    parser.add_argument(
        '--processes', type=int, help='number of processes (default: one for every CPU)'
    )
    parser.add_argument(
        '--restart', action='store_true', help='throw results of other settings in OUT away'
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.datasets.converters.common import read_ids
    from mmwsss.stages import SaliencyFromImages, SaliencyFromTruth, run_folder

    if bool(args.truth) != bool(args.oracle):
        raise ValueError('--oracle needs --truth, and nothing else does')
    task = SaliencyFromTruth(args.oracle) if args.oracle else SaliencyFromImages(args.method)
    source = args.truth or args.images
    ids = read_ids(args.ids) if args.ids else None
    count = run_folder(task, source, args.images, args.out, ids, args.processes, args.restart)
    print(f'\n{count} images done; saliency maps are in {args.out}')


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
