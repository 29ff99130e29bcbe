"""The command line on a small corpus: killed in every stage, asked, shown, run again."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path

import pytest

from pipeline.store.folder import Store
from pipeline.store.layout import artifact_digest
from serving import predict
from tests.support.command_line import assert_no_process_in, environment, in_this_process
from tests.support.corpus import SMALL_SETTINGS, set_flags

STAGES = [
    "example_gen",
    "statistics_gen",
    "schema_gen",
    "example_validator",
    "transform",
    "trainer",
    "exporter",
    "evaluator",
    "infra_validator",
    "pusher",
]
# The others take milliseconds; what a kill leaves there, tests of their own look at.
LONG_STAGES = ["example_gen", "transform", "trainer", "exporter", "evaluator", "infra_validator"]
SETTINGS = {**SMALL_SETTINGS, "trainer.num_epochs": 6}


def command(folder: Path, corpus: Path, *arguments: str) -> list[str]:
    (folder / "config.toml").write_text(f"[example_gen]\nsource = {json.dumps(str(corpus))}\n")
    return [
        sys.executable,
        "-m",
        "pipeline",
        arguments[0],
        "--config",
        str(folder / "config.toml"),
        *set_flags(SETTINGS),
        *arguments[1:],
    ]


def seqline(folder: Path, *arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, timeout=550, env=environment()
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """The folder of one finished run, with what it printed in out.txt."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "out.txt").write_text(seqline(folder, *command(folder, corpus, "run")))
    return folder


def digests(folder: Path) -> dict[str, str]:
    store = Store(folder / "artifacts")
    record = json.loads((store.runs()[-1] / "run.json").read_text())
    return {
        stage["component"]: artifact_digest(store.path(stage["component"], stage["key"]))
        for stage in record["stages"]
    }


def test_a_run_prints_a_line_a_stage_a_table_and_the_next_command(finished: Path) -> None:
    out = (finished / "out.txt").read_text()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith(f" of {len(STAGES)}")] == STAGES
    finished_lines = [line for line in lines if re.match(r"\w+ +[\d.:]+( s)?  ", line)]
    assert [line.split()[0] for line in finished_lines] == STAGES
    assert "test accuracy" in out
    assert f"served model   {finished}/serving_dir/config/1" in out
    assert 'seqline predict "Your text"' in out
    assert "tensorflow" not in out.lower()


def test_a_second_run_does_nothing_and_loads_no_tensorflow(finished: Path, corpus: Path) -> None:
    before = digests(finished)
    arguments = command(finished, corpus, "run")
    code = (
        "import sys; from pipeline.cli.app import main\nsys.argv = sys.argv[1:]\n"
        "try: main()\nfinally:"
        " print('loaded', sorted({'tensorflow', 'apache_beam', 'keras', 'tensorflow_datasets'} &"
        " set(sys.modules)))"
    )

    out = seqline(finished, sys.executable, "-c", code, "seqline", *arguments[3:])
    assert "0 of 10 stages ran" in out
    assert "loaded []" in out
    assert digests(finished) == before
    assert sorted(path.name for path in (finished / "serving_dir" / "config").iterdir()) == [
        ".lock",
        "1",
        "models.config",
    ]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["plan"], ["show"], ["version"]]
)
def test_light_commands_load_neither_tensorflow_nor_beam(
    finished: Path, corpus: Path, arguments: list[str]
) -> None:
    if arguments == ["plan"]:
        arguments = command(finished, corpus, "plan")[3:]
    code = (
        "import sys; from pipeline.cli.app import main\ntry: main()\nfinally: print('loaded',"
        " sorted({'tensorflow', 'apache_beam', 'keras', 'tensorflow_datasets', 'numpy'}"
        " & set(sys.modules)))"
    )
    assert "loaded []" in seqline(finished, sys.executable, "-c", code, *arguments)


def test_a_run_ends_with_its_report(finished: Path) -> None:
    folder = sorted((finished / "artifacts" / "runs").iterdir())[0]
    told = json.loads((folder / "report.json").read_text())
    assert (finished / "out.txt").read_text().splitlines()[
        -1
    ] == f"report         {folder / 'report.html'}"
    assert told["verdict"]["name"] == "pushed"
    assert [stage["state"] for stage in told["stages"]] == ["made"] * 10
    assert told["commands"]["called"].split()[:2] == ["seqline", "run"]

    again = seqline(
        finished, sys.executable, "-m", "pipeline", "plan", "--config", str(folder / "config.toml")
    )
    assert {line.split()[1] for line in stage_lines(again)} == {"cached"}


