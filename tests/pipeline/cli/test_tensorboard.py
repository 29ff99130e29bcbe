"""`seqline tensorboard`: a real TensorBoard, asked as its own page asks it."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from components.tuner.board import write_trial
from pipeline.store.records import Source
from tests.support.command_line import environment, in_this_process
from tests.support.corpus import TRAINER_PARAMS
from tests.support.event_files import EVAL_TAGS, TRAIN_TAGS
from tests.support.records import execution, run_record
from tests.support.tuning import make_trial

KEYS = {name: str(number) * 20 for number, name in enumerate(("trainer", "exporter", "evaluator"))}
SEARCH = "a" * 20


def artifact(root: Path, component: str, key: str, files: Path | None, **fields: Any) -> Path:
    folder = root / component / key
    if files:
        shutil.copytree(files, folder)
    folder.mkdir(parents=True, exist_ok=True)
    execution(component, key, name="topics", **fields).write(folder / "execution.json")
    return folder


@pytest.fixture
def root(tmp_path: Path, model: Path, evaluation: Path) -> Path:
    """A root with a run, its Model and Evaluation, and a search of two trials."""
    root = tmp_path / "artifacts"
    artifact(root, "trainer", KEYS["trainer"], model)
    made_of_model = {"model": Source("trainer", KEYS["trainer"])}
    artifact(root, "exporter", KEYS["exporter"], None, inputs=made_of_model)
    made_of_export = {"saved_model": Source("exporter", KEYS["exporter"])}
    artifact(root, "evaluator", KEYS["evaluator"], evaluation, inputs=made_of_export)

    search = artifact(root, "tuner", SEARCH, None)
    for number in range(2):
        write_trial(make_trial(number, "finished", 0.5 + number / 4), TRAINER_PARAMS, search)

    run = root / "runs" / "20260101T000000000000-abcd"
    run.mkdir(parents=True)
    run_record(run.name, verdict="finished").write(run / "run.json")
    return root


@pytest.fixture
def ask(root: Path) -> Iterator[Callable[..., Any]]:
    """Starts the command and asks until it knows all runs. It ends with 0 and leaves nothing."""
    server = subprocess.Popen(
        [sys.executable, "-m", "seqline", "tensorboard", "--root", str(root), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | {"TMPDIR": str(root.parent)},
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    told = re.fullmatch(r"1 training and 2 trials of .* at (http://127\.0\.0\.1:\d+/) .*\n", line)
    assert told, line + server.communicate()[1]

    def ask(route: str, body: Any = None, **query: Any) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        place = f"{told[1]}data/plugin/{route}?{urlencode(query)}"
        headers = {"Content-Type": "application/json"} if data else {}
        with urllib.request.urlopen(urllib.request.Request(place, data, headers)) as answer:
            return answer.read()

    while len(json.loads(ask("scalars/tags"))) < 5:
        time.sleep(0.2)
    yield ask

    server.terminate()
    assert server.communicate()[1] == ""
    assert server.returncode == 0
    assert list(root.parent.glob("seqline-tensorboard-*")) == []


@pytest.mark.slow
def test_every_tab_has_what_it_shows(root: Path, ask: Callable[..., Any]) -> None:
    tags = json.loads(ask("scalars/tags"))
    (training,) = [run for run in tags if run.endswith(KEYS["trainer"][:6])]
    trials = sorted(run for run in tags if " trial " in run)
    assert re.fullmatch(r"topics \d{4}-\d\d-\d\d \d\d\.\d\d 000000", training)
    assert set(tags[f"{training}/train"]) == TRAIN_TAGS
    assert set(tags[f"{training}/eval"]) == EVAL_TAGS
    curve = json.loads(ask("scalars/scalars", run=f"{training}/eval", tag="accuracy/epoch"))
    assert [step for _, step, _ in curve] == list(range(1, TRAINER_PARAMS.num_epochs + 1))

    asked = {"startIndex": 0, "sliceSize": 9, "allowedStatuses": ["STATUS_UNKNOWN"]}
    groups = json.loads(ask("hparams/session_groups", asked))["sessionGroups"]
    assert sorted(group["name"] for group in groups) == [training, *trials]
    for group in groups:
        values = {
            (metric["name"]["group"], metric["name"]["tag"]): metric["value"]
            for metric in group["metricValues"]
        }
        assert ("", "accuracy/final_eval") in values
        if group["name"] == training:
            assert {("", "accuracy/final_test"), ("train", "accuracy/epoch")} <= values.keys()
            assert group["hparams"]["rnn_units"] == TRAINER_PARAMS.rnn_units

    (run,) = json.loads(ask("pr_curves/tags"))
    assert run == training
    (drawn,) = json.loads(ask("pr_curves/pr_curves", run=run, tag="fruit/pr_curves"))[run]
    assert drawn["recall"][0] == 1

    (page,) = json.loads(ask("text/text", run=training, tag="hardest"))
    assert page["text"].count("<tr>") == 11  # a head and ten rows
    assert json.loads(ask("graphs/info"))[f"{training}/train"]["run_graph"]
    assert b'name: "ids"' in ask("graphs/graph", run=f"{training}/train")

    assert json.loads(ask("projector/runs")) == [f"{training}/train"]
    of_tokens = {"run": f"{training}/train", "name": "token embeddings"}
    rows = np.frombuffer(ask("projector/tensor", **of_tokens), np.float32)
    lines = ask("projector/metadata", **of_tokens).decode().splitlines()
    assert len(rows) == (len(lines) - 1) * TRAINER_PARAMS.embedding_dim


def test_an_export_is_told(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    code, out, _ = in_this_process("tensorboard", "--root", str(root), "--export", str(copy))
    assert (code, out) == (
        0,
        f"{copy}: 1 training and 2 trials. tensorboard --logdir {copy} shows them.\n",
    )
    assert len(list(copy.iterdir())) == 3


def test_a_root_without_a_run_is_an_error(tmp_path: Path) -> None:
    code, _, errors = in_this_process("tensorboard", "--root", str(tmp_path))
    assert code == 2
    assert "No run has been recorded under" in errors
