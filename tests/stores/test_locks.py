"""The lock in each store, by processes of their own: a counter, a kill, and a lease that ends."""

import signal
import subprocess
import sys

import pytest

from seqline.storage import objects
from tests.support.command_line import environment
from tests.support.emulators import Emulator

pytestmark = pytest.mark.stores

COUNT = """
import sys
from seqline.storage import locks, objects
from seqline.storage.staging import path_of
place, times = sys.argv[1], int(sys.argv[2])
for _ in range(times):
    with locks.held(path_of(f"{place}/lock"), "counting", seconds=10):
        number = int(objects.read(f"{place}/count") or 0)
        objects.write_object(f"{place}/count", str(number + 1).encode())
"""
HOLD = """
import sys, time
from seqline.host import owner
from seqline.storage import locks
from seqline.storage.staging import path_of
if sys.argv[2] == "elsewhere":
    here = owner.lock_holder()
    owner.lock_holder = lambda: {**here, "host": "elsewhere", "processes": "another boot"}
with locks.held(path_of(f"{sys.argv[1]}/lock"), "holding", seconds=3):
    print("held", flush=True)
    time.sleep(600)
"""


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


def test_two_processes_count_and_lose_nothing(emulator: Emulator) -> None:
    processes = [start(COUNT, emulator.place, "40") for _ in range(2)]
    assert [process.wait(300) for process in processes] == [0, 0]
    for process in processes:
        process.communicate()
    assert objects.read(f"{emulator.place}/count") == b"80"


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_the_lock_of_a_killed_process_is_taken_over(emulator: Emulator, where: str) -> None:
    killed = start(HOLD, emulator.place, where)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "held\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()

    # One from another machine is known to be dead only when its lock stays the same for a lease.
    command = [sys.executable, "-c", COUNT, emulator.place, "1"]
    subprocess.run(command, env=environment(), check=True)
    assert objects.read(f"{emulator.place}/count") == b"1"


def test_create_only_and_compare_and_swap(emulator: Emulator) -> None:
    path = f"{emulator.place}/once"
    first = objects.write_object(path, b"1", objects.ABSENT)
    assert first is not None
    assert objects.write_object(path, b"2", objects.ABSENT) is None
    second = objects.write_object(path, b"3", first)
    assert second is not None
    assert objects.write_object(path, b"4", first) is None
    assert objects.read_object(path) == (b"3", second)
