"""Commands about many runs pass over a damaged record, and say so once; gc keeps what it names."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.store.folder import Store
from pipeline.store.layout import RUN_LOCK
from tests.support.damage import contents, replacements
from tests.support.gc_roots import RUN, Root, key
from tests.support.reports import write_three_runs

DAMAGES = [
    *contents(
        {"run": "r", "started": "2026-01-01T00:00:00+00:00", "verdict": "x", "stages": []},
        ("stages",),
        None,
    )
]


def call(*arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command that ended without a traceback."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def damage_each(path: Path) -> list[tuple[str, Callable[[], object]]]:
    """[(a name, damages the file in that way)]."""
    ways: list[tuple[str, Callable[[], object]]] = [
        (name, lambda data=data: path.write_bytes(data)) for name, data in DAMAGES
    ]

    def replace(make: Callable[[Path], object]) -> None:
        path.unlink()
        make(path)

    return ways + [(name, lambda make=make: replace(make)) for name, make in replacements()]


def test_lists_pass_over_a_damaged_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    write_three_runs(store)
    root, path = str(store.root), store.root / "runs" / "20260102-0002" / "run.json"
    for name, damage in damage_each(path)[:-2]:
        damage()
        code, out, _ = call("history", "--root", root, "--json")
        entries = json.loads(out)
        assert code == 0, name
        assert sorted(entry["verdict"] for entry in entries) == [
            *("damaged", "pushed", "refused", "rollback")
        ], name
        [why] = [entry["why"] for entry in entries if entry["verdict"] == "damaged"]
        assert why.startswith(f"{path} is damaged ("), name
        assert why.endswith(f"Remove {path.parent}; artifacts do not need it."), name

        assert call("show", "--root", root, "latest", "--json")[0] == 0, name
        assert call("report", "--root", root, "1")[0] == 0, name


def test_commands_pass_over_a_damaged_record_of_an_artifact_and_say_so_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    write_three_runs(store)
    root = str(store.root)
    path = store.root / "trainer" / "20260103-0003-trainer" / "execution.json"
    file = store.root / "evaluator" / "20260103-0003-evaluator" / "evaluation.json"
    path.write_text(path.read_text().replace('"rnn_units": 3', '"rnn_units": 4'))
    file.write_text('{"num_rows": "no"}')

    note = f"note: {path} is damaged (it changed after it was written). Remove"
    for command in (["history"], ["show"], ["report"], ["compare", "1", "latest"]):
        code, out, err = call(*command, "--root", root)
        told = " ".join(f"{out} {err}".split())
        assert code == 0
        assert told.count(note) == 1, command

    told = " ".join(call("report", "--root", root)[2].split())
    assert told.count(f"note: {file} is damaged (num_rows: Input should be a valid integer)") == 1


def served_root(tmp_path: Path) -> Root:
    """Three finished runs, of which gc would keep the last one alone."""
    root = Root(str(tmp_path / "root"), tmp_path / "serving_dir")
    for number in (1, 2, 3):
        root.artifact("example_gen", number)
        root.artifact("trainer", number, [("example_gen", number)])
        root.run(number, [("example_gen", key(number)), ("trainer", key(number))])
    return root


def gc(root: Root) -> str:
    code, out, err = call(
        *("gc", "--root", str(root.store.root), "--serving-dir", str(root.serving_dir)),
        *("--keep-runs", "1", "--yes"),
    )
    assert code == 0, err
    return out


def test_gc_keeps_a_damaged_run_and_deletes_the_rest(tmp_path: Path) -> None:
    root = served_root(tmp_path)
    path = root.store.root / "runs" / RUN.format(1) / "run.json"
    path.write_text("{")
    out = gc(root)
    assert out.count(f"note: {path} is damaged (") == 1
    assert path.is_file()
    assert not (root.store.root / "runs" / RUN.format(2)).exists()
    assert root.artifacts() == {("example_gen", key(3)), ("trainer", key(3))}


@pytest.mark.parametrize("place", range(len(DAMAGES) + 2))
def test_gc_keeps_all_that_a_damaged_record_may_name(place: int, tmp_path: Path) -> None:
    root = served_root(tmp_path)
    every = root.artifacts()
    path = root.store.root / "runs" / RUN.format(3) / "run.json"
    name, damage = damage_each(path)[place]
    damage()
    if name == "not readable":  # a link that leads nowhere is no record: the run has none
        return
    out = gc(root)
    assert out.count(f"note: {path} ") == 1, name
    assert "a damaged record may name any" in out
    assert root.artifacts() == every
    assert os.path.lexists(path)
    assert not (root.store.root / "runs" / RUN.format(1)).exists()


def test_gc_keeps_all_that_a_living_run_with_a_damaged_record_may_use(tmp_path: Path) -> None:
    root = served_root(tmp_path)
    every = root.artifacts()
    path = root.store.root / "runs" / RUN.format(1) / "run.json"
    path.write_text("{")
    with root.store.running(RUN.format(1)):
        assert (root.store.root / "locks" / f"{RUN_LOCK}{RUN.format(1)}").exists()
        out = gc(root)
    assert "a damaged record may name any" in out
    assert root.artifacts() == every


@pytest.mark.parametrize("number", [1, 3])
def test_gc_deletes_nothing_that_a_damaged_artifact_may_be_made_of(
    number: int, tmp_path: Path
) -> None:
    root = served_root(tmp_path)
    every = root.artifacts()
    path = root.store.path("trainer", key(number)) / "execution.json"
    path.write_text(path.read_text()[:50])
    out = gc(root)
    assert out.count(f"note: {path} is damaged (") == 1
    kept = {("example_gen", key(3)), ("trainer", key(3)), ("trainer", key(1))}
    assert root.artifacts() == (every if number == 3 else kept)
