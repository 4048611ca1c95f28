"""Semantic masks from YOLO's segmentation labels.

Pixels that no polygon covers are background; images without a file of labels are left out and
counted: an empty file says that there is only background.

    python tools/dataset_converters/yolo.py data/pets/labels data/pets/masks \\
        --images data/pets/images --classes data/pets/classes.txt
"""

import argparse

from _corrected import main, make_parser


def read(args: argparse.Namespace, classes: list[str]) -> tuple:
    from mmwsss.datasets.converters.yolo import read_yolo
    from mmwsss.utils.images import scan_images

    found = read_yolo(args.source, args.images, classes)
    labelled = {image.image_id for image in found.images}
    return found, [key for key in scan_images(args.images).found if key not in labelled]


if __name__ == '__main__':
    parser = make_parser(__doc__, 'folder of <image id>.txt', 'small')
    parser.add_argument('--images', required=True, help='folder of the images')
    main(parser, read)
