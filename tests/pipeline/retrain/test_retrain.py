"""`seqline retrain` as CI calls it: the real command on a small corpus that comes in spans."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from components.pusher import publish, versions
from components.span_validator import SpanValidatorParams
from components.trainer import START_FILE
from pipeline import config as configuration
from pipeline.config import RetrainParams
from pipeline.retrain import decide, state, thresholds, warm
from pipeline.store.folder import Store
from pipeline.store.records import Execution
from seqline.host import owner
from seqline.storage.integrity import EXECUTION
from tests.support.command_line import assert_no_process_in, environment
from tests.support.corpus import TOPICS, corpus_rows
from tests.support.retraining import (
    begin,
    command,
    digests,
    last_run,
    make,
    retrain,
    wait_for,
    write_span,
)

SWAPPED = dict(zip(sorted(TOPICS), [*sorted(TOPICS)[1:], sorted(TOPICS)[0]], strict=True))


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a first retraining, with what it printed in out.txt."""
    folder = make(tmp_path_factory.mktemp("retrain") / "pushed")
    code, lines = retrain(folder, "--bootstrap")
    assert code == 0, lines
    (folder / "out.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def copy(pushed: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(pushed, tmp_path / "copy")


# The first model


def test_the_first_model_needs_bootstrap(tmp_path: Path) -> None:
    code, [line] = retrain(make(tmp_path / "new"))
    assert code == 2
    assert line.startswith(
        "error: serving_dir/c holds no version, so there is no model to compare with. "
        "The first model needs --bootstrap; "
    )
    assert not (tmp_path / "new" / "artifacts" / "runs").exists()


def test_a_first_model_is_pushed_and_recorded(pushed: Path) -> None:
    lines = (pushed / "out.txt").read_text().splitlines()
    assert lines[:2] == ["new            nothing was judged before", "served         nothing yet"]
    assert [
        line.split()[1] for line in lines if line.startswith(("passed", "REFUSED", "- "))
    ] == list(thresholds.NAMES)
    assert lines[-1] == f"pushed (0): {pushed}/serving_dir/c/1 is served, the first model"

    record = last_run(pushed)["retrain"]
    expected = {
        "verdict": "pushed",
        "exit_code": 0,
        "bootstrap": True,
        "start": "cold",
        "served_before": None,
        "pushed": {"version": 1, "uri": f"{pushed}/serving_dir/c/1"},
    }

    assert {name: record[name] for name in expected} == expected
    gates = {gate["name"]: gate for gate in record["gates"]}
    assert [name for name in gates if gates[name]["passed"]] == [
        "anomalies",
        "finite",
        "accuracy",
        "macro_f1",
        "gain_over_majority",
        "parity",
        "size",
    ]
    assert gates["calibration"]["reason"] == "waived in the configuration (retrain.without)"
    assert gates["accuracy"].keys() == {"name", "value", "threshold", "passed", "reason", "stage"}


def test_nothing_new_ends_without_tensorflow_and_leaves_no_record(pushed: Path) -> None:
    script = """
import sys
from pipeline.cli.app import main
sys.argv = sys.argv[1:]
try:
    main()
finally:
    heavy = {"tensorflow", "apache_beam", "keras", "tensorflow_datasets"}
    print("loaded", sorted(heavy & set(sys.modules)))
"""

    arguments = [sys.executable, "-c", script, "seqline", *command()[3:]]
    num_runs = len(Store(pushed / "artifacts").runs())

    done = subprocess.run(
        arguments, cwd=pushed, capture_output=True, text=True, timeout=100, env=environment()
    )
    assert done.returncode == 10
    assert done.stdout.splitlines() == ["nothing new (10): version 1 is served", "loaded []"]
    assert len(Store(pushed / "artifacts").runs()) == num_runs


def test_bootstrap_is_refused_where_a_model_is_served(copy: Path) -> None:
    write_span(copy, 2, corpus_rows(300)[240:])
    code, [line] = retrain(copy, "--bootstrap")
    assert code == 2
    assert line.startswith("error: --bootstrap is for the first model; serving_dir/c/1 is served")


def test_a_serving_dir_that_was_lost_is_not_filled_in_silence(copy: Path) -> None:
    shutil.rmtree(copy / "serving_dir")
    code, [line] = retrain(copy)
    assert (code, "--bootstrap" in line) == (2, True)


def test_a_rollback_by_hand_is_not_undone_and_is_recorded(copy: Path) -> None:
    other = shutil.copytree(copy / "serving_dir" / "c" / "1", copy / "other")
    shutil.rmtree(other / "assets.extra")
    publish.push(other, copy / "serving_dir" / "c")
    rolled = subprocess.run(
        command(name="rollback")[:4],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=100,
        env=environment(),
    )

    assert rolled.returncode == 0
    assert rolled.stdout == "serving_dir/c/3 has the files of version 1 and is stable\n"

    line = "nothing new (10): version 3, a rollback to version 1, is served"
    assert retrain(copy) == (10, [line])

    [event] = versions.history(copy / "serving_dir" / "c")
    expected = {"what": "rollback", "version": 3, "rollback_of": 1, "instead_of": 2}
    assert {name: getattr(event, name) for name in expected} == expected
    assert event.by is not None
    assert event.by["user"] == owner.who()["user"]


# Data


@pytest.mark.slow  # two retrainings
def test_a_span_with_exchanged_labels_is_rejected_and_left_out(copy: Path) -> None:
    write_span(copy, 2, [{**row, "label": SWAPPED[row["label"]]} for row in corpus_rows(360)[240:]])
    code, lines = retrain(copy)
    assert code == 20
    assert "new            span 2 is new" in lines
    assert "of the labels of span 2 are contradicted by the served model beyond doubt" in lines[-1]
    assert [line.split()[0] for line in lines if " label_noise " in line] == ["REFUSED"]
    assert "trainer" not in [stage["component"] for stage in last_run(copy)["stages"]]
    code, lines = retrain(copy)
    assert (code, lines[-1], len(lines)) == (10, "nothing new (10): version 1 is served", 2)
    assert lines[0].startswith("left out       span 2, since run 2")

    # Another content under the same number is looked at again.
    write_span(copy, 2, [{**row, "label": "trees"} for row in corpus_rows(300)[240:]])
    code, lines = retrain(copy)
    assert (code, "the class 'trees' is new (60 rows of span 2)" in lines[-1]) == (20, True)

    places = {
        "example_gen.source": f"{copy}/data/{{SPAN}}/rows.jsonl",
        "pusher.serving_dir": str(copy / "serving_dir" / "c"),
    }
    loaded = configuration.load(str(copy / "c.toml"), (), places)
    store = Store(copy / "artifacts")
    accepted = loaded.model_copy(update={"retrain": RetrainParams(accept=(2,))})
    remembered = state.load(store, "c")
    assert decide.inspect(loaded, store, remembered).config.example_gen.skip == (2,)

    situation = decide.inspect(accepted, store, remembered)
    assert (situation.left_out, situation.new) == ({}, [])
    assert list(situation.spans or {}) == ["1", "2"]

    # With another bound it is judged again.
    allowed = loaded.model_copy(update={"span_validator": SpanValidatorParams(classes=("trees",))})
    situation = decide.inspect(allowed, store, remembered)
    assert (situation.left_out, situation.new) == ({}, [2])
    assert list(situation.spans or {}) == ["1", "2"]


@pytest.mark.parametrize("kind", ["empty", "delivered twice"])
def test_a_span_that_is_a_broken_delivery_is_rejected_and_left_out(copy: Path, kind: str) -> None:
    write_span(copy, 2, [] if kind == "empty" else corpus_rows(240))
    code, lines = retrain(copy)
    assert code == 20
    assert {
        "empty": "span 2 has no rows in any split. Deliver it again, or take it out of the window.",
        "delivered twice": "rows in span 2 are in span 1, too",
    }[kind] in lines[-1]

    code, lines = retrain(copy)
    assert code == 10
    assert lines[0][:21] == "left out       span 2"
    assert lines[-1] == "nothing new (10): version 1 is served"


# Gates


def test_a_refused_candidate_is_told_again_and_ten_triggers_at_once_are_one(copy: Path) -> None:
    refusing = ["--set", "evaluator.min_gain_over_majority=1"]
    processes = [begin(copy, *refusing) for _ in range(10)]
    ends = [
        (process.communicate(timeout=600)[0].splitlines(), process.returncode)
        for process in processes
    ]

    [one] = [lines for lines, code in ends if code == 30]
    assert one[0].startswith("new            evaluator: min_gain_over_majority is 1.0, was 0.001")
    assert one[-1].startswith("refused (30): gain over the majority class ")
    assert [line.split()[:2] for line in one if line.startswith(("trainer", "exporter"))] == [
        ["trainer", "cached"],
        ["exporter", "cached"],
    ]

    others = [(code, lines[-1]) for lines, code in ends if code != 30]
    assert len(others) == 9
    for code, line in others:  # the last ones may come when the first has its verdict
        assert line.startswith(
            {40: "busy (40): process ", 10: "nothing new (10): the last candidate was refused"}[
                code
            ]
        )
    assert any(code == 40 for code, _ in others)

    code, lines = retrain(copy, *refusing)
    assert code == 10
    assert lines[0].startswith("nothing new (10): the last candidate was refused (run 2")
    assert "gain over the majority class" in lines[0]
    assert sorted(path.name for path in (copy / "serving_dir" / "c").glob("[0-9]*")) == ["1"]


# The lock


@pytest.mark.slow
def test_a_killed_owner_is_taken_over_with_the_same_result(pushed: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "killed")
    first = begin(folder, "--bootstrap")
    wait_for(folder, "artifacts/work/trainer-*/checkpoint*")
    code, [line] = retrain(folder, "--bootstrap")
    assert code == 40
    assert line.startswith(
        f"busy (40): process {first.pid} on {owner.who()['host']} ({owner.who()['user']}), since 20"
    )

    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert_no_process_in(folder)

    code, lines = retrain(folder)  # no --bootstrap: it was asked for
    assert code == 0, lines
    assert digests(folder) == digests(pushed)
    assert last_run(folder)["retrain"]["bootstrap"] is True
    killed = json.loads((Store(folder / "artifacts").runs()[0] / "run.json").read_text())
    assert (killed["verdict"], killed["error"][:17]) == ("stopped", "its process died;")


def test_a_stopped_retraining_says_run_again(tmp_path: Path) -> None:
    folder = make(tmp_path / "stopped")
    process = begin(folder, "--bootstrap")
    wait_for(folder, "artifacts/partial/example_gen-*")
    process.send_signal(signal.SIGTERM)
    lines = process.communicate(timeout=100)[0].splitlines()
    assert process.returncode == 50
    assert lines[-1].startswith("interrupted (50): stopped in example_gen")
    assert last_run(folder)["retrain"]["verdict"] == "interrupted"


# Warm and cold


@pytest.mark.slow  # and of two trainings the better one is taken: test_warm.py
def test_every_so_many_warm_starts_a_cold_one_is_compared(copy: Path) -> None:
    model = next((copy / "artifacts" / "trainer").iterdir())
    (model / START_FILE).write_text(json.dumps({"in_a_row": 1}))
    # As a record from before there were digests: the file counts as written by the trainer.
    replace(Execution.read(model / EXECUTION), files=None).write(model / EXECUTION)
    write_span(copy, 2, corpus_rows(300)[240:])
    code, lines = retrain(copy, "--set", "retrain.cold_every=2")

    record = last_run(copy)["retrain"]
    assert code == record["exit_code"] in (0, 30), lines

    scores = {
        kind: (start["eval_accuracy"], -start["eval_loss"])
        for kind, start in record["starts"].items()
    }
    assert record["start"] == ("warm" if scores["warm"] > scores["cold"] else "cold")
    assert record["why_start"].startswith("eval accuracy: cold ")
    assert [line.split()[1] for line in lines if line.startswith("trainer ")][-1] == "cached"
    assert f"start          {record['start']}: {record['why_start']}" in lines


def test_a_start_is_cold_where_nothing_else_was_asked_for(pushed: Path) -> None:
    store = Store(pushed / "artifacts")
    place = {"pusher.serving_dir": str(pushed / "serving_dir" / "c")}

    every = [
        configuration.load(str(pushed / "c.toml"), [f"retrain.cold_every={number}"], place)
        for number in (1, 3)
    ]
    assert warm.choose_start(every[0], store, 1) == ("cold", None, "retrain.cold_every is 1")

    kind, model, why = warm.choose_start(every[1], store, 1)
    assert kind == "warm"
    assert Path(str(model)).parent == pushed / "artifacts" / "trainer"
    assert why == f"from the Model of version 1, {Path(str(model)).name}"
