"""The infra validator with the embedded server, started as the pipeline starts it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.evaluator.answers import write_answers
from components.infra_validator import (
    INFRA_VALIDATOR,
    InfraValidatorParams,
    check,
    describe,
    gates,
    run,
    stale,
    validation,
)
from components.infra_validator.server import running
from components.infra_validator.validation import warmup_requests
from components.pusher import PusherParams
from components.pusher import run as run_pusher
from pipeline.store.layout import artifact_digest
from seqline.errors import NotBlessedError, UserError
from seqline.gates import refusals
from tests.support import CHECKOUT
from tests.support.corpus import write_examples
from tests.support.evaluations import write_evaluation
from tests.support.models import fake_model


def validate(
    saved_model: Path, evaluation: Path, output: Path, **params: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Runs the component; returns (figures, blessing.json)."""
    output.mkdir()
    figures = run(
        saved_model=saved_model,
        evaluation=evaluation,
        params=InfraValidatorParams(**params),
        output=output,
    )
    return figures, json.loads((output / "blessing.json").read_text())


def servers_on(folder: Path) -> list[str]:
    """The processes that have a folder in their command line (Linux)."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                commands.append(path.read_text().replace("\0", " "))
        except OSError:
            continue
    return commands


@pytest.fixture(scope="module")
def validated(
    saved_model: Path, evaluation: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    output = tmp_path_factory.mktemp("validated") / "output"
    return output, *validate(
        saved_model,
        evaluation,
        output,
        num_requests=20,
        max_rss_mb=20_000.0,
        max_load_seconds=100.0,
    )


def test_a_good_model_is_blessed_and_measured(
    validated: tuple[Path, dict[str, Any], dict[str, Any]], evaluation: Path
) -> None:
    output, figures, blessing = validated
    assert {name: blessing[name] for name in ("blessed", "refusals", "server", "asked")} == {
        "blessed": True,
        "refusals": [],
        "server": "embedded",
        "asked": True,
    }

    num_test = json.loads((evaluation / "evaluation.json").read_text())["num_rows"]
    assert (figures["num_rows"], figures["num_requests"]) == (min(num_test, 64), 20)
    assert 0 <= figures["difference"] <= 1e-6
    assert 0 < figures["p50_seconds"] <= figures["p99_seconds"] < figures["load_seconds"]
    assert 50 < figures["rss_mb"] < 20_000
    assert {gate["name"]: gate["passed"] for gate in figures["gates"]} == {
        "size": None,
        "server": True,
        "median_latency": None,
        "latency": None,
        "memory": True,
        "load_time": True,
    }
    assert describe(figures).endswith(f"loaded in {figures['load_seconds']:.1f} s; blessed")
    assert stale(output, InfraValidatorParams()) is None
    assert servers_on(output) == []


def test_what_was_measured_is_no_part_of_the_artifact(
    validated: tuple[Path, dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    output, _, blessing = validated
    assert sorted(path.name for path in output.iterdir()) == ["blessing.json", "server.log"]
    before = artifact_digest(output)
    copy = shutil.copytree(output, tmp_path / "copy")
    (copy / "server.log").write_text("another day")
    assert artifact_digest(copy) == before
    assert set(blessing) == {"blessed", "refusals", "server", "asked", "digest"}


def evaluated(content: str, folder: Path) -> tuple[Path, Path]:
    """(a SavedModel artifact, its Evaluation) of rows of tokens, or of a sequence."""
    rows = [
        (
            ["token"] * size if content == "tokens" else [[1.0, 0.1 * size]] * size,
            ["even", "odd"][size % 2],
        )
        for size in range(1, 8)
    ]

    examples = write_examples(folder / "examples", {"test": rows}, content)
    model, evaluation = fake_model(folder / "model", content), folder / "evaluation"
    evaluation.mkdir()
    write_evaluation(evaluation)
    write_answers(examples, model, evaluation / "answers.jsonl")
    return folder / "model", evaluation


def test_a_model_that_changed_after_the_evaluation_is_refused_and_not_pushed(
    tmp_path: Path,
) -> None:
    _, evaluation = evaluated("tokens", tmp_path)
    fake_model(tmp_path / "other", "tokens", sure=0.7501)
    figures, blessing = validate(
        tmp_path / "other", evaluation, tmp_path / "output", num_requests=1, max_p50_seconds=1e-9
    )

    wrong, slow = blessing["refusals"]
    assert re.fullmatch(
        r"row 1 of test: the server gives class \d the probability 0\.\d+, the evaluator got"
        r" 0\.\d5: log-odds 5\.3e-04 apart, more than 0\.0001: the "
        r"model's model\.json names no tolerance\. Rounding does not explain it: the server"
        r" computes another model than was evaluated, or its numbers "
        r"are not float32\. If such answers will do, --set infra_validator\.max_difference=1e-03",
        wrong,
    )

    # log(0.7501 / 0.2499) - log(3)
    assert figures["difference"] == pytest.approx(5.334e-4, abs=1e-6)
    assert re.fullmatch(r"median latency \S+ s is over max_p50_seconds 1e-09", slow)
    assert describe(figures).startswith("NOT blessed: row 1 of test")
    assert (
        stale(tmp_path / "output", InfraValidatorParams()) == "the server refused it the last time"
    )

    params = PusherParams(serving_dir=str(tmp_path / "served"))
    with pytest.raises(
        NotBlessedError, match="was not pushed: row 1 of test: the server gives class"
    ) as raised:
        run_pusher(
            saved_model=tmp_path / "other",
            evaluation=evaluation,
            infra_blessing=tmp_path / "output",
            params=params,
            output=tmp_path,
        )

    assert raised.value.exit_code == 30
    assert not (tmp_path / "served").exists()


class Answering:
    """A server that has one answer."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"predictions": [self.answer]}


