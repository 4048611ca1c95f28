"""The page docs/model_zoo.md: every config of the metafiles with its figures."""

import ast
from pathlib import Path

from _benchmark import STAR, Results
from _metafiles import COMPARED, figures
from _page_tables import line, rule

# Read by tests/test_pages.py: the commands are parsed, not run.
NEEDS = '<!-- needs: trainings of minutes -->'
HEAD = f"""# Model zoo

<!-- Written by tools/analysis_tools/tables.py from metafiles and benchmark; do not edit. -->

mIoU in per cent. *Published* figures are on the data set of the row, with their source in
brackets (second-hand: from another paper that cites it); equality with the official code is shown
by [golden cases](../tests/parity), the full data sets have not been measured here. *Measured* are
figures on the embedded [mini data set](mini.md): mean and standard deviation of the seeds 0, 1 and
2 (`--cfg-options randomness.seed=N`), one run where there is no deviation, always the last
checkpoint. Seeds and pseudo masks know the image labels, segmentations (val) do not; measured seeds
are taken at the best of 100 background scores. {STAR} The figure was typed after a run of the
command: no result in `benchmarks/mini.csv` stands behind it.
"""


def cell(found: dict[str, str]) -> str:
    """All figures of one model."""
    return '; '.join(f'{what} {value}' for what, value in found.items())


def published(model: dict, results: Results) -> str:
    """The figures of others, each group with its source."""
    groups = []
    for result in model.get('Results', ()):
        if found := figures(dict(Results=[result]), official=True, results=results):
            source = f' ({result["Source"]})' if 'Source' in result else ''
            groups.append(f'{cell(found)}{source}')
    return '; '.join(groups)


def link(model: dict) -> str:
    """The config of a model."""
    return f'[{model["Name"]}](../{model["Config"]})'


def section(item: dict, results: Results) -> str:
    """A collection: paper, page, its configs, and the commands of what was measured."""
    page = Path('..', item['README']).as_posix().replace('../docs/', '')
    about = [f'[page]({page})']
    if paper := item.get('Paper'):
        about.insert(0, f'*{paper["Title"]}*, [paper]({paper["URL"]})')
    lines = [f'## {item["Name"]}', '', ', '.join(about), '']
    lines += [line('config', 'training data', 'network', 'published', 'measured'), rule(5)]
    for model in item['models']:
        metadata = model['Metadata']
        network = ', '.join(metadata.get('Architecture', ()))
        measured = cell(figures(model, official=False, results=results))
        data = metadata['Training Data']
        lines.append(line(link(model), data, network, published(model, results), measured))
    commands = {
        result['Command']: None
        for model in item['models']
        for result in model.get('Results', ())
        if 'Command' in result
    }
    if commands:
        lines += ['', 'Measured with:', '', NEEDS, '```bash', *commands, '```']
    return '\n'.join([*lines, ''])


def comparison(collections: list[dict], results: Results) -> str:
    """Methods on mini beside their upper bound and the plain maps of their backbone."""
    models = {model['Name']: model for item in collections for model in item['models']}
    about = 'Beside each the same network trained on the true masks, and the maps of its backbone'
    lines = ['## On the mini data set', '', f'{about} ([remarks](mini.md#results)).', '']
    lines.append(line('config', 'val', '+ CRF', 'on true masks, val', '+ CRF', 'plain CAM, train'))
    lines.append(rule(6))
    for model in models.values():
        others = [models.get(model['Metadata'].get(key), {}) for key in COMPARED]
        if any(others):
            own, upper, cam = (
                figures(m, official=False, results=results) for m in (model, *others)
            )
            cells = [found.get(key, '') for found in (own, upper) for key in ('val', 'val + CRF')]
            cells.append(cam.get('train seeds, plain') or cam.get('train seeds', ''))
            lines.append(line(link(model), *cells))
    return '\n'.join([*lines, ''])


def pipelines(root: Path) -> str:
    """What runs several stages."""
    about = '[What they are](pipelines.md); `tools/run_pipeline.py CONFIG`'
    lines = ['## Pipelines', '', f'{about}.', '']
    for path in sorted((root / 'configs/pipelines').glob('*.py')):
        about = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
        lines.append(f'- [{path.stem}](../{path.relative_to(root).as_posix()}): {about}')
    return '\n'.join([*lines, ''])


def page(collections: list[dict], results: Results, root: Path) -> str:
    """The whole page."""
    sections = [section(item, results) for item in collections]
    return '\n'.join([HEAD, comparison(collections, results), *sections, pipelines(root)])
