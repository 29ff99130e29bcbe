"""Asks a running server what the evaluator asked the SavedModel, and the warm-up requests, and
measures it.
"""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from components.infra_validator import InfraValidatorParams, gates
from components.infra_validator.server import Server, ServerError, running
from seqline.component import Figures
from seqline.data.features import ANSWERS
from seqline.gates import Gate
from seqline.host import progress
from seqline.model import rounding

SERVER_LOG = "server.log"
# Requests that TensorFlow Serving sends itself before a version is available.
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
SIGNATURE = "serving_default"
# What the exporter says of the model.
CARD = Path("assets.extra", "model.json")


def validate(
    model: Path, evaluation: Path, params: InfraValidatorParams, output: Path
) -> tuple[list[Gate], Figures]:
    """(the gates of the live server.

    What was measured, nothing where the server failed). Writes server.log into output.
    """
    answers = [
        json.loads(line) for line in (evaluation / ANSWERS).read_text(encoding="utf-8").splitlines()
    ]
    warmup = list(warmup_requests(model / WARMUP))
    log = output / SERVER_LOG
    bound = bound_of(model, params)
    progress.tell("starting the server")
    try:
        with running(params.server, model, log, params.wait_seconds) as server:
            progress.begin(
                "asking the server", len(answers) + len(warmup) + params.num_requests, "requests"
            )
            refusals, difference = compare(server, answers, bound)
            for number, request in enumerate(warmup, start=1):
                _ask_warmup(server, number, request)
                progress.advance()
            latencies = measure(server, answers, params.num_requests)
            measured = {
                "num_rows": len(answers),
                "num_warmup": len(warmup),
                "num_requests": params.num_requests,
                "difference": difference,
                "tolerance": bound.tolerance,
                "load_seconds": server.load_seconds,
                "p50_seconds": float(np.quantile(latencies, 0.5)),
                "p99_seconds": float(np.quantile(latencies, 0.99)),
                "rss_mb": server.peak_rss_mb(),
            }
    except ServerError as error:
        return [Gate("server", None, bound.tolerance, False, str(error))], {}
    reason = (
        f"{len(answers)} rows answered as by the evaluator, to {difference:.1e} of log-odds (at"
        f" most {bound})"
    )
    asked = Gate("server", difference, bound.tolerance, not refusals, "; ".join(refusals) or reason)
    return [asked, *gates.limits(measured, params)], measured


@dataclass(frozen=True)
class Bound:
    """What a server's answers may differ by from the evaluator's, in log-odds, and where that comes
    from.
    """

    tolerance: float
    origin: str

    def __str__(self) -> str:
        return f"{self.tolerance:g}: {self.origin}"


def bound_of(model: Path, params: InfraValidatorParams) -> Bound:
    """The setting, or what the exporter wrote into the SavedModel."""
    if params.max_difference is not None:
        return Bound(params.max_difference, "infra_validator.max_difference")
    path = model / CARD
    card = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if "parity" in card:
        return Bound(card["parity"]["tolerance"], "the tolerance in the model's model.json")
    return Bound(rounding.UNKNOWN, "the model's model.json names no tolerance")


def compare(server: Server, answers: list[dict[str, Any]], bound: Bound) -> tuple[list[str], float]:
    """Sends every row by itself.

    (the first row answered differently, as a refusal; the greatest difference of log-odds).
    """
    refusals: list[str] = []
    greatest = 0.0
    for number, answer in enumerate(answers, start=1):
        [found] = server.ask({"signature_name": SIGNATURE, "instances": [answer["row"]]}).get(
            "predictions"
        ) or [None]
        progress.advance()
        got = found.get("probabilities") if isinstance(found, dict) else None
        if not isinstance(got, list) or len(got) != len(answer["probabilities"]):
            raise ServerError(
                f"the answer to row {number} of test has no {len(answer['probabilities'])}"
                f" probabilities: {str(found)[:200]}"
            )
        given, wanted = np.array([got], np.float64), np.array([answer["probabilities"]], np.float64)
        difference = float(rounding.log_odds_differences(given, wanted)[0])
        greatest = max(greatest, difference)
        if refusals:
            continue
        if not difference <= bound.tolerance:  # NaN, too
            moved = np.abs(given - wanted)[0]
            worst = int(np.argmax(np.where(np.isnan(moved), np.inf, moved)))
            refusals.append(
                f"row {number} of test: the server gives class {worst} the probability"
                f" {got[worst]}, the evaluator got {answer['probabilities'][worst]}: log-odds"
                f" {difference:.1e} apart, more than {bound}. {way_out(difference)}"
            )
        elif other := _other_label(found, answer, bound.tolerance):
            refusals.append(f"row {number} of test: {other}")
    return refusals, greatest


def way_out(difference: float) -> str:
    """What a person can do about answers that are further apart than rounding explains."""
    if np.isnan(difference):
        return (
            "The model's answers are no numbers: train it again with a lower trainer.learning_rate"
        )
    return (
        "Rounding does not explain it: the server computes another model than was evaluated, or"
        " its numbers are not float32. If such answers will do, --set"
        f" infra_validator.max_difference={2 * difference:.0e}"
    )


def _other_label(found: dict[str, Any], answer: dict[str, Any], tolerance: float) -> str | None:
    """What is wrong with a label.

    It may only differ from the evaluator's where the two best classes are as good as equal.
    """
    for name in ("label", "class_id"):
        if name not in answer or found.get(name) == answer[name]:
            continue
        first, second, *_ = [*sorted(answer["probabilities"], reverse=True), 0.0]
        if not np.log(first / max(second, rounding.SMALLEST)) <= tolerance:
            return (
                f"the server answers {name} {found.get(name)!r}, the evaluator got"
                f" {answer[name]!r}, with {first:.6g} against {second:.6g} for the next class: no"
                " rounding turns them around, the model's labels are in another order"
            )
    return None


def measure(server: Server, answers: list[dict[str, Any]], num_requests: int) -> list[float]:
    """Seconds that each of so many requests of one row took, one after the other over one
    connection.
    """
    found = []
    for answer in islice(cycle(answers), num_requests):
        started = time.perf_counter()
        server.ask({"signature_name": SIGNATURE, "instances": [answer["row"]]})
        found.append(time.perf_counter() - started)
        progress.advance()
    return found


def warmup_requests(path: Path) -> Iterator[dict[str, Any]]:
    """The predict requests of a warm-up file as the REST API takes them.

    Those of other APIs are the server's own business.
    """
    if not path.is_file():
        return
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for serialized in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(serialized)
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            inputs = {
                name: _as_json(tf.make_ndarray(tensor).tolist())
                for name, tensor in request.inputs.items()
            }
            yield {
                "signature_name": request.model_spec.signature_name or SIGNATURE,
                "inputs": inputs,
            }


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _ask_warmup(server: Server, number: int, request: dict[str, Any]) -> None:
    try:
        server.ask(request)
    except ServerError as error:
        raise ServerError(
            f"warm-up request {number} ({request['signature_name']}): {error}"
        ) from None
