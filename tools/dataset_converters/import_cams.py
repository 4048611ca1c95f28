"""Make a CAM store from the activation maps of an official code (.npy dictionaries).

Reads {class: map} (PSA, SEAM, MCTformer, PMM) and {keys, high_res | attn_highres | cam} (IRN,
CLIP-ES); builds nothing but arrays and numbers from the files, whatever they hold.

    python tools/dataset_converters/import_cams.py result/cam work_dirs/imported/cams \\
        --images data/VOCdevkit/VOC2012/JPEGImages --classes voc12
"""

import argparse
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
    return parser.parse_args()


def main() -> None:
    args = parse_args()

    from mmwsss.datasets.class_names import foreground_names
    from mmwsss.datasets.converters.cams import import_cams

    num_foreground = len(foreground_names(args.classes))
    count = import_cams(args.source, args.out, args.images, num_foreground, args.field)
    print(f'\n{args.out}: {count} files')


if __name__ == '__main__':
    main()
