"""Cluster descriptions of classes into ExCEL's attribute bank.

    python tools/build_attribute_bank.py descriptions.json bank.npz --clip openai

DESCRIPTIONS is a JSON file {class text: [sentence, ...]}; the class texts are those that
``model.text.class_names`` holds. The bank is for ``model.text.bank``; it knows its classes and its
text tower, so that it is refused with others.
"""

import argparse

from _cli import run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('descriptions', help='JSON file of sentences')
    parser.add_argument('out', help='.npz file to write')
    parser.add_argument('--clip', default='openai', help='openai, mini, or a file of CLIP weights')
    parser.add_argument('--classes', nargs='+', help='class texts (default: all of the file)')
    parser.add_argument(
        '--num-attributes',
        type=int,
        help='clusters (default: 5.6 for every class up to 40 classes, 2.8 beyond)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the clustering')
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from mmwsss.models import FrozenCLIP
    from mmwsss.models.text_encoders.attribute_bank import build_bank, read_descriptions, save_bank
    from mmwsss.utils.checks import check_apart, check_output_file, check_range
    from mmwsss.utils.text import read_json

    if Path(args.out).suffix != '.npz':
        raise ValueError(f'the bank is written as .npz, got {args.out}')
    check_output_file(args.out)
    check_apart({'OUT': args.out}, {'DESCRIPTIONS': args.descriptions})
    check_range('--num-attributes', args.num_attributes, 1, integer=True)
    content = read_json(args.descriptions, 'Description file')
    classes = args.classes or list(content if isinstance(content, dict) else ())
    sentences = read_descriptions(args.descriptions, classes)
    clip = FrozenCLIP(args.clip)
    bank, flags = build_bank(clip, classes, sentences, args.num_attributes, args.seed)
    texts = [sentence for of_class in sentences for sentence in of_class]
    about = dict(classes=classes, sentences=texts, text_tower=clip.text_digest(), seed=args.seed)
    save_bank(args.out, bank, flags=flags, **about)
    print(f'{args.out}: {bank.shape[1]} attributes of {len(classes)} classes')


if __name__ == '__main__':
    args = parse_args()
    run_or_exit(lambda: run(args))
