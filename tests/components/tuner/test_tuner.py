"""The tuner in the pipeline."""

import json
import os
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from components.trainer import TrainerParams
from components.trainer.params import BLOG_POST
from pipeline.config import load as load_config
from pipeline.definition import define
from pipeline.runner.plan import Pipeline, plan
from pipeline.store.folder import Store
from tests.support import CHECKOUT


def test_values_of_a_trial_leave_the_others_as_they_are() -> None:
    last = TrainerParams(dropout=0.2).with_values({"pooling": "last", "rnn_units": 7})
    assert last.model_dump() == {
        **TrainerParams(dropout=0.2).model_dump(),
        "pooling": "last",
        "rnn_units": 7,
    }
    assert last.clip_norm != BLOG_POST["clip_norm"]


def pipeline(tmp_path: Path, corpus: Path, *settings: str) -> tuple[Pipeline, list[str]]:
    """The pipeline of a configuration, and the arguments that give it to a command."""
    config = tmp_path / "mine.toml"
    config.write_text(
        f"[example_gen]\nsource = {json.dumps(str(corpus))}\n[tuner.ranges]\nrnn_units = {{choices"
        " = [4, 16]}\n"
    )
    given = [
        "transform.max_length=8",
        "transform.min_frequency=1",
        "trainer.embedding_dim=8",
        "trainer.rnn_units=8",
        *settings,
    ]

    given += ["trainer.wide=false", "trainer.skip_dim=8", "trainer.num_epochs=1"]
    pipe = Pipeline()
    define(pipe, load_config(str(config), given))

    return pipe, [
        "--config",
        str(config),
        *(part for setting in given for part in ("--set", setting)),
    ]


def test_the_tuner_is_in_the_pipeline_where_it_has_a_budget(tmp_path: Path, corpus: Path) -> None:
    for settings, there in (
        ([], False),
        (["tuner.num_trials=1"], True),
        (["tuner.max_minutes=1"], True),
    ):
        pipe, _ = pipeline(tmp_path, corpus, *settings)
        stages = {stage.name: stage for stage in pipe.stages}
        assert ("tuner" in stages) == there
        assert set(stages["trainer"].inputs) == (
            {"features", "hyperparameters"} if there else {"features"}
        )


def test_what_the_tuner_depends_on(tmp_path: Path, corpus: Path) -> None:
    def keys(*settings: str) -> dict[str, str | None]:
        pipe, _ = pipeline(tmp_path, corpus, "tuner.num_trials=2", *settings)
        return {
            planned.stage.name: planned.key
            for planned in plan(pipe, Store(tmp_path / "root"))
            if planned.stage.name in ("tuner", "trainer")
        }

    before = keys()
    assert keys("trainer.checkpoint_seconds=1") == before

    for setting in (
        "trainer.dropout=0.2",
        "tuner.seed=1",
        "tuner.num_trials=3",
        "transform.vocab_size=7",
    ):
        after = keys(setting)
        assert after["tuner"] != before["tuner"], setting
        assert after["trainer"] != before["trainer"], setting


@pytest.mark.slow  # a run with a search, by four commands
def test_the_best_parameters_reach_the_model(tmp_path: Path, corpus: Path) -> None:
    _, arguments = pipeline(tmp_path, corpus, "tuner.num_trials=2")

    def seqline(command: str, *more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", command, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            **captured,
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    captured: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 300}
    out = seqline("run", *arguments, "--to", "trainer", "-v")
    assert "trial 1 (2 of 2) finished: eval accuracy " in out

    record = json.loads(seqline("show", "--json"))
    tuner, trainer = (record["executions"][name] for name in ("tuner", "trainer"))
    assert trainer["inputs"]["hyperparameters"] == {"component": "tuner", "key": tuner["key"]}

    best = tuner["figures"]["best_params"]
    assert trainer["figures"]["tuned"] == best
    network = json.loads(
        (tmp_path / "artifacts" / "trainer" / trainer["key"] / "network.json").read_text()
    )
    assert network["rnn_units"] == best["rnn_units"]
    assert trainer["figures"]["eval_accuracy"] == tuner["figures"]["eval_accuracy"]
    assert not list((tmp_path / "artifacts" / "work").iterdir())
    # What the data decided stands below the stages.
    stages = takewhile(str.strip, seqline("plan", *arguments, "--to", "trainer").splitlines()[1:])
    assert [line.split()[1] for line in stages] == ["cached"] * 7
    assert "7 stages" in seqline("run", *arguments, "--from", "tuner", "--to", "trainer")
    assert "its inputs changed" in seqline(
        "plan", *arguments, "--set", "tuner.num_trials=0", "--from", "trainer"
    )
