"""The embedded server's batching, live reload, start, stop and page."""

import asyncio
import importlib.util
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait
from tensorflow_serving.apis import prediction_log_pb2

from serving import config, main
from serving.batching import Batcher, Limits
from serving.config import ConfigError
from serving.errors import RefusedError, short
from serving.model import WARMUP, LoadedModel
from tests.components.evaluator.test_evaluator import fake_model
from tests.support.served import TIMEOUT, Server, environment, half_plus, save, serving

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
NEVER = 1e6  # seconds


# Batching, in this process: one thread, so that who waits for whom is no matter of luck.


@tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
def roots(x: Any) -> Any:
    with tf.control_dependencies(
        [tf.debugging.assert_non_negative(x, "there is no root of less than nothing")]
    ):
        return {"y": tf.sqrt(x)}


@tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "x")])
def wide(x: Any) -> Any:
    return {"y": x + 1.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LoadedModel]]:
    folder = tmp_path_factory.mktemp("models")
    paths = {content: fake_model(folder / content, content) for content in ("tokens", "sequence")}
    paths["roots"] = save(folder / "roots", serving_default=roots, wide=wide)
    loaded = {name: LoadedModel(path) for name, path in paths.items()}
    yield loaded
    for each in loaded.values():
        each.close()


def ask(
    model: LoadedModel,
    requests: list[dict[str, np.ndarray]],
    signature: str = "serving_default",
    **limits: Any,
) -> tuple[list, list[int]]:
    """(what each of requests that come at once gets, the sizes of the batches)."""
    sizes = []

    async def all_at_once() -> list:
        batcher = Batcher(
            Limits(**{"num_threads": 1, "timeout": NEVER, "max_batch_size": 8, **limits}),
            lambda rows, _: sizes.append(rows),
        )
        calls = (batcher.run(model, model.signatures[signature], each) for each in requests)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert not batcher.queues
        batcher.threads.shutdown()
        return answers

    return asyncio.run(all_at_once()), sizes


