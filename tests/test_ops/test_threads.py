import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch

from mmwsss.ops import threads
from mmwsss.ops.threads import on_one_thread, one_thread


@pytest.fixture(autouse=True, params=['own', 'process'])
def two_threads(request, monkeypatch):
    """The settings of the calling thread, and where they are not known."""
    if request.param == 'process':
        monkeypatch.setattr(threads, '_thread_settings', lambda: None)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_number_of_threads_comes_back():
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(ValueError), one_thread():
        raise ValueError
    assert torch.get_num_threads() == 2


def test_as_a_decorator():
    @one_thread()
    def count():
        return torch.get_num_threads()

    assert [count(), torch.get_num_threads(), count()] == [1, 2, 1]


def test_python_threads_that_overlap_find_their_own_number_again():
    first, second = threading.Event(), threading.Event()

    def enter_first():
        torch.set_num_threads(2)
        with one_thread():
            first.set()
            assert second.wait(5)
        return torch.get_num_threads()

    def leave_last():
        torch.set_num_threads(2)
        assert first.wait(5)
        with one_thread():
            second.set()
            done.result(5)
            inside = torch.get_num_threads()
        return inside, torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        done = pool.submit(enter_first)
        other = pool.submit(leave_last)
        assert done.result(5) == 2 and other.result(5) == (1, 2)
    assert torch.get_num_threads() == 2


def test_values_and_gradients_stay():
    counts = []

    class Counting(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            counts.append(torch.get_num_threads())
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            counts.append(torch.get_num_threads())
            return grad

    @on_one_thread
    def function(a, index, b, *, scale):
        return (Counting.apply(a) * b[index]).sum(1) * scale

    a, b = torch.rand(3, 4, requires_grad=True), torch.rand(5, 4, requires_grad=True)
    index = torch.tensor([0, 2, 2])
    out = function(a * 2, index, b=b, scale=3)
    expected = torch.autograd.grad((a * 2 * b[index]).sum(1).mul(3).sum(), (a, b))
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, b)), expected)
    assert counts == [1, 1] and torch.get_num_threads() == 2
    with torch.no_grad():
        assert not function(a, index, b, scale=1).requires_grad
    constant = function(a.detach(), index, b.detach(), scale=1)
    assert not constant.requires_grad


def idle_threads():
    return sum(thread.name == 'mmwsss-idle' for thread in threading.enumerate())


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs GNU OpenMP')
def test_enough_idle_threads_are_added_once(monkeypatch):
    monkeypatch.setattr(threads.os, 'cpu_count', lambda: 3)
    monkeypatch.setattr(threads, '_idle', threading.Event().wait)
    for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.delenv(name, raising=False)
    start = cache(threads.sleep_while_waiting.__wrapped__)
    before = idle_threads()
    start(), start()
    assert idle_threads() - before == 3
    monkeypatch.setenv('OMP_WAIT_POLICY', 'active')
    threads.sleep_while_waiting.__wrapped__()
    monkeypatch.delenv('OMP_WAIT_POLICY')
    torch.set_num_threads(1)
    threads.sleep_while_waiting.__wrapped__()
    assert idle_threads() - before == 3
