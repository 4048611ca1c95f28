"""Write pseudo masks of training images by a trained model:
``python tools/make_pseudo_masks.py CONFIG CHECKPOINT --split train_aug``.

Masks (and maps, ``--write cams masks``) are made for the classes in the image labels and lie in
``work_dirs/<config>/masks`` (``cams``), or in another ``--out``. An interrupted run goes on when
started again; files of another model, checkpoint or data are refused.
"""

import argparse
from pathlib import Path

from _cli import CfgOptions, add_launch_options, run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the model')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file; not needed by methods without training; "none" takes an untrained '
        'model on purpose',
    )
    parser.add_argument(
        '--split', help='train_aug, train, val, ...; default: that of the test data set'
    )
    parser.add_argument('--out', metavar='DIR', help='default: work_dirs/<name of the config>')
    parser.add_argument(
        '--write', nargs='+', choices=['masks', 'cams'], default=['masks'], help='default: masks'
    )
    parser.add_argument(
        '--predict',
        choices=['cam', 'seg'],
        help='for the classes in the image labels, or the segmentation that does not look at them; '
        'default: cam where the model can',
    )
    parser.add_argument('--tta', action='store_true', help='several scales and flip, as test.py')
    parser.add_argument('--crf', metavar='PRESET', help='refine segmentations, as test.py')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change values of the config, e.g. model.test_cfg.maps=plain',
    )
    add_launch_options(parser, 'how it is run')
    parser.add_argument('--restart', action='store_true', help='throw files of other settings away')
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.apis import Launch, make_pseudo_masks

    folders = make_pseudo_masks(
        args.config,
        args.checkpoint,
        split=args.split,
        out=args.out,
        write=args.write,
        predict=args.predict,
        tta=args.tta,
        crf=args.crf,
        cfg_options=args.cfg_options,
        launch=Launch(args.launcher, args.gpus, Path(__file__).resolve().parent),
        restart=args.restart,
    )
    for kind, folder in folders.items():
        print(f'{kind}: {folder}')


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