def test_labels_differ_only_where_two_classes_are_as_good_as_equal() -> None:
    tolerance = validation.Tolerance(1e-5, "a test")
    answer = {
        "row": {"text": "a"},
        "probabilities": [0.25, 0.5, 0.25],
        "label": "fruit",
        "class_id": 1,
    }
    server: Any = Answering(probabilities=[0.25, 0.5, 0.25], label="metals", class_id=2)

    [refusal], difference = validation.compare(server, [answer], tolerance)
    assert (
        refusal
        == "row 1 of test: the server answers label 'metals', the evaluator got 'fruit', with 0.5"
        " against 0.25 for the next class: no rounding turns them around, the model's labels are"
        " in another order"
    )
    assert difference == 0

    equal = {**answer, "probabilities": [0.1, 0.450001, 0.449999]}
    server = Answering(probabilities=[0.1, 0.449999, 0.450001], label="metals", class_id=2)
    assert validation.compare(server, [equal], tolerance)[0] == []

    unnamed: Any = {name: answer[name] for name in ("row", "probabilities")}
    server = Answering(probabilities=[0.25, 0.5, 0.25])
    assert validation.compare(server, [unnamed], tolerance) == ([], 0.0)


def test_the_tolerance_is_the_models_own_unless_it_is_set(tmp_path: Path) -> None:
    assert validation.tolerance_of(tmp_path, InfraValidatorParams()).value == 1e-4
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "model.json").write_text('{"parity": {"tolerance": 2.5e-05}}')
    assert (
        str(validation.tolerance_of(tmp_path, InfraValidatorParams()))
        == "2.5e-05: the tolerance in the model's model.json"
    )
    assert (
        str(validation.tolerance_of(tmp_path, InfraValidatorParams(max_difference=0.5)))
        == "0.5: infra_validator.max_difference"
    )


