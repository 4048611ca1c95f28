"""Judge a folder of masks or of activation maps against the true masks of a split.

The folder holds <image id>.png masks (palette or grey, 255 = ignored), <image id>.npz maps (a CAM
store) or <image id>.npy maps (dictionaries of the official codes). Maps are judged at every
background threshold in one pass. Every id of the split must be there.

    python tools/analysis_tools/eval_pseudo_labels.py work_dirs/psa_voc_cam/cams \\
        data/VOCdevkit/VOC2012/SegmentationClass \\
        --split data/VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt --classes voc12

Several processes: torchrun --nproc_per_node=4 tools/analysis_tools/eval_pseudo_labels.py ...
--launcher pytorch; the numbers are the same.
"""

import argparse
import os
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('predictions', type=Path, help='folder to judge')
    parser.add_argument('truth', type=Path, help='folder of the true masks, <image id>.png')
    parser.add_argument(
        '--split', type=Path, nargs='+', required=True, help='lists of image ids, one per line'
    )
    parser.add_argument(
        '--classes',
        default='voc12',
        help='voc12 (default), coco14, mini, or a text file with one foreground class per line',
    )
    parser.add_argument(
        '--background',
        nargs='+',
        metavar='SPEC',
        default=['range:0:1:0.01'],
        help='for maps: background thresholds range:START:END:STEP (default range:0:1:0.01), '
        'power:[1,2,4] for (1 - max cam)^a, or 0.15,0.2; several sweeps are reported apart',
    )
    parser.add_argument(
        '--convention',
        choices=['default', 'irn', 'seam', '1stage', 'pmm', 'deeplab', 'afa'],
        default='default',
        help='whose treatment of empty classes and of predictions of 255 (docs/evaluation.md)',
    )
    parser.add_argument(
        '--baseline',
        action='store_true',
        help='for maps: also judge what the image labels alone give, the first class of each image '
        'everywhere, and in a centred box of half the area',
    )
    parser.add_argument('--field', help='which maps of official dictionaries, e.g. high_res')
    parser.add_argument(
        '--out', type=Path, help='folder of the report (default: eval_<folder> beside the folder)'
    )
    parser.add_argument('--workers', type=int, default=2, help='processes that read files')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='see above'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    try:
        run(args)
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


def run(args: argparse.Namespace) -> None:
    from mmengine.dist import is_main_process

    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.datasets.converters.common import read_ids
    from mmwsss.stages.evaluate import PredictionFolder, eval_folder, init_processes

    classes = ['background', *foreground_names(args.classes)]
    out = args.out or args.predictions.resolve().parent / f'eval_{args.predictions.resolve().name}'
    folder = PredictionFolder(
        args.predictions, args.truth, read_ids(*args.split), len(classes), args.field
    )
    init_processes(args.launcher)
    scores = eval_folder(
        folder,
        classes,
        args.background,
        args.convention,
        out,
        tags=dict(
            predictions=str(args.predictions),
            truth=str(args.truth),
            split=[str(path) for path in args.split],
        ),
        num_workers=args.workers,
    )
    if args.baseline:
        for name, share in (('everywhere', 1.0), ('in a box', 0.5)):
            guess = eval_folder(
                folder, classes, (), args.convention, num_workers=args.workers, guess=share
            )
            scores[f'first class {name}, mIoU'] = guess['mIoU']
    if is_main_process():
        print('\n'.join(f'{k}: {v:.4f}' for k, v in scores.items() if 'IoU/' not in k))
        print(f'report: {out}')


if __name__ == '__main__':
    main()
