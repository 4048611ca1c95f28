"""A stage of a pipeline: what it reads, what it writes, what it depends on, and running it."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from mmengine.config import Config

from ..datasets.inputs import build_dataset, data_folders, dataset_inputs, source_folders
from .launch import Launch, load_config
from .options import merge_options

DEFAULT_ROOT = 'work_dirs'


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
        for old, new in self.roots.items():
            if isinstance(value, str) and (value == old or value.startswith(f'{old}/')):
                return new + value[len(old) :]
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
        self.spec, self.context = context.moved(dict(spec)), context
        self.name = self.spec.pop('name')
        given = set(self.spec)
        if self.needed - given or given - self.needed - self.optional:
            raise ValueError(
                f'needs {sorted(self.needed)} and may have {sorted(self.optional)}; got '
                f'{sorted(given)}'
            )
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
    def files(self) -> dict[str, str]:
        """Digests of the files that are read, when all of them are there."""

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
        for name in self.loaders:
            if loader := self.loaded.get(name):
                earlier = data_folders(loader['dataset'])
                check_folders(earlier, made)
                folders += [*earlier, *source_folders(build_dataset(loader['dataset'], made))]
        return folders

    def files(self) -> dict[str, str]:
        dataset = self.loaded[self.loaders[0]]['dataset']
        return dataset_inputs(build_dataset(dataset))

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


def as_json(value: Any) -> Any:
    """What JSON makes of a value: lists for tuples, text for what it does not know."""
    return json.loads(json.dumps(value, default=str))


STAGES: dict[str, type[Stage]] = {}


def register_stage(run: str) -> Callable[[type[Stage]], type[Stage]]:
    """Decorator: the class is the kind of stage that configs call ``run=...``."""

    def register(kind: type[Stage]) -> type[Stage]:
        STAGES[run] = kind
        return kind

    return register
