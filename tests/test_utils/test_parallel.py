"""Several processes do what one does, and no one waits for a process that is gone."""

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from mmwsss.utils.parallel import map_parallel


def square(number: int) -> int:
    time.sleep(0.002 * (number % 3))  # results come in another order than tasks
    return number**2


def threads(_: int) -> tuple[int, int]:
    return os.getpid(), torch.get_num_threads()


def fail_at_three(number: int) -> int:
    if number == 3:
        raise KeyError('number three')
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize('processes', [1, 2, None, 50])
@pytest.mark.parametrize('chunk', [1, 4, 100])
def test_results_are_in_the_order_of_the_tasks(processes, chunk):
    assert map_parallel(square, range(23), processes, chunk) == [i**2 for i in range(23)]


def test_no_task():
    assert map_parallel(square, [], 2) == []


def test_one_process_is_this_one():
    assert {pid for pid, _ in map_parallel(threads, range(3), 1)} == {os.getpid()}


def test_each_of_several_processes_has_one_thread():
    found = map_parallel(threads, range(20), 2)
    assert os.getpid() not in {pid for pid, _ in found}
    assert {count for _, count in found} == {1}


@pytest.mark.parametrize('processes', [0, -1, 1.5, float('nan'), '2'])
def test_number_of_processes(processes):
    with pytest.raises(ValueError, match='processes must be a whole number in'):
        map_parallel(square, [1], processes)


@pytest.mark.parametrize('processes', [1, 2])
def test_an_error_of_a_task_is_raised(processes):
    with pytest.raises(KeyError, match='number three'):
        map_parallel(fail_at_three, range(100), processes)


def square_some() -> None:
    assert map_parallel(square, range(8), 2) == [i * i for i in range(8)]


def test_it_can_be_used_in_a_process_of_multiprocessing():
    process = get_context('fork').Process(target=square_some)
    process.start()
    process.join(20)
    process.kill()
    assert process.exitcode == 0


def test_a_killed_process_is_noticed():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r'was killed after \d+ of 100 pieces .*memory.*again'):
        map_parallel(die_at_three, range(100), 2)
    assert time.monotonic() - start < 20


def note_and_sleep(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def parent(folder: Path) -> None:
    map_parallel(note_and_sleep, [folder] * 4, 2)


@pytest.mark.parametrize('end', [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_their_parent(tmp_path, end):
    process = get_context('fork').Process(target=parent, args=(tmp_path,))
    process.start()
    try:
        assert wait_for(lambda: len(list(tmp_path.iterdir())) == 2, 60)
    finally:
        os.kill(process.pid, end)
        process.join(20)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert wait_for(lambda: not any(map(is_running, workers)), 20)


def is_running(pid: int) -> bool:
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def wait_for(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


class NeedsTwoError(Exception):
    """Cannot be made anew from its message, so a pool cannot hand it on."""

    def __init__(self, path, reason):
        super().__init__(f'{path}: {reason}')


def refuse(task):
    raise NeedsTwoError(f'{task}.png', 'it is green')


@pytest.mark.parametrize('processes', [1, 2])
def test_an_error_that_cannot_be_pickled_is_no_killed_process(processes):
    with pytest.raises((NeedsTwoError, RuntimeError), match=r'\.png: it is green'):
        map_parallel(refuse, list(range(4)), processes)
