"""Good clients of `tests.soak.server_story`: each asks on one connection, and judges."""

import http.client
import json
import multiprocessing
import os
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

NAME = "small"
TIMEOUT = 120.0
PHASES = ("alone", "versions", "attacked")
# A model and its answer over the wire: the same.
SAME = 1e-5
WRONG_SHOWN = 20

# Text -> for each model (label, probabilities).
Answers = dict[str, list[tuple[str, list[float]]]]


def is_same(one: Any, other: Any, tolerance: float) -> bool:
    (label, probabilities), (other_label, other_probabilities) = one, other
    pairs = zip(probabilities, other_probabilities, strict=True)
    return label == other_label and all(abs(a - b) <= tolerance for a, b in pairs)


class Shared:
    """What the good clients and the story tell each other, across processes.

    Attributes:
        phase: The number of the phase that requests belong to; -1 ends the clients.
        counts: The requests of each phase so far.
        newest: The newest version that a client saw.
        models: Version -> which model it is, by its number in an array; -1 for none.
    """

    def __init__(self, context: Any) -> None:
        self.phase = context.Value("i", 0)
        self.counts = [context.Value("q", 0) for _ in PHASES]
        self.newest = context.Value("q", 0)
        self.models = context.Array("i", [-1] * 1000)


def ask_over_rest(
    address: tuple[str, int], answers: Answers, shared: Shared, told: Connection
) -> None:
    """Asks one text after the other on one connection, and sends what came of it."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)

    def ask(text: str) -> tuple[int, Any]:
        body = json.dumps({"instances": [text]})
        try:
            connection.request("POST", f"/v1/models/{NAME}:predict", body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it again
            raise
        if response.status != 200:
            raise ValueError(f"{response.status}: {content[:200]!r}")
        [row] = json.loads(content)["predictions"]
        version = int(response.headers["x-model-version"])
        return version, (row["label"], row["probabilities"])

    keep_asking(ask, answers, shared, told)


def ask_over_grpc(
    address: tuple[str, int], answers: Answers, shared: Shared, told: Connection
) -> None:
    """The same over gRPC, with the stubs of tensorflow-serving-api."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    channel = grpc.insecure_channel(f"{address[0]}:{address[1]}")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(text: str) -> tuple[int, Any]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = NAME
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
        got = stub.Predict(request, timeout=TIMEOUT)
        label = tf.make_ndarray(got.outputs["label"])[0].decode()
        probabilities = tf.make_ndarray(got.outputs["probabilities"])[0].tolist()
        return got.model_spec.version.value, (label, probabilities)

    keep_asking(ask, answers, shared, told)


def keep_asking(ask: Any, answers: Answers, shared: Shared, told: Connection) -> None:
    """Asks until the story ends; sends {seconds of each phase, wrong, failed, versions}."""
    seconds: list[list[float]] = [[] for _ in PHASES]
    wrong: list[str] = []
    failed: Counter[str] = Counter()
    seen: Counter[int] = Counter()
    texts = sorted(answers)
    last, number = 0, 0
    story = os.getppid()
    told.send("ready")

    while (phase := shared.phase.value) >= 0 and os.getppid() == story:
        number += 1
        text = texts[number % len(texts)]
        started = time.perf_counter()
        try:
            version, answer = ask(text)
        except Exception as error:
            failed[f"{PHASES[phase]}: {type(error).__name__}: {error}"[:300]] += 1
            time.sleep(0.01)
            continue

        seconds[phase].append(time.perf_counter() - started)
        with shared.counts[phase].get_lock():
            shared.counts[phase].value += 1
        if version not in seen:
            with shared.newest.get_lock():
                shared.newest.value = max(version, shared.newest.value)

        seen[version] += 1
        complaint = judge(version, last, answer, answers[text], shared)
        if complaint:
            wrong.append(f"{PHASES[phase]}: {complaint}")
        last = version

    told.send(
        {
            "seconds": seconds,
            "wrong": len(wrong),
            "such": wrong[:WRONG_SHOWN],
            "failed": failed,
            "versions": seen,
        }
    )


def judge(version: int, last: int, answer: Any, expected: list[Any], shared: Shared) -> str | None:
    """What is wrong with an answer; None if it is right."""
    model = shared.models[version]
    if model < 0:
        return f"version {version} was never pushed, or was damaged"
    if version < last:
        return f"version {version} after {last}"
    if not is_same(answer, expected[model], SAME):
        return f"version {version} answered {answer}, not {expected[model]}"
    return None


def start_clients(ports: dict[str, int], num_rest: int, answers: Answers, shared: Shared) -> Any:
    """Starts the good clients, and waits until each is ready: [(process, pipe)]."""
    context = multiprocessing.get_context("spawn")
    kinds = [("rest", ask_over_rest)] * num_rest
    if "grpc" in ports:
        kinds.append(("grpc", ask_over_grpc))

    clients = []
    for protocol, target in kinds:
        ours, theirs = context.Pipe()
        arguments = (("127.0.0.1", ports[protocol]), answers, shared, theirs)
        process = context.Process(target=target, args=arguments, name=protocol, daemon=True)
        process.start()
        clients.append((process, ours))
    for _, ours in clients:
        ours.recv()
    return clients