def test_a_model_that_the_server_cannot_load_is_refused_with_its_words(
    saved_model: Path, evaluation: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(saved_model, other)
    (other / "saved_model" / "saved_model.pb").write_bytes(b"no SavedModel")
    _, blessing = validate(other, evaluation, tmp_path / "output", num_requests=1)
    [refusal] = blessing["refusals"]
    assert refusal.startswith("the server cannot load the model: ")
    assert "\n" not in refusal
    assert servers_on(tmp_path) == []


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_server_that_does_not_start_is_refused_with_its_last_words(
    saved_model: Path, evaluation: Path, tmp_path: Path
) -> None:
    server = program(
        tmp_path / "tensorflow_model_server",
        "echo one; echo two >&2; echo three; echo unknown flag; exit 3",
    )
    _, blessing = validate(saved_model, evaluation, tmp_path / "output", server=server)
    assert blessing["refusals"] == [
        "the server ended with exit code 3 before it had the model: two | three | unknown flag"
    ]
    assert (tmp_path / "output" / "server.log").read_text() == "one\ntwo\nthree\nunknown flag\n"


def test_a_server_that_never_answers_is_ended(
    saved_model: Path, evaluation: Path, tmp_path: Path
) -> None:
    server = program(
        tmp_path / "tensorflow_model_server",
        f"trap '' TERM; echo waiting {tmp_path}; sleep 1000 & wait; wait",
    )
    _, blessing = validate(
        saved_model, evaluation, tmp_path / "output", server=server, wait_seconds=1.0
    )
    assert blessing["refusals"] == [
        f"the server did not have the model in infra_validator.wait_seconds: waiting {tmp_path}"
    ]
    assert servers_on(tmp_path) == []


def test_a_program_gets_the_flags_of_tensorflow_model_server(tmp_path: Path) -> None:
    """Starts the embedded server under another name, and drops the gRPC port, which it lacks."""
    script = (
        f'printf "%s\\n" "$@" > {tmp_path}/flags; exec {sys.executable} -m serving "$1" "$2" "$3"'
    )
    server = program(tmp_path / "tensorflow_model_server", script)

    figures, blessing = validate(
        *evaluated("sequence", tmp_path), tmp_path / "output", server=server, num_requests=1
    )
    assert blessing["blessed"], blessing
    assert (blessing["server"], figures["num_rows"], figures["num_requests"]) == (server, 7, 1)

    name, port, base, grpc = (tmp_path / "flags").read_text().splitlines()
    assert (name, grpc) == ("--model_name=seqline", "--port=0")
    assert port.startswith("--rest_api_port=")
    assert base.startswith(f"--model_base_path={tmp_path}/output/")
    assert servers_on(tmp_path) == []


@pytest.mark.skipif(
    sys.platform != "linux", reason="the way back from a kill is looked up in /proc"
)
def test_the_server_dies_with_a_process_that_is_killed(saved_model: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from components.infra_validator.server import"
        " running\nwith running(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), 100):"
        " print('never')"
    )
    server = program(
        tmp_path / "tensorflow_model_server",
        f"echo started {tmp_path}; exec sleep 1000.{os.getpid()}",
    )
    arguments = [
        sys.executable,
        "-c",
        code,
        server,
        str(saved_model / "saved_model"),
        str(tmp_path / "server.log"),
    ]

    process = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    while not (tmp_path / "server.log").is_file() or not (tmp_path / "server.log").read_text():
        assert process.poll() is None
        time.sleep(0.01)

    sleeping = Path(f"1000.{os.getpid()}")
    while not servers_on(sleeping):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while servers_on(sleeping) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert servers_on(sleeping) == []


@pytest.mark.parametrize("content", ["tokens", "sequence"])
def test_rows_are_recorded_without_padding(content: str, tmp_path: Path) -> None:
    _, evaluation = evaluated(content, tmp_path)
    answers = [json.loads(line) for line in (evaluation / "answers.jsonl").read_text().splitlines()]
    expected = {
        "tokens": [{"tokens": ["token"] * size} for size in range(1, 8)],
        "sequence": [
            {"sequence": [[1.0, float(np.float32(0.1 * size))]] * size, "length": size}
            for size in range(1, 8)
        ],
    }

    assert [answer["row"] for answer in answers] == expected[content]
    assert [answer["probabilities"] for answer in answers] == [[0.25, 0.75], [0.75, 0.25]] * 3 + [
        [0.25, 0.75]
    ]


def test_answers_lose_nothing(evaluation: Path, saved_model: Path) -> None:
    answers = [json.loads(line) for line in (evaluation / "answers.jsonl").read_text().splitlines()]
    serve = tf.saved_model.load(str(saved_model / "saved_model")).signatures["serving_default"]
    probabilities = serve(text=tf.constant([answer["row"]["text"] for answer in answers]))[
        "probabilities"
    ].numpy()
    recorded = np.array([answer["probabilities"] for answer in answers])
    assert (recorded == recorded.astype(np.float32)).all()
    np.testing.assert_allclose(probabilities, recorded, rtol=0, atol=1e-6)


def test_warm_up_requests_are_sent_as_the_rest_api_takes_them(tmp_path: Path) -> None:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = "serving_fast"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"a", b"\xff"]))
    request.inputs["length"].CopyFrom(tf.make_tensor_proto([1, 2], tf.int64))
    other = prediction_log_pb2.PredictionLog()
    other.classify_log.request.model_spec.name = "x"

    with tf.io.TFRecordWriter(str(tmp_path / "warmup")) as writer:
        writer.write(log.SerializeToString())
        writer.write(other.SerializeToString())

    [sent] = warmup_requests(tmp_path / "warmup")
    assert sent == {
        "signature_name": "serving_fast",
        "inputs": {"text": [{"b64": "YQ=="}, {"b64": "/w=="}], "length": [1, 2]},
    }
    assert list(warmup_requests(tmp_path / "none")) == []


