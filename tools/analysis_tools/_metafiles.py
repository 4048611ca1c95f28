"""Metafiles of configs/: what is wrong with them, their figures, and results written into them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from _benchmark import STAR, Results

FIGURE = re.compile(r'\d+\.\d+( ± \d+\.\d+)?( \(\d+ of \d+ seeds\))?|failed')
METRIC = re.compile(r'mIoU\(([\w +]+)((?:, [\w +-]+)*)\)')
COMPARED = ('Upper Bound', 'Plain CAM')


def metafiles(root: Path) -> list[Path]:
    """All metafiles, in the order of the index."""
    index = yaml.safe_load((root / 'model-index.yml').read_text(encoding='utf-8'))
    return [root / name for name in index['Import']]


def read_collections(root: Path) -> list[dict]:
    """Collections of all metafiles in the order of the index, each with its ``models``."""
    found = []
    for path in metafiles(root):
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        collections = {item['Name']: {**item, 'models': []} for item in content['Collections']}
        for model in content['Models']:
            collections[model['In Collection']]['models'].append(model)
        found += collections.values()
    return found


def complaints(collections: list[dict], root: Path) -> list[str]:
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
        yield from wrong_result(result)


def wrong_result(result: dict) -> Iterator[str]:
    """What is wrong with the metrics of a result, and with its links to the benchmark."""
    for metric, value in result['Metrics'].items():
        if not METRIC.fullmatch(metric):
            yield f'"{metric}" must be like mIoU(val+crf) or mIoU(val, official)'
        elif not FIGURE.fullmatch(str(value)):
            yield f'"{metric}: {value}" must be like 61.2 or 61.2 ± 1.3'
        elif 'official' not in metric and not result.get('Command'):
            yield f'"{metric}" is not marked official, and no Command says how to measure it'
    for metric, link in result.get('Benchmark', {}).items():
        if metric not in result['Metrics'] or 'official' in metric:
            yield f'Benchmark names "{metric}", which is none of its measured Metrics'
        if str(link).count('/') != 1:
            yield f'Benchmark must be PIPELINE/STAGE, got "{metric}: {link}"'


def figures(model: dict, official: bool, results: Results) -> dict[str, str]:
    """``{what: figure}`` of the published or of the measured results.

    A measured figure with no result of the benchmark behind it has a star.
    """
    found = {}
    for result in model.get('Results', []):
        links = result.get('Benchmark', {})
        for metric, value in result['Metrics'].items():
            what, notes = METRIC.fullmatch(metric).groups()
            notes = [note for note in notes.split(', ') if note]
            if official == ('official' in notes):
                rest = [note for note in notes if note != 'official']
                typed = not official and not _measured(links.get(metric), results)
                found[', '.join([spaced(what), *rest])] = f'{value}{STAR if typed else ""}'
    return found


def _measured(link: str | None, results: Results) -> bool:
    return link is not None and results.figure(*link.split('/')) is not None


def spaced(what: str) -> str:
    """``val+tta+crf`` as pages write it."""
    return what.replace('+tta', ' + TTA').replace('+crf', ' + CRF')


def typed_figures(collections: list[dict]) -> dict[str, str]:
    """``{'PIPELINE/STAGE': figure}`` of all metrics that name their stage of the benchmark."""
    return {
        link: str(result['Metrics'][metric])
        for item in collections
        for model in item['models']
        for result in model.get('Results', [])
        for metric, link in result.get('Benchmark', {}).items()
    }


class Change(NamedTuple):
    """A figure of a metafile that is not that of the benchmark; ``place`` is where it stands."""

    model: str
    metric: str
    old: str
    new: str
    place: slice


def changes(text: str, results: Results) -> list[Change]:
    """What a metafile has to take over from the benchmark, in the order of the file."""
    found = []
    for model in _items(yaml.compose(text))['Models'].value:
        model = _items(model)
        for result in model['Results'].value if 'Results' in model else ():
            result = _items(result)
            metrics = _items(result['Metrics'])
            links = _items(result['Benchmark']) if 'Benchmark' in result else {}
            for metric, link in links.items():
                pipeline, _, stage = link.value.partition('/')
                figure, old = results.figure(pipeline, stage), metrics.get(metric)
                if figure and old and figure.text != old.value:
                    place = slice(old.start_mark.index, old.end_mark.index)
                    change = Change(model['Name'].value, metric, old.value, figure.text, place)
                    found.append(change)
    return sorted(found, key=lambda change: change.place.start)


def _items(mapping: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in mapping.value}


def applied(text: str, found: list[Change]) -> str:
    """A metafile with other figures; whatever else it holds stays as it is."""
    for change in reversed(found):
        text = f'{text[: change.place.start]}{change.new}{text[change.place.stop :]}'
    return text
