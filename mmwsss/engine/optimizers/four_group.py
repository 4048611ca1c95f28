"""Parameter groups of PSA, SEAM, IRN and 1-Stage."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmwsss.registry import OPTIM_WRAPPER_CONSTRUCTORS

KEYS = {'new', 'lr_mults'}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FourGroupOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Old weights, old biases, new weights and new biases, each with its own learning rate.

    *Old* layers are pretrained, *new* ones are not. Biases, also those of norm layers, have no
    weight decay; everything else, also the scales of norm layers, has. Parameters that do not
    require gradients are left out. ``paramwise_cfg`` holds

    - ``new``: name of the new part of the model, or a list of names (``'decode_head'``);
    - ``lr_mults``: factors on ``optimizer.lr`` of the four groups in the order above.

    A group that the model has no parameters for stays empty, so that the order never changes.

    Raises:
        ValueError: ``paramwise_cfg`` has other keys, not four factors, or names nothing.

    Example:
        >>> optim_wrapper = dict(
        ...     type='OptimWrapper',
        ...     optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
        ...     constructor='mmwsss.FourGroupOptimWrapperConstructor',
        ...     paramwise_cfg=dict(new='decode_head', lr_mults=(1, 2, 10, 20)),
        ... )
    """

    def _validate_cfg(self) -> None:
        cfg = self.paramwise_cfg
        if set(cfg) != KEYS:
            raise ValueError(
                f'paramwise_cfg needs the keys {sorted(KEYS)} and no others, got {sorted(cfg)}'
            )
        if len(cfg['lr_mults']) != 4:
            raise ValueError(
                'paramwise_cfg.lr_mults needs four factors (old weights, old biases, new weights, '
                f'new biases), got {cfg["lr_mults"]}'
            )
        if self.base_lr is None or self.base_wd is None:
            raise ValueError(
                'optimizer needs lr and weight_decay, the groups are multiples of them'
            )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Append the four groups of a model."""
        names = self.paramwise_cfg['new']
        names = (names,) if isinstance(names, str) else names
        groups = [
            dict(params=[], lr=self.base_lr * factor, weight_decay=decay)
            for factor, decay in zip(
                self.paramwise_cfg['lr_mults'], (self.base_wd, 0.0) * 2, strict=True
            )
        ]
        found = set()
        for name, parameter in module.named_parameters():
            new = [part for part in names if f'{name}.'.startswith(f'{part}.')]
            found.update(new)
            if parameter.requires_grad:
                index = 2 * bool(new) + (name.rpartition('.')[2] == 'bias')
                groups[index]['params'].append(parameter)
        if missing := sorted(set(names) - found):
            children = ', '.join(name for name, _ in module.named_children())
            raise ValueError(
                f'paramwise_cfg.new: the model has no parameters in {", ".join(missing)}; '
                f'its parts are {children}'
            )
        params.extend(groups)
