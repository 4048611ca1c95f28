"""Threads of tensor operations, beside other processes that want the same cores.

PyTorch splits an operation among as many threads as there are cores, and its OpenMP library lets
the threads that are ready wait in a loop for the last one. If a core is taken by another process,
be it a data loader, that one has to be waited for, and what waits takes the core that it needs: an
operation of a tenth of a millisecond lasts several. Two answers: :func:`one_thread` for small
operations, and :func:`sleep_while_waiting` for all others.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@cache
def _thread_settings() -> tuple[Callable, Callable] | None:
    """What sets the number of threads of OpenMP and of MKL for the calling thread alone."""
    try:
        library = ctypes.CDLL('libtorch_cpu.so')
        return library.omp_set_num_threads, library.MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):  # another system, or PyTorch built otherwise
        return None


@contextmanager
def one_thread() -> Iterator[None]:
    """Run small tensor operations on one thread; a context, or with ``()`` a decorator.

    Other Python threads are not affected, nor is what runs on other devices.
    ``torch.set_num_threads`` takes part only where nothing better is known: it is meant for the
    whole process, and makes oneDNN prepare every convolution anew.
    """
    threads, settings = torch.get_num_threads(), _thread_settings()
    if threads == 1:
        yield
    elif settings is None:
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
    else:
        set_openmp, set_mkl = settings
        set_openmp(1)
        before = set_mkl(1)
        try:
            yield
        finally:
            set_openmp(threads)
            set_mkl(before)


class _OnOneThread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable, *args: Any) -> Tensor | tuple[Tensor, ...]:
        ctx.leaves = [
            arg.detach().requires_grad_(arg.requires_grad) if isinstance(arg, Tensor) else arg
            for arg in args
        ]
        with one_thread(), torch.enable_grad():
            ctx.out = function(*ctx.leaves)
        if isinstance(ctx.out, Tensor):
            return ctx.out.detach()
        detached = tuple(out.detach() for out in ctx.out)
        constant = zip(detached, ctx.out, strict=True)
        ctx.mark_non_differentiable(*(d for d, out in constant if not out.requires_grad))
        return detached

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        leaves = [ctx.leaves[i] for i in wanted]
        outs = (ctx.out,) if isinstance(ctx.out, Tensor) else ctx.out
        pairs = [pair for pair in zip(outs, grads, strict=True) if pair[0].requires_grad]
        outs, grads = map(list, zip(*pairs, strict=True))
        with one_thread():
            found = torch.autograd.grad(outs, leaves, grads, retain_graph=True, allow_unused=True)
        found = dict(zip(wanted, found, strict=True))
        return None, *(found.get(i) for i in range(len(ctx.leaves)))


def on_one_thread(function: Callable) -> Callable:
    """Decorator: run a loss and its backward pass under :func:`one_thread`, if it is on the CPU.

    Args:
        function: Of tensors and other things; gives a tensor or a tuple of them. Gradients reach
            its arguments once (no second order).
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        values, count = (*args, *kwargs.values()), len(args)
        on_cpu = all(v.device.type == 'cpu' for v in values if isinstance(v, Tensor))
        if not on_cpu or not torch.is_grad_enabled():
            with one_thread():
                return function(*args, **kwargs)

        def call(*values: Any) -> Any:
            return function(*values[:count], **dict(zip(kwargs, values[count:], strict=True)))

        return _OnOneThread.apply(call, *values)

    return run


@cache
def sleep_while_waiting() -> None:
    """Let threads of tensor operations sleep while they wait for each other, in this process.

    As ``OMP_WAIT_POLICY=passive`` does, which must be set before Python starts. GNU's OpenMP also
    does so if it manages more threads than there are CPUs, so some that do nothing are added. Does
    nothing with one thread, with other libraries, or if the environment says how to wait.
    """
    threads, cpus = torch.get_num_threads(), os.cpu_count() or 1
    told = {'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'} & os.environ.keys()
    maps = Path('/proc/self/maps')
    if told or 4 * threads < cpus or threads == 1 or not maps.exists():
        return
    if 'libgomp' not in maps.read_text():
        return
    for _ in range(-(-cpus // (threads - 1))):
        threading.Thread(target=_idle, name='mmwsss-idle', daemon=True).start()


def _idle() -> None:
    """Start the threads that belong to this one, and keep them."""
    torch.zeros(2**20).exp_()
    threading.Event().wait()
