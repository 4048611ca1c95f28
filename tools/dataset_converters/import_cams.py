"""Make a CAM store from the activation maps of an official code (.npy dictionaries).

Reads {class: map} (PSA, SEAM, MCTformer, PMM) and {keys, high_res | attn_highres | cam} (IRN,
CLIP-ES); builds nothing but arrays and numbers from the files, whatever they hold.

A run that was interrupted goes on where it stopped. The exit code is 1 if something in the folder
was left out; it is named at the end.

    python tools/dataset_converters/import_cams.py result/cam work_dirs/imported/cams \\
        --images data/VOCdevkit/VOC2012/JPEGImages --classes voc12
"""

import argparse
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='folder of <image id>.npy')
    parser.add_argument('out', type=Path, help='folder of the CAM store')
    parser.add_argument('--images', type=Path, required=True, help='folder of the images')
    parser.add_argument(
        '--classes',
        default='voc12',
        help='voc12 (default), coco14, mini, or a text file with one foreground class per line',
    )
    parser.add_argument('--field', help='which maps of the dictionaries, e.g. high_res')
    parser.add_argument(
        '--restart', action='store_true', help='throw away what OUT holds of other settings'
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.datasets.converters.cams import import_cams
    from mmwsss.datasets.converters.common import scan_files

    num_foreground = len(foreground_names(args.classes))
    count = import_cams(
        args.source, args.out, args.images, num_foreground, args.field, args.restart
    )
    print(f'\n{args.out}: {count} files')
    left_out = scan_files(args.source, '.npy', 'Source').describe_left_out()
    if left_out:
        print(left_out, file=sys.stderr)
    return bool(left_out)


def main() -> None:
    args = parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
    from _cli import run_or_exit

    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
