"""One optimizer for each network of a model."""

from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapperDict
from torch import nn

from mmwsss.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SeparateOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """An optimizer wrapper for each child of the model that has parameters to train.

    All have the same settings, those of ``optim_wrapper`` in the config; the model's ``train_step``
    takes them by the names of its children. For several processes the counterpart is mmengine's
    ``MMSeparateDistributedDataParallel``, which wraps the same children.

    Raises:
        ValueError: No child has parameters to train.

    Example:
        >>> optim_wrapper = dict(
        ...     type='OptimWrapper',
        ...     optimizer=dict(type='SGD', lr=0.01),
        ...     constructor='mmwsss.SeparateOptimWrapperConstructor',
        ... )
    """

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """The wrappers by the name of the child."""
        model = model.module if is_model_wrapper(model) else model
        children = {
            name: child
            for name, child in model.named_children()
            if any(parameter.requires_grad for parameter in child.parameters())
        }
        if not children:
            raise ValueError(f'{type(model).__name__} has no parameters to train')
        build = super().__call__
        return OptimWrapperDict(**{name: build(child) for name, child in children.items()})
