"""A runner that does not go on with half-loaded weights or with something else than before."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from mmwsss.datasets.inputs import dataset_inputs
from mmwsss.engine.hooks.validate_resumed import ValidateResumedHook
from mmwsss.models.utils.class_check import check_classes
from mmwsss.models.utils.model_files import digest_named_files
from mmwsss.registry import HOOKS
from mmwsss.utils.checks import some
from mmwsss.utils.io import atomic_write
from mmwsss.utils.provenance import as_json, compare_settings

_SHOWN = 5
# What the trained weights depend on, and what of it has no influence on them.
_TRAINING = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg')
_TRAINING += ('randomness', 'custom_hooks', 'auto_scale_lr', 'sync_bn')
_FREE = {
    'model': ('test_cfg',),
    'train_dataloader': ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory'),
    'train_cfg': ('val_interval', 'val_begin'),
}


class StrictRunner(Runner):
    """mmengine's runner, but a checkpoint must fit the model, its classes and its training.

    The stock runner only logs missing and unexpected keys, so a forgotten head shows as a bad
    result hours later. ``strict_load = False`` in the config gives its behaviour back, for
    starting from the weights of another model on purpose.

    Checkpoints remember what they were trained with: the settings, and digests of the training
    data. Resuming with others is refused, unless ``accept_changes = True`` in the config says that
    the present ones shall be used from here on, schedules included.
    """

    _resuming = False

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool | None = None,
        revise_keys: list = [(r'^module.', '')],  # noqa: B006 (signature of the base class)
    ) -> dict:
        """Load a checkpoint as the base class does, strictly unless the config says otherwise.

        Raises:
            RuntimeError: Keys are missing, unexpected, or of another shape; names some of them.
            ValueError: It was trained for other classes.
        """
        if strict is None:
            strict = self.cfg.get('strict_load', True)
        try:
            checkpoint = super().load_checkpoint(filename, map_location, strict, revise_keys)
        except RuntimeError as error:
            if 'do not match exactly' not in str(error):
                raise
            raise RuntimeError(
                f'Checkpoint {filename} does not fit the model of the config '
                f'{self.cfg.filename or ""}.\n{_shorten(str(error))}\nUse the config it was '
                'trained with (the copy beside it in the work dir; mind the number of classes). '
                'To load only what fits, pass --cfg-options strict_load=False.'
            ) from None
        meta = checkpoint.get('meta', {})
        if strict:
            config = self.cfg.filename or ''
            check_classes(filename, meta, self._dataset_classes(), config)
        if self._resuming:
            self._check_record(filename, meta)
        return checkpoint

    def _dataset_classes(self) -> list[str] | None:
        """Class names of the data set that is trained or tested on."""
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            if loop is not None and not isinstance(loop, dict):
                return (getattr(loop.dataloader.dataset, 'metainfo', None) or {}).get('classes')
        return None

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """As the base class, after freezing what ``FreezeBackbone`` names.

        A model without trainable weights is not wrapped, since DDP refuses it. Where children are
        wrapped one by one, checkpoints name their weights as if they were not.
        """
        for hook in self.cfg.get('custom_hooks') or []:
            if hook['type'] == 'mmwsss.FreezeBackbone':
                HOOKS.build(hook).freeze(model)
        trained = any(parameter.requires_grad for parameter in model.parameters())
        if trained or is_model_wrapper(model):
            wrapped = super().wrap_model(model_wrapper_cfg, model)
            if any(is_model_wrapper(child) for child in model.children()):
                model._register_state_dict_hook(_without_wrappers)
            return wrapped
        return model.to(get_device())

    def _init_model_weights(self) -> None:
        """As the base class.

        Raises:
            ValueError: ``init_cfg`` names weights, but the module has loaded others by itself, and
                mmengine would not look at ``init_cfg``.
        """
        for name, module in self.model.named_modules():
            init_cfg = getattr(module, 'init_cfg', None)
            named = isinstance(init_cfg, Mapping) and init_cfg.get('checkpoint')
            if named and getattr(module, 'is_init', False):
                raise ValueError(
                    f'{name} ({type(module).__name__}) loads weights by itself, so that those of '
                    f"init_cfg ({named}) would not be used. Say pretrained=False (mmseg's "
                    'TIMMBackbone has True if nothing is said), or remove init_cfg.'
                )
        super()._init_model_weights()

    def save_checkpoint(
        self, out_dir: str, filename: str, *args: Any, meta: dict | None = None, **kwargs: Any
    ) -> None:
        """As the base class, but the file appears whole or not at all.

        ``meta['made_from']`` holds what the weights depend on.
        """
        meta = {**(meta or {}), 'made_from': self.record}
        if '://' in out_dir:
            super().save_checkpoint(out_dir, filename, *args, meta=meta, **kwargs)
            return
        with atomic_write(Path(out_dir, filename)) if is_main_process() else nullcontext() as tmp:
            name = filename if tmp is None else tmp.name
            super().save_checkpoint(out_dir, name, *args, meta=meta, **kwargs)

    @cached_property
    def record(self) -> dict:
        """What the weights that are trained depend on.

        Settings, data, number of processes, and the files that the settings name: initial weights,
        frozen towers, banks.
        """
        settings = training_settings(self.cfg)
        return as_json(
            dict(
                settings=settings,
                data=dataset_inputs(self.train_dataloader.dataset),
                named=digest_named_files(settings),
                processes=self.world_size,
            )
        )

    def load_or_resume(self) -> None:
        """As the base class; takes down what is trained with before anything is written."""
        if self._train_loop is not None and not isinstance(self._train_loop, dict):
            _ = self.record
            self.register_hook(ValidateResumedHook(), 'LOWEST')
        super().load_or_resume()

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume, if what the checkpoint was trained with is what the config says now.

        Raises:
            ValueError: Settings or training data have changed; names what.
        """
        accept = self.cfg.get('accept_changes', False)
        configured = [_hyper_parameters(optimizer) for optimizer in self._optimizers()]
        if accept:
            kwargs['resume_param_scheduler'] = False
        self._resuming = True
        try:
            super().resume(filename, *args, **kwargs)
        finally:
            self._resuming = False
        if accept:
            for optimizer, groups in zip(self._optimizers(), configured, strict=True):
                for group, values in zip(optimizer.param_groups, groups, strict=True):
                    group.update(values)
            self._replay_schedules()
            if (self.cfg.get('randomness') or {}).get('seed') is not None:
                self.set_randomness(**self.cfg.randomness)

    def _check_record(self, filename: str, meta: Mapping) -> None:
        if 'made_from' not in meta:
            print_log(
                f'{filename} does not say what it was trained with: whether the settings and the '
                'data are still the same cannot be checked',
                'current',
                logging.WARNING,
            )
            return
        changes = compare_settings(meta['made_from'], self.record)
        if changes and not self.cfg.get('accept_changes', False):
            raise ValueError(
                f'{filename} was trained with something else: {some(changes, 8)}. Use the former '
                'settings and data, train anew in another work dir, or pass --accept-changes to '
                'go on with the present ones.'
            )
        if changes:
            print_log(f'going on with changes: {some(changes, 8)}', 'current', logging.WARNING)

    def _optimizers(self) -> list[Optimizer]:
        wrapper = self.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        return [one.optimizer for one in wrappers]

    def _replay_schedules(self) -> None:
        """Bring the schedules of the config to where training stands."""
        schedulers = self.param_schedulers or []
        if isinstance(schedulers, dict):
            schedulers = [one for several in schedulers.values() for one in several]
        steps = {True: self.epoch, False: self.iter}
        with warnings.catch_warnings():  # that no optimizer step came between
            warnings.simplefilter('ignore')
            for step in range(max(steps.values())):
                for scheduler in schedulers:
                    if step < steps[scheduler.by_epoch]:
                        scheduler.step()


