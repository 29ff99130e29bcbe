"""Asks a running server what the evaluator asked the SavedModel, and the warm-up requests, and measures it."""

import base64
import json
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from components import progress
from components.base import Figures
from components.features import ANSWERS
from components.infra_validator import InfraValidatorParams, gates
from components.infra_validator.gates import Gate
from components.infra_validator.server import Server, ServerError, running

SERVER_LOG = "server.log"
# Requests that TensorFlow Serving sends itself before a version is available.
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
SIGNATURE = "serving_default"


def validate(model: Path, evaluation: Path, params: InfraValidatorParams, output: Path) -> tuple[list[Gate], Figures]:
    """(the gates of the live server; what was measured, nothing where the server failed). Writes server.log into output."""
    answers = [json.loads(line) for line in (evaluation / ANSWERS).read_text(encoding="utf-8").splitlines()]
    warmup = list(warmup_requests(model / WARMUP))
    log = output / SERVER_LOG
    progress.tell("starting the server")
    try:
        with running(params.server, model, log, params.wait_seconds) as server:
            progress.begin("asking the server", len(answers) + len(warmup) + params.num_requests, "requests")
            refusals, difference = compare(server, answers, params.max_difference)
            for number, request in enumerate(warmup, start=1):
                _ask_warmup(server, number, request)
                progress.advance()
            latencies = measure(server, answers, params.num_requests)
            measured = {
                "num_rows": len(answers),
                "num_warmup": len(warmup),
                "num_requests": params.num_requests,
                "difference": difference,
                "load_seconds": server.load_seconds,
                "p50_seconds": float(np.quantile(latencies, 0.5)),
                "p99_seconds": float(np.quantile(latencies, 0.99)),
                "rss_mb": server.peak_rss_mb(),
            }
    except ServerError as error:
        return [gates.gate("server", None, params.max_difference, False, str(error))], {}
    reason = f"{len(answers)} rows answered as by the evaluator, to {difference:.1e} (max_difference {params.max_difference:g})"
    asked = gates.gate("server", difference, params.max_difference, not refusals, "; ".join(refusals) or reason)
    return [asked, *gates.limits(measured, params)], measured


def compare(server: Server, answers: list[dict[str, Any]], max_difference: float) -> tuple[list[str], float]:
    """Sends every row by itself. (the first row answered differently, as a refusal; the greatest difference of a probability)."""
    refusals: list[str] = []
    greatest = 0.0
    for number, answer in enumerate(answers, start=1):
        [found] = server.ask({"signature_name": SIGNATURE, "instances": [answer["row"]]}).get("predictions") or [None]
        progress.advance()
        got = found.get("probabilities") if isinstance(found, dict) else None
        if not isinstance(got, list) or len(got) != len(answer["probabilities"]):
            raise ServerError(f"the answer to row {number} of test has no {len(answer['probabilities'])} probabilities: {str(found)[:200]}")
        difference = np.abs(np.array(got, np.float64) - np.array(answer["probabilities"]))
        worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
        greatest = max(greatest, float(difference[worst]))
        if not difference[worst] <= max_difference and not refusals:
            refusals.append(
                f"row {number} of test: the server gives class {worst} the probability {got[worst]}, the evaluator got "
                f"{answer['probabilities'][worst]} (max_difference {max_difference})"
            )
    return refusals, greatest


def measure(server: Server, answers: list[dict[str, Any]], num_requests: int) -> list[float]:
    """Seconds that each of so many requests of one row took, one after the other over one connection."""
    found = []
    for answer in islice(cycle(answers), num_requests):
        started = time.perf_counter()
        server.ask({"signature_name": SIGNATURE, "instances": [answer["row"]]})
        found.append(time.perf_counter() - started)
        progress.advance()
    return found


def warmup_requests(path: Path) -> Iterator[dict[str, Any]]:
    """The predict requests of a warm-up file as the REST API takes them. Those of other APIs are the server's own business."""
    if not path.is_file():
        return
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for serialized in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(serialized)
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            inputs = {name: _as_json(tf.make_ndarray(tensor).tolist()) for name, tensor in request.inputs.items()}
            yield {"signature_name": request.model_spec.signature_name or SIGNATURE, "inputs": inputs}


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _ask_warmup(server: Server, number: int, request: dict[str, Any]) -> None:
    try:
        server.ask(request)
    except ServerError as error:
        raise ServerError(f"warm-up request {number} ({request['signature_name']}): {error}") from None
