"""Bring released archives of WSSS-BED (act_maps, sal_maps) into folders of ours.

ARCHIVES holds <key>.zip as downloaded, or unpacked folders of that name. Activation maps become CAM
stores OUT/act_maps/<key>, saliency maps folders OUT/sal_maps/<key>. Nothing is downloaded. A run
that was interrupted goes on where it stopped.

    python tools/dataset_converters/import_bed.py downloads work_dirs/wsss_bed
    python tools/wsss_bed.py --dataset voc12 --out work_dirs/bed_voc \\
        --source CAM=work_dirs/wsss_bed/act_maps/VOC2012_CAM \\
        --saliency MOVE=work_dirs/wsss_bed/sal_maps/VOC2012_MOVE
"""

import argparse
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('archives', type=Path, help='folder of the archives')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--keys', nargs='+', metavar='KEY', help='only these (default: all found)')
    parser.add_argument('--labels', type=Path, help='also turn this *_cls.txt into image labels')
    parser.add_argument('--classes', default='voc12', help='its classes: voc12 (default), coco14')
    parser.add_argument(
        '--restart', action='store_true', help='throw away what OUT holds of other settings'
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.datasets.converters.bed_archives import (
        activation_keys,
        find_archives,
        import_archive,
        saliency_keys,
    )
    from mmwsss.datasets.label_list import read_label_list
    from mmwsss.stores.label_file import write_label_file
    from mmwsss.utils.checks import check_choice

    found = find_archives(args.archives)
    for key in args.keys or ():
        check_choice('key', key, found)
    for key in args.keys or found:
        kind = 'act_maps' if key in activation_keys() else 'sal_maps'
        count = import_archive(found[key], key, args.out / kind / key, args.restart)
        print(f'\n{args.out / kind / key}: {count} images')
    absent = len(activation_keys()) + len(saliency_keys()) - len(found)
    print(f'{len(found)} archives found, {absent} of the released ones are not in {args.archives}')
    if args.labels:
        names = foreground_names(args.classes)
        labels = read_label_list(args.labels, names)
        named = {key: [names[c] for c in classes] for key, classes in labels.items()}
        write_label_file(args.out / f'{args.labels.stem}.json', named)


def main() -> None:
    args = parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
    from _cli import run_or_exit

    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
