"""Versions that come, go, break and move while a server answers; and its stop."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.model import WARMUP
from tests.support.served import Server, half_plus, save, serving

MODEL = "/v1/models/half"
HALF = 'config {{ name: "half" base_path: "{base}" model_platform: "tensorflow" {more} }}'


def push(made: Path, version: Path) -> None:
    """Publishes a version as the pusher does: written under another name, then renamed."""
    aside = version.with_name(f".pushing-{version.name}")
    shutil.copytree(made, aside)
    aside.rename(version)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models whose answer to 1 follows from their name, and one that counts up to its input."""
    folder = tmp_path_factory.mktemp("made")

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "steps")])
    def count(steps: Any) -> Any:
        return {
            "y": tf.while_loop(lambda number: number < steps, lambda number: number + 1, [0])[0]
        }

    models = {str(number): half_plus(folder / str(number), number) for number in (1, 2, 3)}
    return {**models, "slow": save(folder / "slow", serving_default=count)}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, made: dict[str, Path], saved_model: Path
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    for name, model in (("slow", made["slow"]), ("text", saved_model / "saved_model")):
        (folder / name).mkdir()
        push(model, folder / name / "1")
    configure(folder, None)
    polls = ("--file_system_poll_wait_seconds=0.05", "--model_config_file_poll_wait_seconds=0.05")
    with serving(folder, f"--model_config_file={folder / 'models.config'}", *polls) as started:
        for name in ("slow", "text"):
            started.wait(f"/v1/models/{name}", "AVAILABLE")
        yield started


def configure(folder: Path, base: Path | None, more: str = "") -> None:
    """Writes the config file of a server; without a base, there is no model `half`."""
    blocks = [f'config {{ name: "{name}" base_path: "{name}" }}' for name in ("slow", "text")]
    blocks += [HALF.format(base=base, more=more)] if base else []
    (folder / "aside").write_text(f"model_config_list {{ {' '.join(blocks)} }}")
    (folder / "aside").rename(folder / "models.config")


@pytest.fixture
def base(server: Server, tmp_path: Path) -> Iterator[Path]:
    """The folder of the model `half`, a new one for each test."""
    configure(server.log.parent, tmp_path)
    yield tmp_path
    configure(server.log.parent, None)
    while "half" in server.get("/v1/models").json()["models"]:
        pass


def answer(server: Server, path: str = MODEL) -> float:
    got = server.post(f"{path}:predict", {"instances": [0]})
    assert got.status_code == 200, got.text
    return got.json()["predictions"][0]


def error_of(server: Server, number: int) -> str:
    [status] = server.get(f"{MODEL}/versions/{number}").json()["model_version_status"]
    assert (status["state"], status["status"]["error_code"]) == ("END", "UNKNOWN")
    return status["status"]["error_message"]


def wait_for(server: Server, value: float) -> None:
    """Waits until the model gives this answer. Until then it must answer without an error, too."""
    while answer(server) != value:
        pass


def test_new_versions_broken_ones_and_ones_that_go(
    server: Server, base: Path, made: dict[str, Path]
) -> None:
    push(made["1"], base / "1")
    server.wait(MODEL, "AVAILABLE")
    assert answer(server) == 1.0

    push(made["2"], base / "2")
    server.wait(MODEL, "AVAILABLE", "END")
    assert answer(server) == 2.0

    (base / "3").mkdir()
    (base / "3" / "saved_model.pb").write_bytes(b"no model")
    server.wait(MODEL, "END", "AVAILABLE", "END")
    assert "/" not in error_of(server, 3)
    assert answer(server) == 2.0
    assert server.post(f"{MODEL}/versions/3:predict", {"instances": [0]}).status_code == 404

    shutil.rmtree(base / "3")
    server.wait(MODEL, "AVAILABLE", "END")
    shutil.rmtree(base / "2")  # a rollback by hand
    server.wait(MODEL, "END", "AVAILABLE")
    assert answer(server) == 1.0
    shutil.rmtree(base / "1")
    push(made["3"], base / "10")  # and no text order
    server.wait(MODEL, "AVAILABLE", "END", "END")
    assert answer(server) == 3.0


def test_a_number_may_begin_with_zeros_and_the_shorter_name_is_served(
    server: Server, base: Path, made: dict[str, Path]
) -> None:
    for name in ("+5", "\u0663", "-7", "1_0", str(2**63)):
        push(made["3"], base / name)
    push(made["1"], base / "00000123")
    server.wait(MODEL, "AVAILABLE")
    assert answer(server, f"{MODEL}/versions/123") == 1.0

    push(made["2"], base / "123")
    wait_for(server, 2.0)
    server.wait(MODEL, "AVAILABLE")
    complaint = (
        f"half: the folders 123 and 00000123 under {base} are both version 123; 123 is served."
        " Remove or rename one of them.\n"
    )
    while complaint not in server.log.read_text():
        pass
    server.post("/v1/models/slow:predict", {"inputs": 100_000})  # looks go by
    assert server.log.read_text().count(complaint) == 1

    shutil.rmtree(base / "123")
    wait_for(server, 1.0)


