"""seqline.run, seqline.plan and the Run: one run on a table in memory."""

import logging
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import seqline
from pipeline.api.run import _stoppable
from seqline.errors import DataError, StoppedError, UserError

STAGES = [
    *("example_gen", "statistics_gen", "schema_gen", "example_validator", "transform"),
    *("trainer", "exporter", "evaluator"),
]


def test_a_run_tells_what_it_has_made(run: seqline.Run, root: Path) -> None:
    assert run.verdict == "finished"
    assert run.error is None
    assert [stage.name for stage in run.stages if stage.state == "made"] == STAGES
    assert sorted(run.artifacts) == sorted(STAGES)
    assert run.artifacts["exporter"].parent == root / "exporter"
    assert run.summaries["example_gen"]["num_read"] == 240
    assert run.evaluation is not None
    assert run.evaluation["accuracy"] > 0.9
    assert run.report.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert repr(run).startswith(f"<Run {run.name}: finished, test accuracy ")


def test_a_notebook_shows_verdict_curves_and_confusion(run: seqline.Run) -> None:
    page = run._repr_html_()
    assert "Finished, nothing to push" in page
    for figure in ("loss", "accuracy"):
        assert f'<svg id="seqline-{figure}-{run.name}"' in page
    assert '<table class="matrix">' in page
    assert "<script" not in page


def test_data_in_memory_become_a_file_of_their_digest(run: seqline.Run, root: Path) -> None:
    [file] = (root / "sources").iterdir()
    assert file.suffix == ".parquet"


def test_a_second_run_does_nothing(
    run: seqline.Run, config: dict[str, Any], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seqline.api")
    again = seqline.run(config, root=root, to="evaluator", serving_dir=root.parent / "serving")
    assert {stage.state for stage in again.stages if stage.name in STAGES} == {"cached"}
    assert [record.getMessage().partition(" ")[0] for record in caplog.records][:8] == STAGES
    assert again.artifacts == run.artifacts
    assert seqline.open_run(root=root).name == again.name
    assert seqline.open_run(run.name[:18], root=root).name == run.name


def test_verbose_prints_the_lines_of_the_command(
    run: seqline.Run, config: dict[str, Any], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = list(logging.getLogger("seqline").handlers)
    serving_dir = root.parent / "serving"
    seqline.run(config, root, to="evaluator", serving_dir=serving_dir, verbose=True)
    printed = capsys.readouterr().out
    assert "example_gen        cached  240 rows" in printed
    assert "0 of 8 stages ran" in printed
    assert logging.getLogger("seqline").handlers == handlers


def test_a_gate_that_refuses_is_told_where_nothing_is_pushed(
    run: seqline.Run, config: dict[str, Any], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = seqline.run(
        config,
        root,
        to="evaluator",
        serving_dir=root.parent / "serving",
        settings={"evaluator.max_cross_entropy": 1e-9},
        verbose=True,
    )
    sentence = "The model is not blessed, so pusher would refuse it: cross-entropy "
    assert [one.startswith(sentence) for one in refused.warnings].count(True) == 1
    assert "not blessed    The model is not blessed" in capsys.readouterr().out
    assert refused.evaluation is not None
    assert refused.evaluation["blessed"] is False
    assert not any(one.startswith(sentence) for one in run.warnings)


def test_a_plan_says_what_would_run(run: seqline.Run, config: dict[str, Any], root: Path) -> None:
    serving_dir = root.parent / "serving"
    same = seqline.plan(config, root=root, to="evaluator", serving_dir=serving_dir)
    assert same.to_run == []
    assert same["trainer"].reason == "finished"

    other = seqline.plan(
        config, root=root, serving_dir=serving_dir, settings={"trainer.num_epochs": 7}
    )
    assert other.to_run == ["trainer", "exporter", "evaluator", "infra_validator", "pusher"]
    assert other["trainer"].reason == "num_epochs is 7, was 6"
    assert "trainer            runs    num_epochs is 7, was 6" in repr(other)
    assert "num_epochs is 7, was 6</td>" in other._repr_html_()


def test_a_run_in_another_thread(run: seqline.Run, config: dict[str, Any], root: Path) -> None:
    runs = []
    serving_dir = root.parent / "serving"
    arguments = {"root": root, "to": "evaluator", "serving_dir": serving_dir}
    thread = threading.Thread(target=lambda: runs.append(seqline.run(config, **arguments)))
    thread.start()
    thread.join()
    assert [one.verdict for one in runs] == ["finished"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"to": "train"}, "to 'train' is not a stage; the stages are example_gen, "),
        ({"jobs": 0}, "jobs is 0; give a number of stages, 1 or more."),
        ({"root": 3}, "root is 3; give a folder or a URL."),
        (
            {"settings": {"trainer.num_epoch": 2}},
            "settings: trainer.num_epoch is not a known name. Did you mean 'num_epochs'?",
        ),
        (
            {"settings": ["trainer.num_epochs=0"]},
            "settings: trainer.num_epochs: input should be greater than or equal to 1, not 0.",
        ),
        ({"settings": "a=b"}, "settings is 'a=b'; give a dict of values"),
        ({"settings": 3}, "settings is 3; give a dict of values"),
    ],
)
def test_a_wrong_argument(
    changes: dict[str, Any], message: str, table: pa.Table, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"root": tmp_path / "root"} | changes
    with pytest.raises(UserError) as error:
        seqline.run({"example_gen": {"source": table}}, **arguments)
    assert str(error.value).startswith(message)


def test_a_root_that_is_a_file(table: pa.Table, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for call in (seqline.run, seqline.plan):
        with pytest.raises(UserError, match=r"file/sources: not a directory"):
            call({"example_gen": {"source": table}}, root=tmp_path / "file")


def test_an_error_of_a_stage_has_no_traceback_of_its_process(tmp_path: Path) -> None:
    rows = pa.table({"text": ["a", "b", None], "label": ["x", "y", "x"]})
    with pytest.raises(DataError) as error:
        seqline.run({"example_gen": {"source": rows}}, root=tmp_path / "root")
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("nowhere.toml", "There is no configuration 'nowhere.toml'"),
        (3, "config is a int; give a path"),
        ({"trainer": {}}, "config: example_gen is missing."),
        ({"example_gen": {"source": 3}}, "example_gen.source is a int; give a path"),
        (
            {"example_gen": {"source": pa.table({"text": pa.array([], pa.string())})}},
            "example_gen.source has no row.",
        ),
        (
            {"example_gen": {"source": pa.table({"text": ["a"], "kind": ["b"]})}},
            "TABLE has no column 'label' (example_gen.label); it has 'text', 'kind'.",
        ),
    ],
)
def test_a_wrong_configuration(config: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        seqline.run(config, root=tmp_path / "root")
    sentence = str(error.value)
    if message.startswith("TABLE"):
        [file] = (tmp_path / "root" / "sources").iterdir()
        sentence = sentence.replace(str(file), "TABLE")
    assert sentence.startswith(message)


def test_a_stop_is_the_programs_own_interrupt() -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupted = pytest.raises(KeyboardInterrupt, match="stages by SIGINT; the same call goes on")
    with interrupted, _stoppable():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_stop_does_not_end_the_process() -> None:
    with pytest.raises(KeyboardInterrupt), _stoppable():
        stop_twice()


def stop_twice() -> None:
    with suppress(StoppedError):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
