"""Semantic masks from the XML of CVAT (export format CVAT for images 1.1).

Masks, polygons and boxes are read; what is in front (z_order) owns a pixel. Pixels that no region
covers are background.

    python tools/dataset_converters/cvat.py annotations.xml data/pets/masks \\
        --classes data/pets/classes.txt
"""

import argparse

from _corrected import main, make_parser


def read(args: argparse.Namespace, classes: list[str]) -> tuple:
    from mmwsss.datasets.converters.cvat import read_cvat

    return read_cvat(args.source, classes), []


if __name__ == '__main__':
    main(make_parser(__doc__, 'annotations.xml', 'last'), read)
