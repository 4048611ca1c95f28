"""Run the stages of a method: ``python tools/run_pipeline.py configs/pipelines/psa_mini.py``.

What is finished is skipped and what was interrupted goes on, so the same command continues a run
that was stopped at any point. It ends in one table, and in a sheet of the most doubtful masks,
review.html in the folder of the records.
"""

import argparse
from pathlib import Path

from _cli import (
    CfgOptions,
    add_launch_options,
    add_sheet_options,
    add_stage_restart,
    make_sheet,
    run_or_exit,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config in configs/pipelines')
    parser.add_argument(
        '--work-dir', default='work_dirs', help='folder of everything written (default: work_dirs)'
    )
    parser.add_argument(
        '--data-root',
        metavar='DIR',
        help="where the data lie, instead of the pipeline's data_root, for all stages",
    )
    parser.add_argument(
        '--mask-dir',
        metavar='DIR',
        help='finished masks to start from, for pipelines that refine masks; what the pipeline '
        'comes after is left out',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change values in the config of every stage, e.g. randomness.seed=1',
    )
    add_launch_options(parser)
    add_stage_restart(parser)
    add_sheet_options(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.apis.review import review_pipeline
    from mmwsss.stages import Launch, Pipeline

    launch = Launch(args.launcher, args.gpus, Path(__file__).resolve().parent)
    pipeline = Pipeline(
        args.config,
        args.work_dir,
        args.cfg_options,
        launch,
        args.restart,
        args.data_root,
        args.mask_dir,
    )
    pipeline.run()
    if not args.no_sheet:
        make_sheet(lambda: review_pipeline(pipeline, args.top))


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
