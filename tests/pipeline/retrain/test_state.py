"""The state that a retraining keeps for the next one."""

import json
from pathlib import Path

import pytest

from pipeline.retrain import state
from pipeline.retrain.state import Push, State
from pipeline.store import open_store
from pipeline.store.folder import Store
from seqline.errors import UserError
from tests.support.fake_cloud.gcs import serve


def pushed_model(digest: str, spans: dict[str, str]) -> Push:
    return Push(digest=digest, version=1, run="r", spans=spans, model="k")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Expecting property name"),
        ("[]", "it holds no JSON object"),
        ("{}", "last: Field required"),
        ('{"last": null, "attempt": null, "left_out": {}}', "pushes: Field required"),
        ('{"pushes": [{"digest": "d", "version": 1}]}', "pushes.0.run: Field required"),
        ('{"left_out": {"2": "bad"}}', "left_out.2: Input should be an object"),
        ('{"last": {"fingerprint": 3}}', "last.fingerprint: Input should be a valid string"),
    ],
)
def test_a_damaged_state_is_named(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "retrain" / "c" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(
        UserError, match=rf"^{path} is damaged \({problem}.*\)\. Remove it: the next retraining"
    ):
        state.load(Store(tmp_path), "c")


def test_a_state_is_written_as_it_was_read(tmp_path: Path) -> None:
    """Fields and their order, whether or not the attempt has trained warm and cold."""
    attempt = {
        "run": "r2",
        "served": {"version": 1, "digest": "d"},
        "new": [2],
        "bootstrap": False,
        "start": "both",
        "warm_start": "model",
        "why_start": "it is due",
        "fingerprint": "f",
        "started": "now",
    }

    content = {
        "last": {
            "fingerprint": "f",
            "parts": {"trainer": {}},
            "spans": {"1": "a"},
            "verdict": "pushed",
            "reason": "better",
            "run": "r1",
            "ends": True,
        },
        "attempt": attempt,
        "pushes": [
            {"digest": "d", "version": 1, "run": "r1", "spans": {"1": "a"}, "model": "k"}
            | {"start": "cold"}
        ],
        "left_out": {
            "3": {"digest": "c", "judged_by": "j", "reason": "bad", "run": "r1", "since": "then"}
        },
    }

    path = tmp_path / "retrain" / "c" / "state.json"
    path.parent.mkdir(parents=True)

    for starts in ({}, {"starts": {"warm": {"seconds": 1.5}, "cold": {"seconds": 2.5}}}):
        text = json.dumps({**content, "attempt": {**attempt, **starts}}, indent=2) + "\n"
        path.write_text(text)
        state.save(Store(tmp_path), "c", state.load(Store(tmp_path), "c"))
        assert path.read_text() == text


def test_what_a_served_model_was_trained_on_is_known_after_a_rollback() -> None:
    pushes = [pushed_model("old", {"1": "a"}), pushed_model("new", {"1": "a", "2": "b"})]
    remembered = State(pushes=pushes)
    assert [list(remembered.trained_on(digest)) for digest in ("old", "new", "another's")] == [
        ["1"],
        ["1", "2"],
        ["1", "2"],
    ]
    assert State().trained_on("old") == {}


def test_a_state_under_gs(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as cloud:
        cloud.buckets["bucket"] = {}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        store = open_store("gs://bucket/root")
        assert state.load(store, "c") == State()
        kept = State(pushes=[pushed_model("d", {"1": "x"})])
        state.save(store, "c", kept)
        assert state.load(store, "c") == kept
