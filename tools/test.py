"""Test a model: ``python tools/test.py CONFIG [CHECKPOINT]``."""

import argparse

from _cli import add_common_options, parse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test a model, print its metrics')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file; not needed by methods without training; "none" tests an untrained '
        'model on purpose',
    )
    parser.add_argument('--out', metavar='DIR', help='write the predicted label maps (PNG) here')
    parser.add_argument('--show', action='store_true', help='show each prediction in a window')
    parser.add_argument(
        '--show-dir',
        metavar='DIR',
        help='write a panel per image here: image, cam, pseudo mask, prediction, truth',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2.0, metavar='S', help='seconds a window stays'
    )
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation (several scales, flip)'
    )
    parser.add_argument('--metrics', metavar='FILE', help='write the metrics as JSON here')
    parser.add_argument(
        '--crf',
        metavar='PRESET',
        help='refine the predictions by a dense CRF: afa (WeCLIP), deeplabv2 (CLIP-ES), mctformer, '
        'toco, ... (docs/dense_crf.md)',
    )
    parser.add_argument(
        '--restart',
        action='store_true',
        help='throw files of other settings in the folders that are written to away',
    )
    add_common_options(parser)
    return parse(parser)


def main() -> None:
    args = parse_args()

    from mmengine.dist import is_main_process

    from mmwsss.apis import load_config, test_from_cfg
    from mmwsss.utils.checks import check_apart, check_output_file
    from mmwsss.utils.io import write_json

    check_output_file(args.metrics)
    inputs = {'the config': args.config, 'the checkpoint': args.checkpoint}
    check_apart({'--metrics': args.metrics}, inputs)
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    metrics = test_from_cfg(
        cfg,
        args.checkpoint,
        tta=args.tta,
        crf=args.crf,
        out=args.out,
        show=args.show,
        show_dir=args.show_dir,
        wait_time=args.wait_time,
        restart=args.restart,
    )
    if args.metrics and is_main_process():
        write_json(args.metrics, metrics)


if __name__ == '__main__':
    main()
