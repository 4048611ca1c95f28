"""Make a training set from a folder of images and class names, without any mask.

    python tools/make_pseudo_labels.py photos data/pets --classes cat dog 'person=person,people'

writes pseudo masks, image labels, a split list and a config for tools/train.py to data/pets, and
review.html, which shows the most doubtful masks. The same command goes on with what is missing
after an interruption, and does pictures that were added. The exit code is 1 if images could not be
read, or if the folder holds files that are not read here; the others are done, and what is left out
is named at the end.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from _cli import add_sheet_options, make_sheet, run_or_exit

if TYPE_CHECKING:
    from mmwsss.apis.pseudo_data import PseudoData
    from mmwsss.apis.review import Review

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
        '--max-side',
        type=int,
        help='larger images are shrunk (default: 512, with --window 4096)',
    )
    parser.add_argument(
        '--window',
        type=int,
        metavar='SIDE',
        help='look at larger images window by window, in place of shrinking them',
    )
    parser.add_argument(
        '--stride', type=int, help='of the windows (default: two thirds of their side)'
    )
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--processes', type=int, help='for the CRF (default: one per CPU)')
    parser.add_argument('--device', help='default: an accelerator if there is one, else cpu')
    parser.add_argument(
        '--restart',
        action='store_true',
        help='throw results of other settings or pictures in OUT away',
    )
    add_sheet_options(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    from mmwsss.apis import pseudo_data as api
    from mmwsss.apis.class_names import read_class_arguments
    from mmwsss.apis.request import LABEL_THRESHOLD
    from mmwsss.apis.wsss_inferencer import WSSSInferencer
    from mmwsss.stores.label_file import read_label_file
    from mmwsss.stores.palettes import voc_palette

    classes = read_class_arguments(args.classes)
    palette = voc_palette(1 + len(classes))
    labels = read_label_file(args.labels) if args.labels else None
    threshold = LABEL_THRESHOLD if args.threshold is None else args.threshold
    numbers = (threshold, args.confidence or None, args.batch_size, args.processes)
    images = api.check_pseudo_data(args.images, args.out, list(classes), labels, *numbers)
    if images.left_out:
        print(images.describe_left_out(), file=sys.stderr)
    config = api.TrainingConfig(args.network, args.out, ('background', *classes), palette)
    config.check_kept(args.restart)
    inferencer = WSSSInferencer(
        args.config,
        classes,
        args.background,
        args.templates,
        clip=args.clip,
        device=args.device,
        crf=None,
        palette=palette,
        max_side=args.max_side,
        original_size=False,
        window=args.window,
        stride=args.stride,
    )
    made = api.make_pseudo_data(inferencer, args.images, args.out, labels, *numbers, args.restart)
    code = report(made, config.write())
    if not args.no_sheet:
        make_sheet(lambda: review_made(args, made, ['background', *classes]))
    return code


def review_made(args: argparse.Namespace, made: PseudoData, classes: list[str]) -> Review:
    """A sheet of the masks that were made."""
    from mmwsss.apis.review import review_masks
    from mmwsss.utils.checks import some

    out, notes = Path(args.out), []
    if made.unlabelled:
        notes = [
            f'No class was found in {len(made.unlabelled)} others: {some(made.unlabelled, 20)}'
        ]
    return review_masks(
        out / 'masks',
        out / 'images',
        out / 'review.html',
        out / 'cams',
        top=args.top,
        classes=classes,
        ids=made.ids,
        processes=args.processes,
        notes=notes,
    )


def report(made: PseudoData, config: Path) -> int:
    """Say what was made and what was not; the exit code."""
    from mmwsss.datasets.converters.common import summarise_labels
    from mmwsss.utils.checks import some

    print(summarise_labels({key: made.labels[key] for key in made.ids}))
    if made.unlabelled:
        print(
            f'{len(made.unlabelled)} images are left out, because CLIP found none of the classes: '
            + some(made.unlabelled, 10)
        )
    print(f'Train on them with: python tools/train.py {config}')
    if made.left_out:
        print(made.left_out, file=sys.stderr)
    for message in made.failed.values():
        print(f'failed: {message}', file=sys.stderr)
    if made.failed:
        print(f'{len(made.failed)} images could not be read; the others are done', file=sys.stderr)
    return 1 if made.failed or made.left_out else 0


def main() -> None:
    args = parse_args()
    sys.stdout.reconfigure(errors='backslashreplace')  # names that the terminal cannot show
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
