"""Random state as a function of where training stands."""

import random

import numpy as np
import torch


def seed_everything(*entropy: int) -> None:
    """Seed Python, NumPy and torch (all devices) from a tuple of non-negative integers.

    Different tuples give unrelated streams, the same tuple always the same one.

    Example:
        >>> seed_everything(0, 7)
        >>> first = torch.rand(2)
        >>> seed_everything(0, 7)
        >>> bool((first == torch.rand(2)).all())
        True
    """
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))
