"""Train a model: ``python tools/train.py CONFIG``."""

import argparse

from _cli import add_common_options, parse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from the newest checkpoint of the work dir, or from the one given; the '
        'run then ends with the weights of an uninterrupted one',
    )
    parser.add_argument(
        '--accept-changes',
        action='store_true',
        help='resume with other settings or data than those of the checkpoint: a longer schedule, '
        'another rate; the learning rate is then what the config says at that iteration',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    add_common_options(parser)
    return parse(parser)


def main() -> None:
    args = parse_args()

    from mmwsss.apis import load_config, train_from_cfg

    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    train_from_cfg(cfg, resume=args.resume, amp=args.amp, accept_changes=args.accept_changes)


if __name__ == '__main__':
    main()
