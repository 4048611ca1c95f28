"""Compare backgrounds and lengths of AffinityNet's random walk, all in one walk.

    python tools/analysis_tools/sweep_walk.py configs/wsss/psa_voc_affinity.py CHECKPOINT \
        --alpha 2 4 8 16 32 --logt 4 5 6 7 8

The images, maps and true masks are those of val_dataloader (VOC, mini: the split train).
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the folder of _cli.py
from _cli import add_common_options, parse, run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config of AffinityNet')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument(
        '--logt', type=int, nargs='+', metavar='T', help='lengths of the walk, 2^T steps'
    )
    parser.add_argument(
        '--alpha', type=float, nargs='+', metavar='A', help='backgrounds (1 - max cam)^A'
    )
    parser.add_argument(
        '--background', type=float, nargs='+', metavar='B', help='constant backgrounds'
    )
    parser.add_argument('--metrics', metavar='FILE', help='write the metrics as JSON here')
    add_common_options(parser)
    return parse(parser)


def run(args: argparse.Namespace) -> None:
    from mmengine.dist import is_main_process

    from mmwsss.apis import load_config, sweep_walk
    from mmwsss.utils.checks import check_apart, check_output_file
    from mmwsss.utils.io import write_json

    check_output_file(args.metrics)
    inputs = {'the config': args.config, 'the checkpoint': args.checkpoint}
    check_apart({'--metrics': args.metrics}, inputs)
    cfg = load_config(args.config, args.cfg_options, args.work_dir, args.launcher)
    metrics = sweep_walk(cfg, args.checkpoint, args.logt, args.alpha, args.background)
    if args.metrics and is_main_process():
        write_json(args.metrics, metrics)


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
