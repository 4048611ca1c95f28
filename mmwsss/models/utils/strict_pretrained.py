"""Initial weights that either fit or stop the run."""

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmwsss.registry import WEIGHT_INITIALIZERS
from mmwsss.utils.arguments import TEXT, checked
from mmwsss.utils.checkpoint import weights_in
from mmwsss.utils.checks import some


@WEIGHT_INITIALIZERS.register_module()
@checked(checkpoint=TEXT, prefix=TEXT, hint=TEXT, add_prefix=TEXT)
class StrictPretrained:
    """``init_cfg`` that refuses weights which do not cover the module.

    mmengine's ``Pretrained`` only logs missing keys, so a backbone may train from noise unnoticed,
    the most frequent complaint about the methods of this package. Keys of the file that the
    module lacks (a classifier of ImageNet) are left out and named in the log.

    Args:
        checkpoint: File or address, as in ``load_from``.
        prefix: Take only the keys that begin with this, without it: ``'backbone.'`` reads the
            backbone out of a whole model.
        add_prefix: Put this before the keys of the file: ``'timm_model.'`` for weights of timm in
            mmseg's ``TIMMBackbone``.
        hint: Closes the error message: where the weights come from.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Tensors of the module are not in the file, or of another shape; names the
            file and some of them.
    """

    def __init__(
        self, checkpoint: str, prefix: str = '', hint: str = '', add_prefix: str = ''
    ) -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix
        self.add_prefix = add_prefix
        self.hint = hint

    def __call__(self, module: nn.Module) -> None:
        state = CheckpointLoader.load_checkpoint(self.checkpoint, map_location='cpu')
        state = {k.removeprefix('module.'): v for k, v in weights_in(state).items()}
        state = {
            self.add_prefix + k.removeprefix(self.prefix): v
            for k, v in state.items()
            if k.startswith(self.prefix)
        }
        state = self.adapt(state, module)
        own = {k: v for k, v in module.state_dict().items() if 'num_batches_tracked' not in k}
        wrong = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
        where = f'{self.checkpoint} (keys {self.prefix}*)' if self.prefix else self.checkpoint
        if wrong:
            raise ValueError(
                f'{where} is no initialisation of {type(module).__name__}: {len(wrong)} of its '
                f'{len(own)} tensors are missing in it or have another shape: {some(wrong)}. It '
                f'holds {some(state) or "no such key"} (prefix= and add_prefix= change the keys of '
                f'the file). {self.hint}'
            )
        unused = [k for k in state if k not in own and 'num_batches_tracked' not in k]
        module.load_state_dict(state, strict=False)
        message = f'{type(module).__name__}: {len(own)} of {len(own)} tensors from {where}'
        if unused:
            message += f'; not used: {", ".join(unused[:5])} ({len(unused)} in all)'
        print_log(message, 'current')

    def adapt(self, state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        """What the tensors of the file are for the module; a subclass may change them."""
        return state

    def _get_init_info(self) -> str:
        return f'{type(self).__name__}: {self.checkpoint}'
