"""How long threads of GNU's OpenMP wait in a loop, which is read when PyTorch is imported."""

import os
import sys

SPINS = '1000'  # about ten microseconds


def spin_briefly() -> None:
    """Let threads that wait for each other sleep after some microseconds instead of milliseconds.

    Beside a busy process the default costs 10 to 100 times the time of small operations, and
    sleeping at once a third on an idle machine. Does nothing where the environment says how to
    wait, or after PyTorch (:func:`mmwsss.ops.threads.sleep_while_waiting` helps then).
    """
    if 'torch' not in sys.modules and 'OMP_WAIT_POLICY' not in os.environ:
        os.environ.setdefault('GOMP_SPINCOUNT', SPINS)
