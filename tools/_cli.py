"""Command line options that tools share.

Nothing here imports torch or mmengine, so that ``-h`` answers at once.
"""

import argparse
import ast
import os
import re
import sys
from collections.abc import Callable
from typing import Any


class CfgOptions(argparse.Action):
    """mmengine's ``DictAction``, imported only when the option is used; texts keep their blanks."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        options = dict(getattr(namespace, self.dest, None) or {})
        for given in values:
            key, mark, text = given.partition('=')
            if not key or not mark:
                parser.error(f'{option_string}: {given!r} is not of the form KEY=VALUE')
            try:
                options[key] = _value(text)
            except (AssertionError, SyntaxError, ValueError):
                parser.error(
                    f'{option_string}: {given!r} cannot be read: inside of lists, texts with '
                    'blanks, commas or brackets need quotes of their own'
                )
        setattr(namespace, self.dest, options)


def _value(text: str) -> Any:
    """What mmengine's ``DictAction`` reads; it would lose the blanks of texts."""
    from mmengine.config import DictAction

    text = text.strip()
    tight = re.sub(r'\s*([,()\[\]])\s*', r'\1', text)
    quoted = re.search('[\'"]', text)
    if not re.search(r'\s', text if quoted else tight):
        return DictAction._parse_iterable(tight)
    if text[0] in '\'"' or re.search(r'[,()\[\]{}]', text):
        return ast.literal_eval(text)
    return text


def add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--work-dir', help='folder of logs and results (default: work_dirs/<name of the config>)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change values of the config, e.g. train_cfg.max_iters=100 '
        'model.test_cfg.scales="[1.0,0.75]" (quotes around lists)',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes',
    )
    # Given by torch.distributed.launch (either spelling), not by users.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_launch_options(parser: Any, what: str = 'how stages are started') -> None:
    """For tools that start processes themselves; ``parser`` may be a group of options."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help=f'{what}: one process, torchrun, or srun',
    )
    parser.add_argument(
        '--gpus', type=int, default=1, help='processes with a launcher (default: 1)'
    )


def add_stage_restart(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--restart',
        action='store_true',
        help='do stages whose settings or files have changed, and those after them, anew; what '
        'they had made is thrown away',
    )


def add_sheet_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--top',
        type=int,
        default=50,
        metavar='N',
        help='so many of the most doubtful masks have pictures on the review sheet (default: 50)',
    )
    parser.add_argument('--no-sheet', action='store_true', help='make no review sheet')


def make_sheet(review: Callable[[], Any]) -> None:
    """Make a review sheet at the end of other work, of which nothing is lost if that fails."""
    try:
        made = review()
    except (OSError, RuntimeError, ValueError) as error:
        print(f'no review sheet: {error}', file=sys.stderr)
        return
    if made is not None:
        print(f'The most doubtful masks: {made.sheet}')
    if made is not None and made.failed:
        print(f'{len(made.failed)} masks could not be looked at, see there', file=sys.stderr)


def run_or_exit(run: Callable[[], int | None]) -> None:
    """Run; an error that the user can put right is one line and exit code 1, no traceback."""
    try:
        code = run()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    if code:
        raise SystemExit(code)


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
