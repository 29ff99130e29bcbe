"""Two tasks in one folder, by the real commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.report.history import history
from pipeline.store.folder import Store
from seqline.model import identity as model_identity
from seqline.model.identity import Identity
from serving.predict import find_models
from tests.support.command_line import environment
from tests.support.corpus import write_jsonl

QUESTIONS = ("abbreviation", "description", "entity", "human", "location", "number")


SENTIMENTS = ("negative", "positive")


def rows(labels: tuple[str, ...]) -> list[dict[str, str]]:
    """120 rows, each with three words of its label and one of its own."""
    return [
        {
            "text": " ".join(
                [
                    *(f"{labels[number % len(labels)]}{(number * step) % 7}" for step in (1, 2, 3)),
                    f"row{number}",
                ]
            ),
            "label": label,
        }
        for number in range(120)
        for label in [labels[number % len(labels)]]
    ]


CONFIG = """
[example_gen]
source = "{name}.jsonl"
[transform]
max_length = 4
min_frequency = 1
[trainer]
bidirectional = false
embedding_dim = 8
rnn_units = 8
skip_dim = 8
batch_size = 16
num_epochs = 4
[evaluator]
baseline = "none"
min_gain_over_majority = -1
[infra_validator]
server = "none"
[pusher]
verify = false
"""


def seqline(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=900, env=environment()
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def assert_served(folder: Path, name: str, labels: tuple[str, ...]) -> None:
    """Version 1 of a task is served under its name, and was compared with no other."""
    assert model_identity.of_folder(folder / "serving_dir" / name / "1") == Identity(
        name, "text", labels
    )
    _, out = seqline(folder, "versions", "--serving-dir", f"serving_dir/{name}", "--json")
    assert [(listed["version"], listed["labels"]) for listed in json.loads(out)] == [
        (1, ["stable"])
    ]
    runs = history(Store(folder / "artifacts"), model=name)
    assert [(run["model"], run["verdict"], run["gain"]) for run in runs] == [(name, "pushed", None)]


def assert_to_be_named(folder: Path) -> None:
    """A command asks which of the two models is meant."""
    message = "error: serving_dir holds 2 models: questions, sentiment. Name one: "
    assert seqline(folder, "predict", "a text") == (
        2,
        f"{message}--model serving_dir/questions\n",
    )
    assert seqline(folder, "rollback") == (2, f"{message}--serving-dir serving_dir/questions\n")
    code, out = seqline(
        folder, "predict", "--model", "serving_dir/sentiment", "positive1 positive2"
    )
    assert (code, sorted(json.loads(out)["probabilities"])) == (0, ["negative", "positive"])


def files_in(place: Path) -> list[tuple[Path, int]]:
    """Each file with the time of its last change."""
    return sorted(
        (path.relative_to(place), path.stat().st_mtime_ns)
        for path in place.rglob("*")
        if path.is_file()
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_tasks_in_one_folder_keep_their_own_served_models(tmp_path: Path) -> None:
    tasks = {"questions": QUESTIONS, "sentiment": SENTIMENTS}
    for name, labels in tasks.items():
        write_jsonl(tmp_path / f"{name}.jsonl", rows(labels))
        (tmp_path / f"{name}.toml").write_text(CONFIG.format(name=name))
        code, out = seqline(tmp_path, "run", "--config", f"{name}.toml")
        assert code == 0, out
        assert f"served model   {tmp_path}/serving_dir/{name}/1" in out
        assert ("ask it         seqline predict --model" in out) == (name == "sentiment")
        assert "served 0" not in out

    assert sorted(find_models(tmp_path / "serving_dir")) == ["questions", "sentiment"]
    for name, labels in tasks.items():
        assert_served(tmp_path, name, labels)
    assert_to_be_named(tmp_path)

    # One explicit place for both: the second one is refused before its first stage, by its labels
    # where its name says nothing.
    place = tmp_path / "served"
    code, out = seqline(tmp_path, "run", "--config", "questions.toml", "--serving-dir", str(place))
    assert code == 0, out
    before = files_in(place)

    second = ["run", "--config", "sentiment.toml", "--serving-dir", str(place)]
    code, out = seqline(tmp_path, *second)
    assert code == 2, out
    assert "they have different names" in out
    assert "example_gen  " not in out

    code, out = seqline(
        tmp_path, *second, "--set", "name=questions", "--set", "trainer.num_epochs=3"
    )
    assert (code, "they have no label in common" in out) == (2, True), out
    assert "example_gen  " in out
    assert "trainer  " not in out
    assert files_in(place) == before

    code, out = seqline(tmp_path, *second, "--set", "pusher.replaces=1")
    assert code == 0, out
    assert f"served model   {place}/2" in out
    assert "not compared with version 1, another model" in out
    assert model_identity.of_folder(place / "2") == Identity("sentiment", "text", SENTIMENTS)

    last = history(Store(tmp_path / "artifacts"))[-1]
    assert (last["model"], last["verdict"]) == ("sentiment", "pushed")
    assert (last["version"], last["gain"]) == (2, None)