MEASURED = {"p50_seconds": 0.002, "p99_seconds": 0.01, "rss_mb": 512.25, "load_seconds": 6.5}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, []),
        (
            {
                "max_p50_seconds": 0.002,
                "max_p99_seconds": 0.01,
                "max_rss_mb": 512.25,
                "max_load_seconds": 6.5,
            },
            [],
        ),
        ({"max_p50_seconds": 0.001}, ["median latency 0.002 s is over max_p50_seconds 0.001"]),
        (
            {"max_p99_seconds": 0.009},
            ["99th percentile of the latency 0.01 s is over max_p99_seconds 0.009"],
        ),
        ({"max_rss_mb": 512.0}, ["peak memory 512.2 MB is over max_rss_mb 512"]),
        ({"max_load_seconds": 1.0}, ["time to load 6.5 s is over max_load_seconds 1"]),
    ],
)
def test_every_limit_refuses(limits: dict[str, float], expected: list[str]) -> None:
    assert refusals(gates.limits(MEASURED, InfraValidatorParams(**limits))) == expected


def test_memory_that_cannot_be_measured_is_not_under_a_limit() -> None:
    params = InfraValidatorParams(max_rss_mb=1.0)
    assert refusals(gates.limits(MEASURED | {"rss_mb": None}, params)) == [
        "peak memory could not be measured; set max_rss_mb to null"
    ]


def test_nothing_is_asked_without_a_server_or_after_a_refusal(
    saved_model: Path, evaluation: Path, tmp_path: Path
) -> None:
    figures, blessing = validate(saved_model, evaluation, tmp_path / "none", server="none")
    assert (blessing["blessed"], blessing["asked"]) == (True, False)
    assert describe(figures) == "no server was asked (infra_validator.server none)"

    figures, blessing = validate(
        saved_model, evaluation, tmp_path / "large", server="none", max_model_mb=0.001
    )
    assert blessing["refusals"] == [
        f"size of the model {figures['num_bytes'] / 1e6:.4g} MB is over max_model_mb 0.001"
    ]

    write_evaluation(tmp_path, ["accuracy 0.1 is under min_accuracy 0.5"])
    figures, blessing = validate(saved_model, tmp_path, tmp_path / "refused")
    assert (blessing["blessed"], blessing["asked"]) == (False, False)
    assert describe(figures) == "NOT blessed: the evaluation refused it, and no server was asked"
    assert stale(tmp_path / "refused", InfraValidatorParams()) is None


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (
            "docker:",
            (
                "infra_validator.server 'docker:' names no image, such as"
                " docker:tensorflow/serving:2.19.1."
            ),
        ),
        (
            "/no/such/server",
            (
                "infra_validator.server '/no/such/server' is not a program. Give the path of a"
                " tensorflow_model_server, 'embedded', docker:<image>, or push without asking a"
                " server: --set infra_validator.server=none."
            ),
        ),
    ],
)
def test_a_server_that_cannot_be_started_is_seen_before_the_first_stage(
    server: str, message: str
) -> None:
    with pytest.raises(UserError) as raised:
        check(InfraValidatorParams(server=server))
    assert str(raised.value) == message


def test_without_the_servers_libraries_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(InfraValidatorParams())
    monkeypatch.setattr(
        "seqline.host.packages.find_spec",
        lambda name: None if name in ("starlette", "prometheus_client") else sys,
    )
    message = (
        r"needs starlette, prometheus-client, which are not installed: \S+ -m pip install starlette"
        r" prometheus-client, name the path"
    )
    with pytest.raises(UserError, match=message):
        check(InfraValidatorParams())
    assert INFRA_VALIDATOR.check is check


def test_a_server_is_gone_after_an_error_in_the_block(saved_model: Path, tmp_path: Path) -> None:
    with (
        suppress(KeyError),
        running("embedded", saved_model / "saved_model", tmp_path / "server.log", 100.0) as server,
    ):
        assert server.state() == ("AVAILABLE", "")
        raise KeyError
    assert server.process.poll() is not None
    assert servers_on(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.log"]
