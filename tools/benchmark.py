"""Compare methods: ``python tools/benchmark.py configs/benchmarks/mini.py``.

Every row of the config is run with every seed. What is finished is skipped and what was interrupted
goes on, so the same command continues. It ends in results.csv and one page, index.html, in
DIR/benchmark_<config>, of all that lies there.
"""

import argparse
from pathlib import Path

from _cli import add_launch_options, add_stage_restart, run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config in configs/benchmarks')
    parser.add_argument('--rows', nargs='*', metavar='ROW', help='rows to run (default: all)')
    parser.add_argument(
        '--seeds', nargs='*', type=int, metavar='N', help='seeds to run (default: the config says)'
    )
    parser.add_argument(
        '--work-dir', default='work_dirs', help='folder of everything written (default: work_dirs)'
    )
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='N', help='pipelines at a time (default: 1)'
    )
    parser.add_argument(
        '--threads',
        type=int,
        default=1,
        metavar='N',
        help='CPU threads of each process; other numbers change the last bit of sums (default: 1)',
    )
    parser.add_argument(
        '--collect', action='store_true', help='run nothing: table and page of what is there'
    )
    parser.add_argument(
        '--add',
        nargs='+',
        default=[],
        metavar='CSV',
        help='results.csv of other machines: what was not run here is taken from them',
    )
    add_launch_options(parser)
    add_stage_restart(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    from mmwsss.stages import Launch
    from mmwsss.stages.benchmark import read_benchmark, run_benchmark

    launch = Launch(args.launcher, args.gpus, Path(__file__).resolve().parent)
    chosen = (args.rows, args.seeds, launch, args.restart)
    benchmark = read_benchmark(args.config, args.work_dir, *chosen)
    failures = run_benchmark(benchmark, args.jobs, args.collect, args.add, args.threads)
    print(f'{benchmark.folder}: results.csv, index.html')
    for cell, reason in failures.items():
        print(f'FAILED: {cell.name}: {reason}')
    return 1 if failures else 0


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
