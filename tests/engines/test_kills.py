"""A run on a worker pool whose worker is killed, that is stopped, or killed itself."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seqline.jobs.pool_workers import workers_here
from seqline.storage.integrity import EXECUTION
from tests.support import engines
from tests.support.command_line import assert_no_process_in
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.engines import WITH_POOL, Engine

pytestmark = pytest.mark.engines


def command(folder: Path, root: str, *flags: str) -> list[str]:
    source = json.dumps(str(folder / "corpus.jsonl"))
    (folder / "engines.toml").write_text(f"[example_gen]\nsource = {source}\n")
    places = ["--root", str(folder / root), "--to", "example_gen"]
    return ["-m", "pipeline", "run", "engines.toml", *places, *flags]


@contextmanager
def at_work(folder: Path, words: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A run whose first worker has just been started: its process, and the worker's id."""
    before = workers_here()
    process = engines.start(folder, *words)
    try:
        while not (workers := workers_here() - before):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        yield process, next(iter(workers)).pid
    finally:
        process.kill()
        process.communicate()


def assert_gone(before: set[object]) -> None:
    """Waits for workers that must end by themselves."""
    deadline = time.monotonic() + 60
    while workers_here() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers_here() - before == set()


@pytest.mark.parametrize("engine", WITH_POOL, indirect=True)
def test_whatever_is_killed_the_next_run_makes_the_same_artifact(
    engine: Engine, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "corpus.jsonl", corpus_rows())
    words = command(tmp_path, "root", "--", *engine.flags)
    partial = tmp_path / "root" / "partial"
    before: set[object] = set(workers_here())

    with at_work(tmp_path, words) as (process, worker):
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == 50
    assert re.fullmatch(
        r"A worker of the job on \w+ at \S+ (is gone|was lost: .*)\."
        r" Run the same command again: it goes on from there\.",
        errors.splitlines()[-1],
    )
    assert list(partial.iterdir()) == []

    with at_work(tmp_path, words) as (process, _):
        process.terminate()
        _, errors = process.communicate()
    assert process.returncode == 50
    assert errors.splitlines()[-1] == (
        "stopped in example_gen, of which nothing half-made was kept, by SIGTERM;"
        " the same command goes on from there"
    )
    assert workers_here() - before == set()
    assert list(partial.iterdir()) == []

    with at_work(tmp_path, words) as (process, _):
        process.kill()
        process.wait()
    assert_gone(before)
    assert_no_process_in(tmp_path)  # nor an engine that the run had started

    again = engines.run(tmp_path, *words)
    assert again.returncode == 0, again.stdout + again.stderr
    here = engines.run(tmp_path, *command(tmp_path, "local"))
    assert here.returncode == 0, here.stdout + here.stderr
    folders = [tmp_path / root / "example_gen" for root in ("root", "local")]
    differences = engines.diff(*folders)
    assert [Path(file).name for file in differences] == [EXECUTION]
