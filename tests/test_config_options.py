"""What docs and configs tell users to change in a config changes what is built or read.

Mentions are found by patterns, so a new one is tried by itself: values behind ``--cfg-options``,
keys with dots in code spans, and child configs in code blocks.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed

from mmwsss import registry
from mmwsss.stages import Pipeline
from mmwsss.stages.launch import load_config
from mmwsss.stages.options import READ, merge_options, walk
from mmwsss.stages.stage import ConfigStage

ROOT = Path(__file__).parents[1]
FOLDERS = ('_base_', 'wsss', 'segmentation', 'pipelines')
CONFIGS = {path.name: path for f in FOLDERS for path in (ROOT / 'configs' / f).rglob('*.py')}
LEAVES = [path for path in CONFIGS.values() if path.parent.name in ('wsss', 'segmentation')]
PIPELINES = sorted((ROOT / 'configs/pipelines').glob('*.py'))
PAGES = [ROOT / 'README.md', ROOT / 'configs/README.md', *sorted((ROOT / 'docs').glob('*.md'))]
CONFIG_NAME = re.compile(r'([\w-]+)\.py')
KEY = r'(?:{})(?:\.\w+)+'.format('|'.join(sorted(READ)))
# values that stand for what a user would write
PLACEHOLDER = re.compile(r'[A-Z]+|\.\.\.')


class Mention(NamedTuple):
    """Values that one place tells to change together, and the config that it speaks of."""

    where: str
    configs: tuple[Path, ...]  # it holds for one of them at least
    options: tuple[tuple[str, str | None], ...]


def configs_of(text: str, page: str) -> tuple[Path, ...]:
    """The last config that a text names, else those of its page, else any."""
    named, paged = (
        [CONFIGS[f'{name}.py'] for name in CONFIG_NAME.findall(part) if f'{name}.py' in CONFIGS]
        for part in (text, page)
    )
    run = [path for path in named if path in LEAVES or path in PIPELINES]
    return tuple(run[-1:] or [path for path in dict.fromkeys(paged) if path in LEAVES] or LEAVES)


def leaf_of(path: Path) -> Path:
    """A config that inherits from a file of ``_base_``."""
    names = {path.name}
    while not (leaves := [p for p in LEAVES if p.name in names]):
        before = set(names)
        for child in CONFIGS.values():
            if any(f'/{name}' in child.read_text() for name in before):
                names.add(child.name)
        assert names != before, f'nothing inherits from {path}'
    return sorted(leaves)[0]


def paragraphs(text: str) -> Iterator[str]:
    """Blocks between blank lines; a line of a table is one."""
    for block in re.split(r'\n\s*\n', text):
        yield from block.splitlines() if block.lstrip().startswith('|') else [block]


def mentions() -> Iterator[Mention]:
    for path in PAGES:
        page = path.read_text(encoding='utf-8')
        for block in paragraphs(page):
            yield from mentions_of(path, block, lambda block, page=page: configs_of(block, page))
    for path in CONFIGS.values():
        comments = re.findall(r'(?:^#.*\n)+|^""".*?"""', path.read_text(), flags=re.M | re.S)
        for block in comments:
            block = re.sub(r'^# ?', '', block, flags=re.M)
            yield from mentions_of(path, block, lambda _, path=path: (leaf_of(path),))


def mentions_of(path: Path, block: str, configs) -> Iterator[Mention]:
    where = path.relative_to(ROOT).as_posix()
    given = []
    for match in re.finditer(r'--cfg-options((?:[\s\\]+`?[\w.]+=\S+)+)', block):
        pairs = re.findall(r'([\w.]+)=([^\s`]+)', match.group(1))
        pairs = [(key, value.rstrip('`,;:.)')) for key, value in pairs if key != 'KEY']
        given += [key for key, _ in pairs]
        if pairs:
            yield Mention(where, configs(block), tuple(pairs))
    for span in re.findall(r'`([^`]+)`', block):
        pairs = [re.fullmatch(rf'({KEY})(?:=(\S+))?', word) for word in span.split()]
        if all(pairs) and pairs[0][1] not in given:
            # pages say test_cfg for short
            told = ((re.sub('^test_cfg', 'model.test_cfg', pair[1]), pair[2]) for pair in pairs)
            yield Mention(where, configs(block), tuple(told))


MENTIONS = list(dict.fromkeys(mentions()))


def accepted(kind) -> set[str] | None:
    """Arguments of a class, those of its bases included; None: any."""
    names: set[str] = set()
    for base in inspect.getmro(kind):
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return names - {'self'}


REGISTRIES = [
    (r'param_scheduler\.', registry.PARAM_SCHEDULERS),
    (r'(default_hooks|custom_hooks)\.', registry.HOOKS),
    (r'\w+_evaluator', registry.METRICS),
    (r'\w+_dataloader\.sampler', registry.DATA_SAMPLERS),
    (r'\w+_dataloader\.dataset\.pipeline\.', registry.TRANSFORMS),
    (r'\w+_dataloader\.dataset', registry.DATASETS),
    (r'optim_wrapper\.optimizer', registry.OPTIMIZERS),
    (r'optim_wrapper', registry.OPTIM_WRAPPERS),
    (r'(train|val|test)_cfg', registry.LOOPS),
    (r'model(\..+)?\.init_cfg', registry.WEIGHT_INITIALIZERS),
    (r'model', registry.MODELS),
]
FREE = {'paramwise_cfg', 'metainfo', 'loss_schedule', 'norm_cfg', 'data_prefix', 'custom_keys'}


def choices(cfg: Config, parent: str, value) -> set[str] | None:
    """Names that may stand below a key; None: any."""
    last = parent.rpartition('.')[2]
    if parent in ('model.test_cfg', 'tta_cfg'):
        settings = getattr(registry.MODELS.get(cfg.model.type), 'settings_type', None)
        return None if settings is None else set(settings.keys())
    if parent == 'randomness':
        return set(inspect.signature(set_random_seed).parameters)
    if parent == 'auto_scale_lr':
        return {'enable', 'base_batch_size'}
    if re.fullmatch(r'\w+_dataloader', parent):
        loader = inspect.signature(torch.utils.data.DataLoader.__init__).parameters
        return set(loader) | {'dataset', 'sampler'}
    if not isinstance(value, dict) or last in FREE:
        return None
    for pattern, kinds in REGISTRIES:
        if re.match(pattern, parent) and isinstance(value.get('type'), str):
            return accepted(kinds.get(value['type'])) | {'type', '_scope_'}
    return None


def check(cfg: Config, key: str, before: Config) -> None:
    """Every step of a key of a config is one that its owner knows, or was there before."""
    parent, value = '', cfg
    there = {key for key, _ in walk(before.to_dict())}
    for name in key.split('.'):
        if parent:
            known = choices(cfg, parent, value)
            assert f'{parent}.{name}' in there or known is None or name in known, (
                f'{parent} has no {name!r}: {sorted(known)}'
            )
        else:
            assert name in READ, f'{name} is not read'
        parent = f'{parent}.{name}' if parent else name
        value = value[int(name)] if isinstance(value, list | tuple) else value[name]


def parsed(value: str | None):
    """A value as the command line gives it."""
    return 'something' if value is None else DictAction._parse_iterable(value.strip('"\''))


def paths_in(cfg: Config) -> set[tuple[str, str]]:
    """Keys, without what stands before them, that name a file or folder."""
    return {
        (key.rpartition('.')[2], value)
        for key, value in walk({top: cfg[top] for top in cfg if top in READ})
        if isinstance(value, str) and '/' in value
    }


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def test_mentions_are_found():
    found = {(m.where, m.options[0][0]) for m in MENTIONS}
    assert found >= {
        ('docs/model_zoo.md', 'test_dataloader.dataset.split'),
        ('docs/psa.md', 'model.test_cfg.alpha'),
        ('docs/psa.md', 'train_dataloader.dataset.score_dir'),
        ('docs/pipelines.md', 'randomness.seed'),
        ('configs/_base_/datasets/voc12_pseudo.py', 'train_dataloader.dataset.mask_dir'),
    }
    assert len(MENTIONS) >= 60


@pytest.mark.parametrize(
    'mention', MENTIONS, ids=lambda m: f'{Path(m.where).name}-{m.options[0][0]}'
)
def test_what_a_page_tells_to_change_takes_effect(mention):
    errors = []
    for config in mention.configs:
        try:
            return changes_what_is_read(config, dict(mention.options))
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            errors.append(f'{config.stem}: {error}')
    pytest.fail('\n'.join(errors))


def changes_what_is_read(config: Path, told: dict[str, str | None]) -> None:
    options = {key: parsed(value) for key, value in told.items()}
    if config in PIPELINES:
        stages = [Pipeline(config, cfg_options=given).stages for given in ({}, options)]
        pairs = [
            (old.loaded, new.loaded)
            for old, new in zip(*stages, strict=True)
            if isinstance(old, ConfigStage)
        ]
    else:
        pairs = [(load_config(config), load_config(config, options))]
    for before, cfg in pairs:
        was, now = dict(walk(before.to_dict())), dict(walk(cfg.to_dict()))
        for key, value in told.items():
            check(cfg, key, before)
            if value is not None and not PLACEHOLDER.fullmatch(value):
                assert as_list(now[key]) == as_list(options[key])
            if isinstance(was.get(key), str) and '/' in was[key]:
                # A folder that is named elsewhere too would stay the old one there.
                assert (key.rpartition('.')[2], was[key]) not in paths_in(cfg)
        settings = getattr(registry.MODELS.get(cfg.model.type), 'settings_type', None)
        if settings and None not in told.values():
            settings.parse(cfg.model.get('test_cfg') or {}, cfg.model.type)


def as_list(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    'key',
    [
        'train_dataloader.dataset.splt',
        'test_dataloader.shufle',
        'model.test_cfg.scalse',
        'model.refiner.gatedstart',
        'optim_wrapper.optimizer.learning_rate',
        'default_hooks.checkpoint.intervall',
        'train_cfg.max_iter',
        'randomness.sed',
    ],
)
def test_the_walk_would_notice_a_misspelt_key(key):
    with pytest.raises(AssertionError, match='has no'):
        changes_what_is_read(CONFIGS['weclip_voc.py'], {key: '1'})


def test_the_walk_would_notice_a_folder_that_is_named_twice():
    with pytest.raises(AssertionError):
        changes_what_is_read(
            CONFIGS['psa_voc_affinity.py'], {'val_dataloader.dataset.cam_dir': 'DIR'}
        )


def child_configs() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        text = path.read_text(encoding='utf-8')
        for block in re.findall(r'```python\n(.*?)```', text, flags=re.S):
            if re.match(r'\s*_base_ =', block) and 'rows = ' not in block:  # rows: a benchmark
                yield path.name, block


@pytest.mark.parametrize(('page', 'text'), child_configs())
def test_child_configs_of_the_pages_change_what_is_built(page, text, tmp_path):
    base = re.search(r"_base_ = '([^']+)'", text)
    source = CONFIGS[Path(base.group(1)).name]
    path = source.parent / 'a_child_config.py'  # the bases are found from here; never written
    code = text.replace(base.group(1), str(source))
    child = tmp_path / path.name
    child.write_text(code)
    cfg, before = Config.fromfile(child), Config.fromfile(source)
    own = {}
    exec(compile(ast.parse(code), str(child), 'exec'), own)
    variables = {name: value for name, value in own.items() if name[0] != '_'}
    if 'stages' in variables:
        for stage in variables['stages'].values():
            if stage and 'config' in stage:
                assert (source.parent / stage['config']).is_file()
        assert cfg.stages != before.stages
        return
    changed = [name for name in variables if name in READ]
    assert changed
    for top in changed:
        assert cfg[top] != before.get(top), f'{top} changes nothing'
        for key, _ in walk({top: variables[top]}):
            if '.' in key and '_delete_' not in key:
                check(cfg, key, before)


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_schedules_take_their_length_from_the_training(path):
    """``train_cfg.max_iters`` is the only length in a config."""
    cfg = load_config(path)
    for scheduler in cfg.get('param_scheduler') or []:
        assert 'max_iters' not in scheduler and 'end' not in scheduler
    variables = {name for name in cfg if name not in READ}
    assert 'max_iters' not in variables


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_variables_of_a_text_are_refused_on_the_command_line(path):
    """Whatever a config holds is read, or a change of it is an error that names what is read."""
    cfg = load_config(path)
    for name in set(cfg) - READ:
        with pytest.raises(ValueError, match=f'{name} is a variable of the text'):
            merge_options(cfg, {name: 'x'})


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('data_preprocessor.size_divisor', r'Change model\.data_preprocessor\.size_divisor\.'),
        ('data_root', r'Change train_dataloader\.dataset\.data_root, val_dataloader\.dataset\.dat'),
        ('trian_cfg.max_iters', r"has no trian_cfg, .* did you mean 'train_cfg'\?"),
        ('max_iters', r'has no max_iters, and nothing would read it'),
    ],
)
def test_refusals_say_what_to_change(option, message):
    with pytest.raises(ValueError, match=message):
        load_config(CONFIGS['weclip_voc.py'], {option: 3})


def test_own_keys_of_a_config_can_be_changed(tmp_path):
    """Numbers and texts that nothing else holds: a hook of the user's may read them."""
    path = tmp_path / 'own.py'
    path.write_text('my_threshold = 0.3\nlength = 7\ntrain_cfg = dict(length=length)')
    assert load_config(path, {'my_threshold': 0.5}).my_threshold == 0.5
    with pytest.raises(ValueError, match=r'Change train_cfg\.length'):
        load_config(path, {'length': 8})
