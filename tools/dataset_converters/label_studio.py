"""Semantic masks from corrected tasks of Label Studio (export format JSON).

Brushes, polygons and rectangles are read. Pixels that no region covers are background. The exit
code is 1 if tasks without annotation are left out; they are named at the end.

    python tools/dataset_converters/label_studio.py project.json data/pets/masks \\
        --classes data/pets/classes.txt
"""

import argparse

from _corrected import main, make_parser


def read(args: argparse.Namespace, classes: list[str]) -> tuple:
    from mmwsss.datasets.converters.label_studio import read_label_studio

    return read_label_studio(args.source, classes, args.use, args.several, args.images)


if __name__ == '__main__':
    parser = make_parser(__doc__, 'exported JSON', 'last')
    parser.add_argument('--images', help='folder of the images: names and sizes are checked')
    parser.add_argument(
        '--use',
        choices=['annotations', 'predictions'],
        default='annotations',
        help='what was corrected (default), or predictions as they were imported',
    )
    parser.add_argument(
        '--several',
        choices=['refuse', 'newest'],
        default='refuse',
        help='if a task has several annotations (default: refuse)',
    )
    main(parser, read)
