"""Maps and masks of an image or a folder: of any classes you can name, or by a trained network.

    python demo/wsss_demo.py photo.jpg --classes cat dog 'sofa=sofa couch' --out out
    python demo/wsss_demo.py photos --config CONFIG --checkpoint CHECKPOINT --zip masks.zip

``out/vis`` gets a picture for every image, ``out/pred`` the masks, ``out/cams`` the maps; the zip
file holds masks and overlays. Without ``--labels`` CLIP chooses which of the classes each image
shows. ``--clip mini`` (with ``--config configs/wsss/clip_es_mini.py``) needs no download. The exit
code is 1 if images could not be read, or if the folder holds files that are not read here.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / 'configs/wsss/clip_es_voc.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('image', help='image file or folder')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME[=PROMPT]',
        help='class names; PROMPT is what CLIP reads for one (default: those of the config)',
    )
    parser.add_argument('--labels', nargs='+', metavar='NAME', help='classes that are shown')
    parser.add_argument('--background', nargs='*', metavar='NAME', help='what is none of them')
    parser.add_argument(
        '--threshold', type=float, help='classes above it are predicted labels (default: 0.1)'
    )
    parser.add_argument('--config', default=str(DEFAULT_CONFIG), help='CLIP-ES, ExCEL, or any')
    parser.add_argument('--checkpoint', help='weights of a trained network')
    parser.add_argument('--clip', help='CLIP weights: a path, openai or mini')
    parser.add_argument('--max-side', type=int, help='larger images are shrunk')
    parser.add_argument(
        '--window', type=int, metavar='SIDE', help='look at larger images window by window'
    )
    parser.add_argument('--stride', type=int, help='of the windows')
    parser.add_argument('--out', default='result', help='folder to write to')
    parser.add_argument('--zip', metavar='FILE', help='also write masks and overlays to a zip file')
    parser.add_argument(
        '--format',
        help='of the masks in it: png (default); coco, yolo, label-studio, cvat are written beside',
    )
    parser.add_argument('--device', help='default: an accelerator if there is one, else cpu')
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    from mmwsss.apis.class_names import encode_all, read_class_arguments
    from mmwsss.apis.request import LABEL_THRESHOLD, and_parents, check_request
    from mmwsss.apis.results import Failure
    from mmwsss.apis.results_zip import PNG, check_zip, open_zip
    from mmwsss.apis.wsss_inferencer import WSSSInferencer
    from mmwsss.utils.checks import check_apart, some
    from mmwsss.utils.images import scan_images

    image, left_out, failed = Path(args.image), '', []
    if image.is_dir():
        left_out = scan_images(image, and_parents(args.out)).describe_left_out()
    elif not image.is_file():
        raise FileNotFoundError(f'image {image} does not exist')
    if args.format and not args.zip:
        raise ValueError('--format is that of the masks in a zip file: name one with --zip')
    if args.threshold is not None and (args.labels or args.checkpoint):
        raise ValueError('--threshold is for labels that CLIP predicts: leave it out')
    mask_format, threshold = args.format or PNG, args.threshold
    threshold = LABEL_THRESHOLD if threshold is None else threshold
    check_zip(args.zip, mask_format)
    images = [source for _, source in check_request(image, threshold, out_dir=args.out)]
    inputs = {f'the image {path}': path for path in images}
    inputs |= {'the config': args.config, 'the checkpoint': args.checkpoint, '--clip': args.clip}
    check_apart({'--zip': args.zip}, inputs)
    classes = read_class_arguments(args.classes) if args.classes else None
    if classes and args.labels:
        encode_all([args.labels], list(classes), ['--labels'])
    inferencer = WSSSInferencer(
        args.config,
        classes,
        args.background,
        clip=args.clip,
        device=args.device,
        max_side=args.max_side,
        weights=args.checkpoint,
        window=args.window,
        stride=args.stride,
    )
    labels = [args.labels] * len(images) if args.labels else None
    archive = (args.zip, inferencer.classes, inferencer.palette, mask_format)
    with open_zip(*archive) if args.zip else nullcontext() as results:
        for result in inferencer.stream(images, labels, threshold):
            if isinstance(result, Failure):
                failed.append(result.message)
                continue
            inferencer.write(args.out, result)
            if results is not None:
                results.add(result)
            picture = some([f'{args.out}/vis/{result.name}.png'])
            print(f'{picture}: {", ".join(result.label_names) or "no class"}', flush=True)
    if left_out:
        print(left_out, file=sys.stderr)
    for message in failed:
        print(f'failed: {message}', file=sys.stderr)
    if failed:
        print(f'{len(failed)} of {len(images)} images could not be read', file=sys.stderr)
    return 1 if failed or left_out else 0


def main() -> None:
    args = parse_args()
    sys.stdout.reconfigure(errors='backslashreplace')  # names that the terminal cannot show
    try:
        code = run(args)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    raise SystemExit(code)


if __name__ == '__main__':
    main()
