"""Write docs/model_zoo.md from the metafiles of configs/, which it checks.

    python tools/analysis_tools/model_zoo.py [--check]

A figure in a metafile is a metric "mIoU(WHAT[, NOTE ...])" such as "mIoU(val)", "mIoU(val+crf)" or
"mIoU(train seeds)", in per cent, with "± deviation" if several seeds were run. The note "official"
marks a published figure; any other was measured, and its result says the Command.
"""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/model_zoo.md'
FIGURE = re.compile(r'\d+\.\d+( ± \d+\.\d+)?')
METRIC = re.compile(r'mIoU\(([\w +]+)((?:, [\w +-]+)*)\)')
COMPARED = ('Upper Bound', 'Plain CAM')
# Read by tests/test_pages.py: the commands are parsed, not run.
NEEDS = '<!-- needs: trainings of minutes -->'
HEAD = """# Model zoo

<!-- Written by tools/analysis_tools/model_zoo.py from the metafiles of configs/; do not edit. -->

mIoU in per cent. *Published* figures are those of the papers or of their authors, on the data set
of the row; equality with the official code is shown by [golden cases](../tests/parity), the full
data sets have not been measured here. *Measured* are figures on the embedded
[mini data set](mini.md): mean and standard deviation of the seeds 0, 1 and 2
(`--cfg-options randomness.seed=N`), one run where there is no deviation, always the last
checkpoint. Seeds and pseudo masks know the image labels, segmentations (val) do not; measured seeds
are taken at the best of 100 background scores.
"""


def read_collections(root: Path = ROOT) -> list[dict]:
    """Collections of all metafiles in the order of the index, each with its ``models``."""
    found = []
    for name in yaml.safe_load((root / 'model-index.yml').read_text())['Import']:
        content = yaml.safe_load((root / name).read_text())
        collections = {item['Name']: {**item, 'models': []} for item in content['Collections']}
        for model in content['Models']:
            collections[model['In Collection']]['models'].append(model)
        found += collections.values()
    return found


def complaints(collections: list[dict], root: Path = ROOT) -> list[str]:
    """What is wrong with the metafiles, an entry each."""
    models = [model for item in collections for model in item['models']]
    listed = [model['Config'] for model in models]
    folders = [root / 'configs/wsss', root / 'configs/segmentation']
    shipped = [
        path.relative_to(root).as_posix() for f in folders for path in sorted(f.glob('*.py'))
    ]
    found = [f'{name} has no entry in a metafile' for name in shipped if name not in listed]
    found += [f'{name} is in a metafile, but not there' for name in listed if name not in shipped]
    found += [f'{name} has several entries' for name in set(listed) if listed.count(name) > 1]
    for item in collections:
        if not (root / item['README']).is_file():
            found.append(f'{item["Name"]}: there is no page {item["README"]}')
    names = {model['Name'] for model in models}
    return found + [f'{m["Name"]}: {text}' for m in models for text in wrong_entry(m, names)]


def wrong_entry(model: dict, names: set[str]) -> Iterator[str]:
    """What is wrong with one model."""
    if Path(model['Config']).stem != model['Name']:
        yield f'its name is not that of {model["Config"]}'
    results, metadata = model.get('Results', []), model['Metadata']
    if bool(results) == (metadata.get('Figures') == 'none'):
        yield 'give it Results, or "Figures: none" in its Metadata'
    for key in COMPARED:
        if metadata.get(key) not in (None, *names):
            yield f'{key}: {metadata[key]} has no entry'
    for result in results:
        for metric, value in result['Metrics'].items():
            if not METRIC.fullmatch(metric):
                yield f'"{metric}" must be like mIoU(val+crf) or mIoU(val, official)'
            elif not FIGURE.fullmatch(str(value)):
                yield f'"{metric}: {value}" must be like 61.2 or 61.2 ± 1.3'
            elif 'official' not in metric and not result.get('Command'):
                yield f'"{metric}" is not marked official, and no Command says how to measure it'


def figures(model: dict, official: bool) -> dict[str, str]:
    """``{what: figure}`` of the published or of the measured results."""
    found = {}
    for result in model.get('Results', []):
        for metric, value in result['Metrics'].items():
            what, notes = METRIC.fullmatch(metric).groups()
            notes = [note for note in notes.split(', ') if note]
            if official == ('official' in notes):
                rest = [note for note in notes if note != 'official']
                what = what.replace('+tta', ' + TTA').replace('+crf', ' + CRF')
                found[', '.join([what, *rest])] = str(value)
    return found


def line(*cells: str) -> str:
    """A row of a table."""
    return f'| {" | ".join(cells)} |'


def cell(found: dict[str, str]) -> str:
    """All figures of one model."""
    return '; '.join(f'{what} {value}' for what, value in found.items())


def link(model: dict) -> str:
    """The config of a model."""
    return f'[{model["Name"]}](../{model["Config"]})'


def section(item: dict) -> str:
    """A collection: paper, page, its configs, and the commands of what was measured."""
    page = Path('..', item['README']).as_posix().replace('../docs/', '')
    about = [f'[page]({page})']
    if paper := item.get('Paper'):
        about.insert(0, f'*{paper["Title"]}*, [paper]({paper["URL"]})')
    lines = [f'## {item["Name"]}', '', ', '.join(about), '']
    lines += [line('config', 'training data', 'network', 'published', 'measured'), '|---' * 5 + '|']
    for model in item['models']:
        metadata = model['Metadata']
        network = ', '.join(metadata.get('Architecture', ()))
        results = (cell(figures(model, official)) for official in (True, False))
        lines.append(line(link(model), metadata['Training Data'], network, *results))
    commands = {
        result['Command']: None
        for model in item['models']
        for result in model.get('Results', ())
        if 'Command' in result
    }
    if commands:
        lines += ['', 'Measured with:', '', NEEDS, '```bash', *commands, '```']
    return '\n'.join([*lines, ''])


def comparison(collections: list[dict]) -> str:
    """Methods on mini beside their upper bound and the plain maps of their backbone."""
    models = {model['Name']: model for item in collections for model in item['models']}
    about = 'Beside each the same network trained on the true masks, and the maps of its backbone'
    lines = ['## On the mini data set', '', f'{about} ([remarks](mini.md#results)).', '']
    lines.append(line('config', 'val', '+ CRF', 'on true masks, val', '+ CRF', 'plain CAM, train'))
    lines.append('|---' * 6 + '|')
    for model in models.values():
        others = [models.get(model['Metadata'].get(key), {}) for key in COMPARED]
        if any(others):
            own, upper, cam = (figures(m, official=False) for m in (model, *others))
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


def page(collections: list[dict], root: Path = ROOT) -> str:
    """The whole page."""
    sections = [section(item) for item in collections]
    return '\n'.join([HEAD, comparison(collections), *sections, pipelines(root)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--check', action='store_true', help='write nothing, say what differs')
    args = parser.parse_args()
    collections = read_collections()
    if wrong := complaints(collections):
        raise SystemExit('\n'.join(wrong))
    text = page(collections)
    if not args.check:
        PAGE.write_text(text, encoding='utf-8')
    elif not PAGE.is_file() or PAGE.read_text(encoding='utf-8') != text:
        raise SystemExit(f'{PAGE} is not what the metafiles say: run model_zoo.py')


if __name__ == '__main__':
    main()