def test_a_version_that_is_replaced_is_read_again_and_the_last_one_stays(
    server: Server, base: Path, made: dict[str, Path]
) -> None:
    push(made["1"], base / "1")
    server.wait(MODEL, "AVAILABLE")
    shutil.rmtree(base / "1")
    push(made["2"], base / "1")
    wait_for(server, 2.0)
    shutil.rmtree(base / "1")
    push(made["3"], base / ".pushing-2")  # no version
    (base / "2").mkdir()  # nor is this
    server.post("/v1/models/slow:predict", {"inputs": 100_000})  # looks go by
    assert answer(server) == 2.0


def test_policies_and_labels(server: Server, base: Path, made: dict[str, Path]) -> None:
    for number in (1, 2, 3):
        push(made[str(number)], base / str(number))
    server.wait(MODEL, "AVAILABLE")
    assert answer(server) == 3.0

    configure(server.log.parent, base, "model_version_policy { all {} }")
    server.wait(MODEL, *["AVAILABLE"] * 3)
    assert [answer(server, f"{MODEL}/versions/{number}") for number in (1, 2, 3)] == [1.0, 2.0, 3.0]

    configure(server.log.parent, base, "model_version_policy { latest { num_versions: 2 } }")
    server.wait(MODEL, "AVAILABLE", "AVAILABLE", "END")
    labels = (
        'model_version_policy { latest {} } version_labels { key: "stable" value: 1 }'
        ' version_labels { key: "canary" value: 3 }'
    )
    configure(server.log.parent, base, labels)
    server.wait(
        MODEL, "AVAILABLE", "END", "AVAILABLE"
    )  # a labelled version is kept, whatever the policy
    assert [answer(server, f"{MODEL}/labels/{label}") for label in ("stable", "canary")] == [
        1.0,
        3.0,
    ]

    configure(server.log.parent, base, labels.replace("value: 1", "value: 2"))
    server.wait(MODEL, "AVAILABLE", "AVAILABLE", "END")
    assert answer(server, f"{MODEL}/labels/stable") == 2.0
    (server.log.parent / "models.config").write_text("model_config_list {")
    while "is not a ModelServerConfig" not in server.log.read_text():
        assert answer(server, f"{MODEL}/labels/stable") == 2.0
    configure(server.log.parent, base, "model_version_policy { specific { versions: 2 } }")
    server.wait(MODEL, "END", "AVAILABLE", "END")
    assert server.get(f"{MODEL}/labels/stable").status_code == 400


def test_a_model_can_be_taken_away(server: Server, base: Path, made: dict[str, Path]) -> None:
    push(made["1"], base / "1")
    server.wait(MODEL, "AVAILABLE")
    (server.log.parent / "models.config").write_text(
        'model_config_list { config { name: "text" base_path: "text" } }'
    )
    while server.get("/v1/models").json()["models"] != ["text"]:
        assert server.get("/v1/models/text").status_code == 200
    assert server.post(f"{MODEL}:predict", {"instances": [0]}).status_code == 404


def warm_up(made: Path, folder: Path, value: Any) -> Path:
    """A copy of a model with a warm-up request."""
    shutil.copytree(made, folder)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "serving_default"
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(value))
    (folder / WARMUP).parent.mkdir()
    with tf.io.TFRecordWriter(str(folder / WARMUP)) as writer:
        writer.write(log.SerializeToString())
    return folder


def test_warm_up_requests_come_first(
    server: Server, base: Path, made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("warm")
    push(warm_up(made["1"], folder / "good", [1.0, 2.0]), base / "1")
    server.wait(MODEL, "AVAILABLE")
    assert f"{base.name}/1: loaded, 1 warm-up requests" in server.log.read_text()
    push(warm_up(made["2"], folder / "bad", ["no number"]), base / "2")
    server.wait(MODEL, "END", "AVAILABLE")
    assert error_of(server, 2)
    assert answer(server) == 1.0


def test_what_is_being_answered_is_answered_by_the_old_version(
    server: Server, made: dict[str, Path]
) -> None:
    slow, got = "/v1/models/slow", list[requests.Response]()
    waiting = threading.Thread(
        target=lambda: got.append(server.post(f"{slow}:predict", {"inputs": 800_000}))
    )
    waiting.start()
    while (
        ":tensorflow:serving:running_batches 1.0"
        not in server.get("/monitoring/prometheus/metrics").text
    ):
        pass

    push(made["slow"], server.log.parent / "slow" / "2")
    server.wait(slow, "AVAILABLE", "UNLOADING")
    assert server.post(f"{slow}:predict", {"inputs": 3}).headers["x-model-version"] == "2"
    assert not got

    waiting.join()
    assert (got[0].json(), got[0].headers["x-model-version"]) == ({"outputs": 800_000}, "1")
    server.wait(slow, "AVAILABLE", "END")


def test_a_stop_finishes_what_is_being_answered(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    push(made["slow"], tmp_path / "slow" / "1")
    got = list[requests.Response]()
    with serving(
        tmp_path, "--model_base_path=slow", "--model_name=slow", "--file_system_poll_wait_seconds=0"
    ) as server:
        server.wait("/v1/models/slow", "AVAILABLE")
        waiting = threading.Thread(
            target=lambda: got.append(server.post("/v1/models/slow:predict", {"inputs": 300_000}))
        )
        waiting.start()
        while (
            ":tensorflow:serving:running_batches 1.0"
            not in server.get("/monitoring/prometheus/metrics").text
        ):
            pass

        assert server.stop() == 0
        waiting.join()

    assert got[0].json() == {"outputs": 300_000}
    assert "Traceback" not in server.log.read_text()