def _without_wrappers(model: nn.Module, state: dict, prefix: str, _: dict) -> None:
    """Take the ``module`` of wrapped children out of the names of a state dict."""
    for name, child in model.named_children():
        if is_model_wrapper(child):
            inner = f'{prefix}{name}.module.'
            for key in [key for key in state if key.startswith(inner)]:
                state[f'{prefix}{name}.{key.removeprefix(inner)}'] = state.pop(key)


def training_settings(cfg: Config) -> dict[str, Any]:
    """The part of a config on which the trained weights depend, as plain values."""
    found: dict[str, Any] = {}
    for key in _TRAINING:
        value = cfg.get(key)
        if isinstance(value, Mapping):
            value = {k: v for k, v in value.items() if k not in _FREE.get(key, ())}
        found[key] = value
    # A run that is resumed loads its own checkpoint; what it once began from is said apart.
    found['load_from'] = cfg.get('begun_from' if cfg.get('resume') else 'load_from')
    hooks = found['custom_hooks'] or []
    found['custom_hooks'] = [h for h in hooks if not h['type'].endswith('VisualizationHook')]
    return as_json(found)


def _hyper_parameters(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in group.items() if name != 'params'}
        for group in optimizer.param_groups
    ]


def _shorten(message: str) -> str:
    """Keep the first few keys of each long list in mmengine's message."""
    lines = []
    for line in message.splitlines()[1:]:
        keys = line.split(', ')
        rest = f', ... ({len(keys)} in all)' if len(keys) > _SHOWN else ''
        lines.append(', '.join(keys[:_SHOWN]) + rest)
    return '\n'.join(line for line in lines if line)
