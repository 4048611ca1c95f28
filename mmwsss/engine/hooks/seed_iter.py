"""Model randomness that does not depend on what happened before."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ...utils.seed import seed_everything


@HOOKS.register_module()
class SeedIterHook(Hook):
    """Seed the random generators before each training iteration from (seed, iteration, rank).

    Dropout and the like then draw the same in a resumed as in an uninterrupted run. ``train.py``
    adds it to every config that samples with ``InfiniteSampler``.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        seed_everything(runner.seed, batch_idx, runner.rank, 1)
