"""Dense CRF on a folder: ``python tools/dense_crf.py SOURCE IMAGES OUT --preset psa --power 4``."""

import argparse

from _cli import run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Dense CRF on a CAM store (.npz) or a folder of masks (.png), by several '
        'processes. A run that was interrupted goes on where it stopped.'
    )
    parser.add_argument('source', help='folder of activation maps (.npz) or masks (.png)')
    parser.add_argument('images', help='folder of the images')
    parser.add_argument('out', help='folder to write to')
    parser.add_argument('--preset', default='psa', help='parameter set (default: psa)')
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument('--power', type=float, help='maps -> masks, background (1 - max cam)**POWER')
    kind.add_argument('--background', type=float, help='maps -> masks, constant background')
    kind.add_argument(
        '--low-high',
        nargs=2,
        type=float,
        metavar=('LOW', 'HIGH'),
        help="maps -> scores under two background powers, for AffinityNet's labels",
    )
    kind.add_argument(
        '--gt-prob', type=float, help='masks -> masks, whose labels are certain to this degree'
    )
    parser.add_argument(
        '--num-labels',
        type=int,
        metavar='N',
        help='masks -> masks: labels of the CRF, absent ones too (default: those of each mask)',
    )
    parser.add_argument(
        '--stride',
        type=int,
        default=1,
        metavar='N',
        help='maps -> scores: store averages over N x N pixels (default: 1, all pixels)',
    )
    parser.add_argument(
        '--confidence', type=float, help='maps -> masks: 255 where the posterior is below this'
    )
    parser.add_argument(
        '--image',
        choices=['true', 'wrapped'],
        default='true',
        help="maps -> masks: the image, or CLIP-ES's with the mean subtracted as bytes",
    )
    parser.add_argument('--ids', help='text file of image ids (default: all of SOURCE)')
    parser.add_argument(
        '--processes', type=int, help='number of processes (default: one for every CPU)'
    )
    parser.add_argument(
        '--restart',
        action='store_true',
        help='throw results of other settings or files in OUT away',
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.datasets.converters.common import read_ids
    from mmwsss.stages import LowHighFromCAMs, MasksFromCAMs, MasksFromMasks, run_folder

    masks_from_cams = args.power is not None or args.background is not None
    if args.confidence is not None and not masks_from_cams:
        raise ValueError('--confidence belongs to --power and --background')
    if args.image != 'true' and not masks_from_cams:
        raise ValueError('--image belongs to --power and --background')
    if args.num_labels is not None and args.gt_prob is None:
        raise ValueError('--num-labels belongs to --gt-prob')
    if args.stride != 1 and not args.low_high:
        raise ValueError('--stride belongs to --low-high')
    crf = dict(preset=args.preset)
    if args.low_high:
        task = LowHighFromCAMs(*args.low_high, crf, args.stride)
    elif args.gt_prob is not None:
        task = MasksFromMasks(args.gt_prob, crf, num_labels=args.num_labels)
    else:
        power = 1.0 if args.power is None else args.power
        task = MasksFromCAMs(power, args.background, args.confidence, args.image, crf)
    ids = read_ids(args.ids) if args.ids else None
    count = run_folder(task, args.source, args.images, args.out, ids, args.processes, args.restart)
    print(f'\n{count} images done; results are in {args.out}')


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
