"""Keeps parts of any network as they were pre-trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmwsss.registry import HOOKS
from mmwsss.utils.arguments import FLAG, TEXT, checked, several
from mmwsss.utils.checks import some


@HOOKS.register_module()
@checked(frozen=several(TEXT, least=0), norm_eval=FLAG, module=TEXT)
class FreezeBackbone(Hook):
    """Freeze early layers, and leave the statistics of batch norms alone, in any backbone.

    mmseg's ``ResNet`` has ``frozen_stages`` and ``norm_eval``; other backbones, those of timm among
    them, have neither, and batch norms that train on small batches spoil a classifier. As IRN
    (arXiv 1904.05044) does it: ``FreezeBackbone(frozen=('conv1', 'bn1', 'layer1', 'layer2'),
    norm_eval=True)``.

    Args:
        frozen: Names of modules of the backbone, as in ``backbone.named_modules()``, whose
            parameters are not trained and whose batch norms keep their statistics.
        norm_eval: All batch norms of the backbone use their stored statistics.
        module: Name of the backbone in the model.

    Raises:
        ValueError: The model has no such module; raised before training, names what there is.
    """

    def __init__(
        self, frozen: Sequence[str] = (), norm_eval: bool = False, module: str = 'backbone'
    ) -> None:
        self.frozen = tuple(frozen)
        self.norm_eval = norm_eval
        self.module = module

    def freeze(self, model: nn.Module) -> None:
        """Take the frozen parameters out of training.

        :class:`mmwsss.engine.runner.StrictRunner` does so before it wraps the model for several
        processes, which must know what has gradients.
        """
        for part in self._parts(model):
            part.requires_grad_(False)

    def before_run(self, runner: Runner) -> None:
        """Freeze, where another runner has not done so."""
        self.freeze(_unwrapped(runner))

    def before_train_epoch(self, runner: Runner) -> None:
        """As :meth:`before_train_iter`."""
        self._hold_statistics(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Validation and ``model.train()`` switch batch norms on again."""
        self._hold_statistics(runner)

    def _hold_statistics(self, runner: Runner) -> None:
        model = _unwrapped(runner)
        backbone = _submodule(model, self.module)
        held = [backbone] if self.norm_eval else list(self._parts(model))
        for part in held:
            for layer in part.modules():
                if isinstance(layer, _BatchNorm):
                    layer.eval()

    def _parts(self, model: nn.Module) -> Iterator[nn.Module]:
        backbone = _submodule(model, self.module)
        yield from (_submodule(backbone, name) for name in self.frozen)


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _submodule(module: nn.Module, name: str) -> nn.Module:
    try:
        return module.get_submodule(name)
    except AttributeError:
        children = [child for child, _ in module.named_modules() if child]
        raise ValueError(
            f'FreezeBackbone: {type(module).__name__} has no module {name!r}; it has '
            f'{some(children, 30)}'
        ) from None