def floats(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


def test_the_first_runs_at_once_and_the_others_meanwhile_gather(
    models: dict[str, LoadedModel],
) -> None:
    answers, sizes = ask(models["roots"], [floats(number**2) for number in range(12)])
    assert [each["y"].tolist() for each in answers] == [[number] for number in range(12)]
    assert sizes == [1, 8, 3]


def test_without_batching_each_is_alone(models: dict[str, LoadedModel]) -> None:
    _, sizes = ask(models["roots"], [floats(1)] * 3, enabled=False)
    assert sizes == [1, 1, 1]


def test_a_bad_row_fails_alone(models: dict[str, LoadedModel]) -> None:
    answers, sizes = ask(
        models["roots"],
        [floats(-1 if number == 5 else number**2, 1) for number in range(9)],
        max_batch_size=16,
    )
    for number, each in enumerate(answers):
        if number == 5:
            assert isinstance(each, tf.errors.InvalidArgumentError)
            assert short(each.message).startswith(
                "assertion failed: [there is no root of less than nothing"
            )
        else:
            assert each["y"].tolist() == [number, 1]
    assert sizes == [2, 16]


def test_a_huge_request_is_split_and_put_together(models: dict[str, LoadedModel]) -> None:
    [answer], sizes = ask(models["roots"], [floats(*(number**2 for number in range(21)))])
    assert answer["y"].tolist() == list(range(21))
    assert sizes == [8, 8, 5]
    [error], _ = ask(models["roots"], [floats(*range(20), -1)])
    assert isinstance(error, tf.errors.InvalidArgumentError)


def test_where_the_answer_has_the_shape_of_the_batch_nothing_is_joined(
    models: dict[str, LoadedModel],
) -> None:
    answers, sizes = ask(
        models["roots"], [{"x": np.zeros((1, number), np.float32)} for number in (1, 2, 3)], "wide"
    )
    assert [each["y"].tolist() for each in answers] == [[[1.0]], [[1.0, 1.0]], [[1.0, 1.0, 1.0]]]
    assert len(sizes) == 3


def rows_of(content: str, time_steps: int) -> dict[str, np.ndarray]:
    if content == "tokens":
        return {"tokens": np.full((1, time_steps), b"a", object)}
    # Its length says that the last step does not count.
    return {
        "sequence": np.ones((1, time_steps, 2), np.float32),
        "length": np.array([time_steps - 1]),
    }


@pytest.mark.parametrize("content", ["tokens", "sequence"])
def test_rows_of_up_to_twice_the_time_are_padded_and_joined(
    models: dict[str, LoadedModel], content: str
) -> None:
    times = [4, 4, 5, 6, 7, 4, 8, 15, 3]
    answers, sizes = ask(models[content], [rows_of(content, size) for size in times])
    expected = [(size - (content == "sequence")) % 2 for size in times]
    assert [each["class_id"].tolist() for each in answers] == [[parity] for parity in expected]
    # 4 alone, at once; then the other rows of 4 to 7, those of 8 to 15, and the one of 3, of which
    # each found its own queue idle.
    assert sorted(sizes) == [1, 1, 2, 5]


def test_too_many_that_wait_are_refused(models: dict[str, LoadedModel]) -> None:
    answers, _ = ask(models["roots"], [floats(4)] * 6, max_queued=2)
    refused = [each for each in answers if isinstance(each, RefusedError)]
    assert len(refused) == 3  # one runs, two wait
    assert {(each.status, each.retry_after) for each in refused} == {(503, 1)}
    assert [each["y"].tolist() for each in answers if not isinstance(each, RefusedError)] == [
        [2.0]
    ] * 3


# Live reload.

MODEL = "/v1/models/half"
HALF = 'config {{ name: "half" base_path: "{base}" model_platform: "tensorflow" {more} }}'


def push(made: Path, version: Path) -> None:
    """As the pusher does it: written aside, then renamed."""
    aside = version.with_name(f".pushing-{version.name}")
    shutil.copytree(made, aside)
    aside.rename(version)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that answer 1 with what their name says; and one that counts as long as it is told."""
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
    push(made["slow"], (folder / "slow").mkdir() or folder / "slow" / "1")
    push(saved_model / "saved_model", (folder / "text").mkdir() or folder / "text" / "1")
    configure(folder, None)
    polls = ("--file_system_poll_wait_seconds=0.05", "--model_config_file_poll_wait_seconds=0.05")
    with serving(folder, f"--model_config_file={folder / 'models.config'}", *polls) as started:
        for name in ("slow", "text"):
            started.wait(f"/v1/models/{name}", "AVAILABLE")
        yield started


def configure(
    folder: Path, base: Path | None, more: str = "", others: tuple[str, ...] = ("slow", "text")
) -> None:
    """Writes the config file of a server; without a base, there is no model `half`."""
    blocks = [f'config {{ name: "{name}" base_path: "{name}" }}' for name in others]
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
    """Until the model answers with it. What it answers before must be an answer, too."""
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
    while "is no ModelServerConfig" not in server.log.read_text():
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


# Start and stop.


def test_a_stop_finishes_what_is_being_answered(made: dict[str, Path], tmp_path: Path) -> None:
    push(made["slow"], (tmp_path / "slow").mkdir() or tmp_path / "slow" / "1")
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


def test_wrong_flags_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(*flags: str) -> str:
        assert main.main(flags) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: ")
        assert printed.count("\n") == 1
        return printed

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = (
            f"error: --host 127.0.0.1 --rest_api_port {port}: Address already in use. Give a free"
            " port, or 0 for any.\n"
        )
        assert error(f"--rest_api_port={port}") == expected
    assert "--rest_api_port 70000 is no port." in error("--rest_api_port=70000")
    assert "cannot be a model's name in a path" in error("--model_name=a/b")
    assert "No such file or directory" in error(f"--model_config_file={tmp_path / 'gone'}")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else sys
    )
    assert (
        error() == f"error: seqline serve needs uvicorn: {sys.executable} -m pip install uvicorn\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {", "is no ModelServerConfig: "),
        ("custom_model_config {}", "there is no model_config_list."),
        ('model_config_list { config { name: "a" } }', "the model 'a' has no base_path."),
        (
            'model_config_list { config { name: "a:b" base_path: "c" } }',
            "'a:b' cannot be a model's name in a path",
        ),
        (
            'model_config_list { config { name: "a" base_path: "c" model_platform: "other" } }',
            "only tensorflow is served.",
        ),
        (
            (
                'model_config_list { config { name: "a" base_path: "c" model_version_policy {'
                " specific {} } } }"
            ),
            "specific without versions.",
        ),
        (
            (
                'model_config_list { config { name: "a" base_path: "b" } config { name: "a"'
                ' base_path: "c" } }'
            ),
            "the model 'a' is there twice.",
        ),
    ],
)
def test_a_wrong_config_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        config.read(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_command_answers_help_without_tensorflow_and_serves_without_beam() -> None:
    look = (
        "print(sorted(set(sys.modules) & {'tensorflow', 'apache_beam', 'tensorflow_transform',"
        " 'pydantic', 'tensorflow_serving'}))"
    )
    code = (
        "import sys\nfrom serving import main\ntry: main.main(['--help'])\nexcept SystemExit:"
        f" {look}\nimport serving.app\n{look}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.startswith("usage: seqline serve")
    assert done.stdout.splitlines()[-2:] == ["[]", "['tensorflow']"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "serve", "--help"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert "--max_batch_size" in done.stdout


# The page.


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not CHROMIUM.exists() or not CHROMEDRIVER.exists():
        pytest.skip(f"{CHROMIUM} or {CHROMEDRIVER} is not there")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    switches = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        " disable-component-update disable-sync"
    )
    for each in (*switches.split(), f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{each}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    yield driver
    driver.quit()


def settled(browser: Any, text: str) -> Any:
    """The answer's element, once it has the text."""
    found = browser.find_element("id", "answer")
    WebDriverWait(browser, TIMEOUT).until(lambda _: text in found.text)
    return found


def test_the_page_by_keyboard(
    server: Server, browser: Any, base: Path, made: dict[str, Path]
) -> None:
    """The only request to another place would be refused by the policy, and be in the log."""
    configure(server.log.parent, base, others=("text",))
    while server.get("/v1/models").json()["models"] != ["half", "text"]:
        pass
    browser.get(server.url)
    WebDriverWait(browser, TIMEOUT).until(
        lambda driver: driver.find_element("tag name", "body").get_attribute("data-ready")
    )
    settled(
        browser, "Servable not found for request: Latest(half)"
    )  # the first model has no version
    choice = Select(browser.find_element("id", "model"))
    choice.select_by_visible_text("text")
    settled(browser, "")
    typed = browser.find_element("id", "text")
    typed.send_keys('The <b>cat</b> & "dog"')
    typed.send_keys(Keys.CONTROL, Keys.ENTER)
    answered = settled(browser, "Answered by version 1.")
    shown = {
        row.find_element("tag name", "th").text: row.find_element("class name", "number").text
        for row in answered.find_elements("tag name", "tr")
    }
    expected = dict(
        server.post(
            "/v1/models/text:classify", {"examples": [{"text": 'The <b>cat</b> & "dog"'}]}
        ).json()["results"][0]
    )
    assert shown == {label: f"{100 * expected[label]:.1f} %" for label in expected}
    assert list(shown) == sorted(expected, key=lambda label: -expected[label])
    assert answered.find_element("tag name", "caption").text == next(iter(shown))
    assert len(answered.find_elements("tag name", "progress")) == 3
    assert browser.execute_script("return document.activeElement.id") == "text"
    typed.send_keys(Keys.TAB, Keys.ENTER)  # the button is next
    settled(browser, "Answered by version 1.")
    assert [entry for entry in browser.get_log("browser") if "404" not in entry["message"]] == []


def test_the_page_lets_nothing_in(server: Server) -> None:
    got = server.get("/")
    policy = got.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in got.text.replace("HTTP", "")
    assert got.headers["content-type"] == "text/html; charset=utf-8"
