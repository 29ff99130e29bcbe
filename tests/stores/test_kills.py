"""Runs that are killed in every stage, and ten runs at once, on one store for each protocol."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import open_store
from pipeline.store.records import RunRecord
from tests.support import store_runs
from tests.support.emulators import EMULATORS, Emulator

# Ten runs on a machine of two cores, or twenty stages, take minutes.
pytestmark = [pytest.mark.stores, pytest.mark.timeout(1500)]

# moto and versitygw both speak S3; moto is the slower one.
one_each = pytest.mark.parametrize(
    "emulator", [name for name in EMULATORS if name != "moto"], indirect=True
)


def local_run(folder: Path, data: str, *more: str) -> dict[str, str]:
    """The digests of the artifacts of a run in a folder, in the order of its stages."""
    folder.mkdir()
    code, out = store_runs.seqline(folder, "run", data, str(folder), *more)
    assert code == 0, out
    return store_runs.digests(str(folder))


def kill_next(folder: Path, place: str, killed: list[str], seconds: float) -> bool:
    """Starts a run, and kills it some time after a stage has started in which none was killed.

    Args:
        folder: where the run starts.
        place: of its data, root and serving_dir.
        killed: the stages in which a run was killed; the next one is added.
        seconds: from the stage's start to the kill.

    Returns:
        False if the run ended before.
    """
    process = store_runs.begin(folder, "run", place, place)
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            stage = line.partition(" ")[0]
            if " started, stage " in line and stage not in killed:
                time.sleep(seconds)
                killed.append(stage)
                return True
        assert process.wait() == 0, "".join(lines)
        return False
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@one_each
def test_a_run_that_is_killed_in_every_stage_ends_with_the_same_bytes(
    emulator: Emulator, tmp_path: Path
) -> None:
    place = emulator.place
    store_runs.write_span(place, 1)
    killed: list[str] = []
    # Every other kill comes a second later: then a short stage has ended, and the next one has not.
    while kill_next(tmp_path / "killed", place, killed, len(killed) % 2):
        pass
    assert {"example_gen", "transform", "trainer", "exporter", "evaluator"} <= set(killed)

    assert store_runs.digests(place) == local_run(tmp_path / "local", place)
    assert {name.partition("/")[0] for name in store_runs.served(place)} == {"1"}


@one_each
def test_of_ten_runs_at_once_one_makes_each_artifact(emulator: Emulator, tmp_path: Path) -> None:
    place = emulator.place
    store_runs.write_span(place, 1)
    processes = [
        store_runs.begin(tmp_path / str(number), "run", place, place, "--to", "transform")
        for number in range(10)
    ]
    try:
        ended = [(process.communicate(timeout=500)[0], process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [code for _, code in ended] == [0] * 10, ended

    expected = local_run(tmp_path / "local", place, "--to", "transform")
    assert list(expected)[-1] == "transform"
    made = Counter(
        stage.component for run in runs(place) for stage in run.stages if not stage.cached
    )
    assert made == dict.fromkeys(expected, 1)
    assert store_runs.digests(place) == expected


def runs(place: str) -> Iterator[RunRecord]:
    for run in open_store(f"{place}/root").runs():
        yield RunRecord.read(run / "run.json")
