"""A runner that does not continue with half-loaded weights."""

from collections.abc import Callable

from mmengine.runner import Runner

_SHOWN = 5


class StrictRunner(Runner):
    """mmengine's runner, but a checkpoint must fit the model.

    The stock runner only logs missing and unexpected keys, so a forgotten head shows as a bad
    result hours later. ``strict_load = False`` in the config gives its behaviour back, for
    starting from the weights of another model on purpose.
    """

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
        """
        if strict is None:
            strict = self.cfg.get('strict_load', True)
        try:
            return super().load_checkpoint(filename, map_location, strict, revise_keys)
        except RuntimeError as error:
            if 'do not match exactly' not in str(error):
                raise
            raise RuntimeError(
                f'Checkpoint {filename} does not fit the model of the config '
                f'{self.cfg.filename or ""}.\n{_shorten(str(error))}\nUse the config it was '
                'trained with (the copy beside it in the work dir; mind the number of classes). '
                'To load only what fits, pass --cfg-options strict_load=False.'
            ) from None


def _shorten(message: str) -> str:
    """Keep the first few keys of each long list in mmengine's message."""
    lines = []
    for line in message.splitlines()[1:]:
        keys = line.split(', ')
        rest = f', ... ({len(keys)} in all)' if len(keys) > _SHOWN else ''
        lines.append(', '.join(keys[:_SHOWN]) + rest)
    return '\n'.join(line for line in lines if line)
