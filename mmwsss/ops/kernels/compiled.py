"""Compiling of CPU kernels by numba."""

from collections.abc import Callable

from numba import njit


def compiled(fastmath: bool | set[str] = True) -> Callable[[Callable], Callable]:
    """Decorator: compile at the first call, and keep the machine code on disk if possible.

    The compiled function releases the GIL, so that threads share the work.

    Args:
        fastmath: Let the compiler reorder floating point operations and assume that there are no
            NaN and infinite values; a set allows some of LLVM's flags only.
    """
    options = dict(nogil=True, fastmath=fastmath, error_model='numpy')

    def decorate(function: Callable) -> Callable:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # numba finds no writable folder
            return njit(**options)(function)

    return decorate
