"""The validation that a training was killed in is made up for."""

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner


class ValidateResumedHook(Hook):
    """Validate when training is resumed, if its checkpoint was saved right before a validation.

    mmengine saves first and validates then, and goes on behind both. A run that is killed in
    between would never learn how good these weights are, and if they were the last ones, never
    keep a best checkpoint. ``train.py`` adds this to every training.
    """

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Validate, if it is due where training stands and not taken down yet."""
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop | IterBasedTrainLoop):
            return
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        step = loop.epoch if by_epoch else loop.iter
        last = loop.max_epochs if by_epoch else loop.max_iters
        if step == 0 or runner.val_loop is None:
            return
        loop._decide_current_val_interval()
        due = step >= loop.val_begin and (step % loop.val_interval == 0 or step == last)
        if due and not _known(runner, f'_{"epoch" if by_epoch else "iter"}_{step}.pth'):
            runner.val_loop.run()


def _known(runner: Runner, ending: str) -> bool:
    """Whether the checkpoint was saved again after the validation, since it was the best."""
    info = runner.message_hub.runtime_info.items()
    return any(key.startswith('best_ckpt') and str(path).endswith(ending) for key, path in info)
