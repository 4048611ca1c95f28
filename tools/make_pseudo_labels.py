"""Make a training set from a folder of images and class names, without any mask.

    python tools/make_pseudo_labels.py photos data/pets --classes cat dog 'person=person,people'

writes pseudo masks, image labels, a split list and a config for tools/train.py to data/pets. The
same command goes on with what is missing after an interruption. The exit code is 1 if images could
not be read; the others are done, and the bad ones are named at the end.
"""

import argparse
import sys
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', help='folder of images of any kind and size')
    parser.add_argument('out', help='folder to make')
    parser.add_argument(
        '--classes',
        nargs='+',
        required=True,
        metavar='NAME[=PROMPT]',
        help='class names; PROMPT is what CLIP reads for one, such as synonyms',
    )
    parser.add_argument(
        '--background',
        nargs='*',
        metavar='NAME',
        help='what is seen beside the classes but is none of them (default: that of the config)',
    )
    parser.add_argument('--templates', nargs='+', help="sentences with '{}'")
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument(
        '--labels', help='JSON {image id: [class name, ...]}; default: CLIP predicts'
    )
    labels.add_argument(
        '--threshold',
        type=float,
        help='probability above which CLIP predicts a class (default: 0.1)',
    )
    parser.add_argument(
        '--confidence',
        type=float,
        default=0.95,
        help='less certain pixels are not trained on, 0 keeps all (default: %(default)s)',
    )
    parser.add_argument('--config', default=str(CONFIGS / 'wsss/clip_es_voc.py'), help='CLIP-ES')
    parser.add_argument('--clip', help='CLIP weights: a path, openai or mini')
    parser.add_argument(
        '--network',
        default=str(CONFIGS / 'segmentation/deeplabv3plus_r50_pseudo_voc.py'),
        help='config of the network to train (default: DeepLabV3+)',
    )
    parser.add_argument(
        '--max-side', type=int, default=512, help='larger images are shrunk (default: %(default)s)'
    )
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--processes', type=int, help='for the CRF (default: one per CPU)')
    parser.add_argument('--device', help='default: an accelerator if there is one, else cpu')
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    from mmwsss.apis.pseudo_data import make_pseudo_data, write_training_config
    from mmwsss.apis.wsss_inferencer import LABEL_THRESHOLD, WSSSInferencer, read_class_arguments
    from mmwsss.datasets.converters.common import summarise_labels
    from mmwsss.datasets.label_file import read_label_file
    from mmwsss.utils.images import list_images

    list_images(args.images)  # before anything large is loaded
    labels = read_label_file(args.labels) if args.labels else None
    inferencer = WSSSInferencer(
        args.config,
        read_class_arguments(args.classes),
        args.background,
        args.templates,
        clip=args.clip,
        device=args.device,
        crf=None,
        max_side=args.max_side,
        original_size=False,
    )
    threshold = LABEL_THRESHOLD if args.threshold is None else args.threshold
    made = make_pseudo_data(
        inferencer,
        args.images,
        args.out,
        labels,
        threshold,
        args.confidence or None,
        args.batch_size,
        args.processes,
    )
    config = write_training_config(args.network, args.out, inferencer.classes, inferencer.palette)
    print(summarise_labels({key: made.labels[key] for key in made.ids}))
    if made.unlabelled:
        print(
            f'{len(made.unlabelled)} images are left out, because CLIP found none of the classes: '
            + ', '.join(made.unlabelled[:10])
        )
    print(f'Train on them with: python tools/train.py {config}')
    for message in made.failed.values():
        print(f'failed: {message}', file=sys.stderr)
    if made.failed:
        print(f'{len(made.failed)} images could not be read; the others are done', file=sys.stderr)
    return 1 if made.failed else 0


def main() -> None:
    args = parse_args()
    try:
        code = run(args)
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    raise SystemExit(code)


if __name__ == '__main__':
    main()
