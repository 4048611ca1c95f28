"""Bring pseudo masks into an annotation tool, to correct or to train on them there.

Unknown pixels (255) are left out and counted. What comes back is read by coco.py (masks),
label_studio.py, cvat.py and yolo.py of tools/dataset_converters.

    python tools/export_masks.py work_dirs/weclip_pets/masks --to label-studio \\
        --classes data/pets/classes.txt --images data/pets/images
"""

import argparse

from _cli import run_or_exit

FORMATS = ('coco', 'yolo', 'label-studio', 'cvat')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', help='folder of <image id>.png')
    parser.add_argument('--to', required=True, metavar='FORMAT', help=', '.join(FORMATS))
    parser.add_argument(
        '--classes',
        required=True,
        help='voc12, coco14, mini, or a text file with one foreground class per line',
    )
    parser.add_argument('--images', help='folder of the images: names and sizes are checked')
    parser.add_argument('--image-suffix', help='of the images without --images (default: .jpg)')
    parser.add_argument('--out', help='folder to write to (default: FOLDER_FORMAT)')
    parser.add_argument(
        '--shape', choices=['rle', 'polygon'], help='coco: run lengths (default) or polygons'
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=0.0,
        metavar='PIXELS',
        help='polygons may be off by this much, and have less corners (default: 0, exact)',
    )
    parser.add_argument(
        '--prefix',
        help='what stands before the names of images, such as a folder or an address (default: '
        'nothing; label-studio: its local storage, /data/local-files/?d=)',
    )
    parser.add_argument('--nproc', type=int, default=1, help='processes')
    parser.add_argument(
        '--restart', action='store_true', help='throw away what OUT holds of other settings'
    )
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.exporters import ExportOptions, export_masks

    found = export_masks(
        args.folder,
        args.to,
        foreground_names(args.classes),
        args.out or f'{args.folder.rstrip("/")}_{args.to}',
        args.images,
        args.image_suffix,
        ExportOptions(args.shape, args.tolerance, args.prefix),
        args.nproc,
        args.restart,
    )
    print(f'\n{found.describe()}')


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
