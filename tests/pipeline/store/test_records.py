"""Records are written as they always were, and a damaged one is refused in one line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.folder import Store
from pipeline.store.records import Execution, RunRecord, StageRecord
from seqline.digests import digest
from seqline.errors import UserError
from seqline.storage.records import DamagedRecordError
from tests.support.records import execution, run_record

RUN = {
    "run": "20260101T000000000000-abcd",
    "name": "topics",
    "started": "2026-01-01T00:00:00.000+00:00",
    "verdict": "failed",
    "uses": {"trainer": ["k1", "k2"]},
    "stages": [
        {"component": "trainer", "key": "k1", "cached": False, "reason": "forced", "seconds": 1.5}
    ],
    "error": "DataError: row 3 of 'caf\udce9.csv' is bad",
    "finished": "2026-01-01T00:00:09.000+00:00",
    "command": ["seqline", "run"],
    "config": {"name": "topics"},
}
EXECUTION = {
    "component": "trainer",
    "name": "topics",
    "type": "Model",
    "key": "k1",
    "key_parts": {"component": "trainer", "params": {}},
    "params": {"seed": 0},
    "inputs": {"features": {"component": "transform", "key": "k0"}},
    "figures": {"loss": float("nan"), "by_label": {"\ud800": [1, None, 0.5]}},
    "started": "2026-01-01T00:00:00.000+00:00",
    "finished": "2026-01-01T00:00:02.000+00:00",
    "seconds": 2.0,
    "files": {"model": {"size": 1, "digest": "sha256:2d71"}},
}
EXECUTION["digest"] = digest(EXECUTION)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (RunRecord, RUN),
        (RunRecord, {name: RUN[name] for name in list(RUN)[:6]}),  # a run that goes on
        (Execution, EXECUTION),
    ],
)
def test_a_record_is_written_as_it_was_read(kind: Any, content: Any, tmp_path: Path) -> None:
    text = json.dumps(content, indent=2) + "\n"
    path = tmp_path / "record.json"
    path.write_text(text)
    kind.read(path).write(path)
    assert path.read_text() == text


def test_records_from_before_models_had_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({name: value for name, value in RUN.items() if name != "name"}))
    assert RunRecord.read(path).name == ""
    path.write_text(
        json.dumps({name: RUN[name] for name in ("run", "started", "verdict", "stages")})
    )
    assert (RunRecord.read(path).uses, RunRecord.read(path).about) == ({}, {})
    of_earlier_release = {
        name: EXECUTION[name] for name in EXECUTION if name not in ("name", "files", "digest")
    }
    path.write_text(json.dumps(of_earlier_release))
    assert (Execution.read(path).name, Execution.read(path).files) == ("", None)


def test_an_execution_that_says_something_else_than_was_written_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "execution.json"
    path.write_text(json.dumps(EXECUTION).replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DamagedRecordError, match=r"is damaged \(it changed after it was written\)"):
        Execution.read(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ('{"run": "x', "Unterminated string starting at: line 1 column 9 (char 8)"),
        ("null", "it holds no JSON object"),
        ("\N{BROKEN BAR}" * 3, "Expecting value: line 1 column 1 (char 0)"),
        (json.dumps({**RUN, "stages": [{"component": "a"}]}), "stages.0.key: Field required"),
        (json.dumps({**RUN, "uses": []}), "uses: Input should be an object"),
        (json.dumps({"run": "x"}), "started: Field required"),
    ],
)
def test_a_damaged_run_is_refused(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(
        UserError,
        match=re.escape(
            f"{path} is damaged ({problem}). Remove {path.parent}; artifacts do not need it."
        )
        + "$",
    ):
        RunRecord.read(path)


def test_a_damaged_artifact_is_refused_and_hides_no_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.path("trainer", "k1") / "execution.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(EXECUTION)[:100])
    with pytest.raises(UserError, match=rf"^{path} is damaged .* the next run makes the artifact"):
        store.execution("trainer", "k1")
    assert store.damage("trainer", "k1") == "its execution.json is damaged"
    assert store.latest("trainer") is None
    (tmp_path / "trainer" / "k2").mkdir()
    execution("trainer", "k2").write(tmp_path / "trainer" / "k2" / "execution.json")
    assert store.latest("trainer") == execution("trainer", "k2")


def test_a_damaged_run_hides_no_other_from_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key, name in (("k1", "a"), ("k2", "b")):
        folder = store.path("trainer", key)
        folder.mkdir(parents=True)
        execution("trainer", key, name=name).write(folder / "execution.json")

    stages = [StageRecord("trainer", "k2", True, "finished", 1.0)]
    for content in (None, "{"):
        run = store.start_run()
        store.save_run(run, run_record(run.name, name="a", stages=stages))
        if content is not None:
            (run / "run.json").write_text(content)

    latest = store.latest("trainer", "a")  # "a" has used what "b" had made
    assert latest is not None
    assert latest.key == "k2"
