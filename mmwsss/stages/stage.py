"""A stage of a pipeline: what it reads, what it writes, what it depends on, and running it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from mmengine.config import Config

from ..datasets.inputs import (
    build_dataset,
    check_not_searched,
    data_folders,
    dataset_inputs,
    source_folders,
)
from ..models.utils.model_files import digest_named_files
from ..utils.io import is_whole, list_files
from ..utils.provenance import RECORD, digest_stamps, read_record
from .launch import Launch, load_config
from .options import merge_options

DEFAULT_ROOT = 'work_dirs'
_PATHS = frozenset(
    (
        'config',
        'source',
        'images',
        'out',
        'ids',
        'predictions',
        'truth',
        'split',
        'classes',
        'masks',
    )
)


@dataclass(frozen=True)
class Context:
    """What the stages of a pipeline have in common.

    Attributes:
        path: The pipeline's config; configs of stages are relative to it.
        roots: ``{folder: what takes its place}`` at the beginning of every path.
        records: Folder of the records, logs and checkpoints of this pipeline.
        cfg_options: Values to change in the config of every stage.
        launch: How processes are started.
        restart: Do anew what was made otherwise.
    """

    path: Path
    roots: Mapping[str, str]
    records: Path
    cfg_options: Mapping[str, Any]
    launch: Launch
    restart: bool = False

    def moved(self, value: Any) -> Any:
        """Replace the roots in every path of a nest of dictionaries and lists."""
        if isinstance(value, Mapping):
            return {key: self.moved(v) for key, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.moved(v) for v in value)
        for folder, new in self.roots.items():
            old = folder.removeprefix('./').rstrip('/')
            path = value.removeprefix('./') if isinstance(value, str) else ''
            if path == old or path.startswith(f'{old}/'):
                return new + path[len(old) :]
        return value


class Stage(ABC):
    """One stage, as the pipeline's config describes it.

    A kind of stage says which keys it has and gives the methods below.

    Args:
        spec: The keys of the config without ``run``.
        context: Of the pipeline.

    Raises:
        FileNotFoundError, ValueError: Keys or values that cannot work.
    """

    needed: ClassVar[frozenset[str]] = frozenset()
    optional: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, spec: Mapping[str, Any], context: Context) -> None:
        self.context = context
        # options move with the config that they become part of
        self.spec = {k: v if k == 'options' else context.moved(v) for k, v in spec.items()}
        self.name = self.spec.pop('name')
        given = set(self.spec)
        if self.needed - given or given - self.needed - self.optional:
            raise ValueError(
                f'needs {sorted(self.needed)} and may have {sorted(self.optional)}; got '
                f'{sorted(given)}'
            )
        for key in _PATHS & self.spec.keys():
            if not isinstance(self.spec[key], str) or not self.spec[key]:
                raise ValueError(f'{key} must be a path or a name, got {self.spec[key]!r}')
        self.check()

    def check(self) -> None:  # noqa: B027 (most kinds have nothing to add)
        """Raise ValueError or FileNotFoundError for values that cannot work."""

    @abstractmethod
    def reads(self, made: Collection[str]) -> list[str]:
        """Folders that are read.

        Args:
            made: Resolved folders that earlier stages make; all others must be there.

        Raises:
            FileNotFoundError: Something is missing.
        """

    def outputs(self) -> dict[str, str]:
        """``{folder: suffix}`` of what is written for every image."""
        return {}

    @abstractmethod
    def files(self) -> dict[str, Any]:
        """Digests of the files that are read, when all of them are there."""

    def products(self, look: bool = False) -> dict[str, str]:
        """Digests of what the stage has left for later ones, to see that it is still there.

        Args:
            look: Look into the files and leave out those that were cut off, which takes time.

        Raises:
            RuntimeError: It is gone.
        """
        found = {}
        for folder, suffix in self.outputs().items():
            files = [p for p in list_files(folder, suffix).values() if not look or is_whole(p)]
            found[f'{len(files)} files in {folder}'] = digest_stamps(files)
        return found

    def drop_outputs(self) -> None:
        """Remove the files that the stage has written, and what is noted of their origin."""
        for folder, suffix in self.outputs().items():
            record = Path(folder, RECORD)
            if record.is_file():
                known = read_record(record)['files']
                for key, path in list_files(folder, suffix).items():
                    if key in known:
                        path.unlink()
                record.unlink()

    def check_free(self) -> None:  # noqa: B027 (most kinds have nothing to add)
        """Raise RuntimeError if what a new run would go on with is of unknown origin."""

    @abstractmethod
    def run(self, digest: str) -> dict[str, Any]:
        """Do the work, or what is left of it.

        Args:
            digest: Of all that the stage depends on.

        Returns:
            Metrics.
        """

    def depends(self) -> dict[str, Any]:
        """All that the outcome depends on, as JSON, but for the stages before."""
        return dict(stage={'name': self.name, **self.spec}, files=self.files())

    @property
    def work_dir(self) -> Path:
        """Folder of logs and checkpoints."""
        return self.context.records / self.name


class ConfigStage(Stage):
    """A stage that runs a tool on a config, with ``options`` changed in it."""

    needed = frozenset({'config'})
    optional = frozenset({'options'})
    loaders: ClassVar[tuple[str, ...]] = ('test_dataloader',)

    def check(self) -> None:
        """The config is there."""
        path = self.context.path.parent / self.spec['config']
        if not path.is_file():
            raise FileNotFoundError(f'no config {self.spec["config"]} ({path})')

    @cached_property
    def loaded(self) -> Config:
        """The config as the stage runs it; not to be changed."""
        path = self.context.path.parent / self.spec['config']
        cfg = load_config(path, self.spec.get('options'), self.work_dir)
        moved = self.context.moved(cfg.to_dict())
        moved['work_dir'] = cfg.work_dir
        cfg = Config(moved, filename=str(path))
        merge_options(cfg, self.context.cfg_options)
        self.prepare(cfg)
        return cfg

    def prepare(self, cfg: Config) -> None:
        """Change in the config what the keys of the stage say."""

    def config(self) -> Config:
        """A copy of the config, which may be changed."""
        return deepcopy(self.loaded)

    def reads(self, made: Collection[str]) -> list[str]:
        folders = []
        for dataset in self.datasets().values():
            earlier = data_folders(dataset)
            check_folders(earlier, made)
            built = build_dataset(dataset, made)
            check_not_searched(built, self.outputs())
            folders += [*earlier, *source_folders(built)]
        return folders

    def datasets(self) -> dict[str, dict]:
        """Configs of the data sets that are read, by the name of their loader."""
        if self.loaded.get(self.loaders[0]) is None:
            raise ValueError(f'{self.loaded.filename} has no {self.loaders[0]}')
        loaders = {name: self.loaded.get(name) for name in self.loaders}
        return {name: loader['dataset'] for name, loader in loaders.items() if loader}

    def files(self) -> dict[str, Any]:
        """Of all data sets, and of the weights, banks and lists that the config names."""
        found = {name: dataset_inputs(build_dataset(d)) for name, d in self.datasets().items()}
        return {**found, 'named': digest_named_files(self.loaded.to_dict())}

    def depends(self) -> dict[str, Any]:
        config = self.loaded.to_dict()
        config.pop('work_dir', None)
        return dict(super().depends(), config=config)

    def run_tool(self, script: str, cfg: Config, *args: str) -> None:
        """Run train.py or test.py on a config.

        Raises:
            RuntimeError: It fails.
        """
        path = self.context.records / f'{self.name}.py'
        self.work_dir.mkdir(parents=True, exist_ok=True)
        args = (*args, '--work-dir', str(self.work_dir))
        self.context.launch.run(f'stage {self.name}', script, cfg, path, *args)


def check_folders(folders: Mapping[str, str], made: Collection[str]) -> None:
    """Raise FileNotFoundError for a folder that neither is there nor is made before.

    Args:
        folders: ``{folder: what the config calls it}``.
        made: Resolved folders that earlier stages make.
    """
    for folder, name in folders.items():
        if os.path.realpath(folder) not in made and not os.path.isdir(folder):
            raise FileNotFoundError(
                f'the folder {folder} ({name}) does not exist, and no stage before makes it'
            )


STAGES: dict[str, type[Stage]] = {}


def register_stage(run: str) -> Callable[[type[Stage]], type[Stage]]:
    """Decorator: the class is the kind of stage that configs call ``run=...``."""

    def register(kind: type[Stage]) -> type[Stage]:
        STAGES[run] = kind
        return kind

    return register