def stage_lines(plan: str) -> list[str]:
    """The lines of the stages. What the data decided stands after them."""
    return list(takewhile(str.strip, plan.splitlines()[1:]))


def test_plan_names_what_changed_and_reruns_from_there_only(finished: Path, corpus: Path) -> None:
    out = seqline(finished, *command(finished, corpus, "plan", "--set", "trainer.rnn_units=9"))
    lines = stage_lines(out)
    assert [line.split()[1] for line in lines] == ["cached"] * 5 + ["runs"] * 5
    assert "rnn_units is 9, was 8" in lines[5]


def test_show_gives_figures_and_lineage(finished: Path) -> None:
    out = seqline(finished, sys.executable, "-m", "pipeline", "show", "--json")
    record = json.loads(out)
    assert record["verdict"] == "finished"

    executions = record["executions"]
    assert executions["exporter"]["inputs"]["model"] == {
        "component": "trainer",
        "key": executions["trainer"]["key"],
    }
    assert (
        sum(executions["example_gen"]["figures"]["num_rows"]["test"].values())
        == executions["evaluator"]["figures"]["num_rows"]
    )
    assert "why it ran" in seqline(finished, sys.executable, "-m", "pipeline", "show")


def test_predict_answers_in_order_from_arguments_and_standard_input(finished: Path) -> None:
    texts = ["a cat and a dog", "iron, gold", "PLUM and fig", "", "a\u0085b"]
    asked = [sys.executable, "-m", "pipeline", "predict"]
    with contextlib.chdir(finished):
        code, out, _ = in_this_process("predict", *texts)
    assert code == 0
    answers = [json.loads(line) for line in out.split("\n")[:-1]]
    assert [answer["text"] for answer in answers] == texts
    assert [answer["label"] for answer in answers[:3]] == ["animals", "metals", "fruit"]
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-5 for answer in answers)

    piped = subprocess.run(
        asked,
        cwd=finished,
        input=("\n".join(texts) + "\nbad \xff\n").encode("latin-1"),
        capture_output=True,
        timeout=120,
        env=environment(),
    )
    lines = piped.stdout.decode().split("\n")[:-1]

    assert [json.loads(line)["label"] for line in lines[:3]] == ["animals", "metals", "fruit"]
    assert len(lines) == 6


def test_predict_needs_a_model(tmp_path: Path) -> None:
    out = seqline(tmp_path, sys.executable, "-m", "pipeline", "predict", "text", check=False)
    assert (
        out
        == "error: No SavedModel at serving_dir, nor a version of one under it. Push a model first:"
        " seqline run my.toml\n"
    )
    with pytest.raises(ValueError, match="No SavedModel at"):
        predict.find_model(tmp_path)


def test_a_model_that_is_not_good_enough_is_not_pushed(finished: Path, corpus: Path) -> None:
    refused = command(finished, corpus, "run", "--set", "evaluator.max_cross_entropy=0.0001")
    done = subprocess.run(
        refused, cwd=finished, capture_output=True, text=True, timeout=550, env=environment()
    )
    assert done.returncode == 30
    assert done.stderr.startswith(
        "error: The model is not blessed and was not pushed: cross-entropy"
    )
    assert sorted(path.name for path in (finished / "serving_dir" / "config").iterdir()) == [
        ".lock",
        "1",
        "models.config",
    ]


@pytest.mark.slow  # and killed in its training: test_retrain.py
def test_killed_in_every_stage_the_artifacts_are_the_same_in_the_end(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    """SIGKILL to the command only: its workers have to notice by themselves."""
    arguments = command(tmp_path, corpus, "run")
    killed = []
    for stage in LONG_STAGES:
        process = subprocess.Popen(
            arguments,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )

        while process.poll() is None:
            if list((tmp_path / "artifacts" / "partial").glob(f"{stage}-*")):
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed.append(stage)
                break
            time.sleep(0.002)

        for path in (tmp_path / "artifacts").glob("*/*/"):
            if path.parent.name in STAGES:
                assert (path / "execution.json").is_file()

        assert not list((tmp_path / "serving_dir").glob("*/[0-9]*"))

    assert killed == LONG_STAGES
    assert_no_process_in(tmp_path)
    out = seqline(tmp_path, *arguments)
    assert "served model" in out
    assert list((tmp_path / "artifacts" / "partial").iterdir()) == []
    first_run = json.loads(
        (sorted((finished / "artifacts" / "runs").iterdir())[0] / "run.json").read_text()
    )
    expected = {
        stage["component"]: artifact_digest(
            finished / "artifacts" / stage["component"] / stage["key"]
        )
        for stage in first_run["stages"]
    }
    assert digests(tmp_path) == expected
