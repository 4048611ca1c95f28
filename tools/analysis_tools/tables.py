"""Write every table of figures from what was measured: metafiles, model zoo, pages.

    python tools/analysis_tools/tables.py [--check]

Results of the benchmark (benchmarks/mini.csv) go into the metafiles of configs/, metafiles and
results into docs/model_zoo.md and into README.md and docs/*.md, there between

    <!-- table: summary [ROW ...] -->
    <!-- end -->

with the rows of configs/benchmarks/mini.py, or

    <!-- table: stages PIPELINE [PIPELINE ...]: STAGE=LABEL, STAGE=LABEL, ... -->
    <!-- table: published MODEL [MODEL ...] -->

with stages of pipelines, or with the official figures of models of the metafiles.

A figure in a metafile is a metric "mIoU(WHAT[, NOTE ...])" such as "mIoU(val)", "mIoU(val+crf)" or
"mIoU(train seeds)", in per cent, with "± deviation" if several seeds were run. The note "official"
marks a published figure, and its result may say the Source; any other was measured, and its result
says the Command. Where the result says "Benchmark: {METRIC: PIPELINE/STAGE}", the figure is that of
the benchmark as soon as it has one; before that, and in all others, it is typed, and tables mark it
with a star.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import _metafiles
import _model_zoo
import _page_tables
from _benchmark import Figures, Results

from mmwsss.stages.benchmark import read_benchmark
from mmwsss.utils.io import write_text

ROOT = Path(__file__).resolve().parents[2]
ROWS, RESULTS = 'configs/benchmarks/mini.py', 'benchmarks/mini.csv'
RUN = 'run python tools/analysis_tools/tables.py'


def check(root: Path = ROOT) -> list[str]:
    """What is not as the artefacts say, an entry each.

    Raises:
        ValueError: An artefact or a marker is wrong itself.
    """
    results = _results(root)
    found = []
    for path in _metafiles.metafiles(root):
        for change in _metafiles.changes(path.read_text(encoding='utf-8'), results):
            found.append(
                f'{change.model}: {change.metric} is {change.old} in {path.relative_to(root)}, '
                f'{change.new} in {RESULTS}'
            )
    if found:  # pages follow from metafiles
        return found
    for path, text in pages(root, results):
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            found.append(f'{path.relative_to(root)} is not what metafiles and benchmark say')
    return found


def write(root: Path = ROOT) -> None:
    """Bring metafiles and pages up to date.

    Raises:
        ValueError: As :func:`check`.
    """
    results = _results(root)
    for path in _metafiles.metafiles(root):
        text = path.read_text(encoding='utf-8')
        _write(path, _metafiles.applied(text, _metafiles.changes(text, results)))
    for path, text in list(pages(root, results)):
        _write(path, text)


def _results(root: Path) -> Results:
    rows = root / ROWS
    return Results(root / RESULTS, len(read_benchmark(rows, '').seeds) if rows.is_file() else 1)


def pages(root: Path, results: Results) -> Iterator[tuple[Path, str]]:
    """Every page that holds tables, and its text as it has to be."""
    collections = _metafiles.read_collections(root)
    if wrong := _metafiles.complaints(collections, root):
        raise ValueError('\n'.join(wrong))
    zoo = root / 'docs/model_zoo.md'
    yield zoo, _model_zoo.page(collections, results, root)
    figures = Figures(root / 'configs/pipelines', results, _metafiles.typed_figures(collections))
    tables = _page_tables.Tables(root / ROWS, figures, collections)
    for path in [root / 'README.md', *sorted((root / 'docs').glob('*.md'))]:
        if path != zoo:
            where = path.relative_to(root).as_posix()
            yield path, _page_tables.filled(path.read_text(encoding='utf-8'), where, tables)


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding='utf-8') != text:
        write_text(path, text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--check', action='store_true', help='write nothing, say what differs')
    args = parser.parse_args()
    try:
        wrong = check() if args.check else write()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    if wrong:
        raise SystemExit('\n'.join([*wrong, RUN]))


if __name__ == '__main__':
    main()
