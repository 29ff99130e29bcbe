"""Asks a running server what the evaluator asked the SavedModel, and measures it.

The server also gets the warm-up requests that are in the SavedModel.
"""

import base64
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
from seqline.data.answers import Answer, read_answers
from seqline.data.features import ANSWERS
from seqline.gates import Gate
from seqline.host import progress
from seqline.model import rounding
from seqline.model.identity import CARD, ModelCard
from seqline.storage import records

SERVER_LOG = "server.log"
# The requests that TensorFlow Serving sends to itself before a version is available.
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")
SIGNATURE = "serving_default"


def validate(
    model: Path, evaluation: Path, params: InfraValidatorParams, output: Path
) -> tuple[list[Gate], Figures]:
    """Starts a server and judges it. Writes server.log.

    Args:
        model: The SavedModel.
        evaluation: The Evaluation with the evaluator's answers.
        params: The server and its limits.
        output: The folder of server.log.

    Returns:
        (the gates, what was measured). Nothing is measured of a server that failed.
    """
    answers = read_answers(evaluation / ANSWERS)
    warmup = list(warmup_requests(model / WARMUP))
    log = output / SERVER_LOG
    tolerance = tolerance_of(model, params)
    # A limit is one of the server's own start.
    may_fork = params.max_load_seconds is None and params.max_rss_mb is None

    progress.tell("starting the server")
    try:
        with running(params.server, model, log, params.wait_seconds, may_fork) as server:
            num_requests = len(answers) + len(warmup) + params.num_requests
            progress.begin("asking the server", num_requests, "requests")
            refusals, difference = compare(server, answers, tolerance)

            for number, request in enumerate(warmup, start=1):
                _ask_warmup(server, number, request)
                progress.advance()

            latencies = measure(server, answers, params.num_requests)
            measured = {
                "num_rows": len(answers),
                "num_warmup": len(warmup),
                "num_requests": params.num_requests,
                "difference": difference,
                "tolerance": tolerance.value,
                "load_seconds": server.load_seconds,
                "p50_seconds": float(np.quantile(latencies, 0.5)),
                "p99_seconds": float(np.quantile(latencies, 0.99)),
                "rss_mb": server.peak_rss_mb(),
            }
    except ServerError as error:
        return [Gate("server", None, tolerance.value, False, str(error))], {}

    reason = "; ".join(refusals) or (
        f"{len(answers)} rows answered as by the evaluator, to {difference:.1e} of log-odds (at"
        f" most {tolerance})"
    )
    asked = Gate("server", difference, tolerance.value, not refusals, reason)
    return [asked, *gates.limits(measured, params)], measured


@dataclass(frozen=True)
class Tolerance:
    """The greatest allowed difference of log-odds from the evaluator's, and where it comes from."""

    value: float
    origin: str

    def __str__(self) -> str:
        return f"{self.value:g}: {self.origin}"


def tolerance_of(model: Path, params: InfraValidatorParams) -> Tolerance:
    """The setting, or else what the exporter wrote into the SavedModel."""
    if params.max_difference is not None:
        return Tolerance(params.max_difference, "infra_validator.max_difference")
    path = model / CARD
    card = records.of_artifact(ModelCard, path) if path.exists() else ModelCard()
    if "parity" in card:
        return Tolerance(card["parity"]["tolerance"], "the tolerance in the model's model.json")
    return Tolerance(rounding.UNKNOWN, "the model's model.json names no tolerance")


def compare(server: Server, answers: list[Answer], tolerance: Tolerance) -> tuple[list[str], float]:
    """Sends every row in a request of its own and compares the answers.

    Args:
        server: The server.
        answers: The evaluator's answers with their rows, as answers.jsonl has them.
        tolerance: The greatest allowed difference.

    Returns:
        (the refusal of the first row that is answered differently, if any; the greatest
        difference of log-odds).

    Raises:
        ServerError: The server does not answer with probabilities.
    """
    refusals: list[str] = []
    greatest = 0.0
    for number, answer in enumerate(answers, start=1):
        request = {"signature_name": SIGNATURE, "instances": [answer.row]}
        [prediction] = server.ask(request).get("predictions") or [None]
        progress.advance()

        wanted = answer.probabilities
        given = prediction.get("probabilities") if isinstance(prediction, dict) else None
        if not isinstance(given, list) or len(given) != len(wanted):
            raise ServerError(
                f"the answer to row {number} of test has no {len(wanted)} probabilities:"
                f" {str(prediction)[:200]}"
            )

        difference = float(
            rounding.log_odds_differences(
                np.array([given], np.float64), np.array([wanted], np.float64)
            )[0]
        )

        greatest = max(greatest, difference)
        if refusals:
            continue
        if not difference <= tolerance.value:  # NaN, too
            refusals.append(_moved(number, given, wanted, difference, tolerance))
        elif other := _other_label(prediction, answer, tolerance):
            refusals.append(f"row {number} of test: {other}")

    return refusals, greatest


def _moved(
    number: int, given: list[float], wanted: list[float], difference: float, tolerance: Tolerance
) -> str:
    """The refusal of a row, with the class whose probability differs most."""
    moved = np.abs(np.array(given, np.float64) - np.array(wanted, np.float64))
    worst = int(np.argmax(np.where(np.isnan(moved), np.inf, moved)))
    return (
        f"row {number} of test: the server gives class {worst} the probability {given[worst]}, the"
        f" evaluator got {wanted[worst]}: log-odds {difference:.1e} apart, more than {tolerance}."
        f" {way_out(difference)}"
    )


def way_out(difference: float) -> str:
    """Tells what to do about answers that are further apart than rounding explains."""
    if np.isnan(difference):
        return (
            "The model's answers are no numbers: train it again with a lower trainer.learning_rate"
        )

    return (
        "Rounding does not explain it: the server computes another model than was evaluated, or"
        " its numbers are not float32. If such answers will do, --set"
        f" infra_validator.max_difference={2 * difference:.0e}"
    )


def _other_label(prediction: dict[str, Any], answer: Answer, tolerance: Tolerance) -> str | None:
    """Tells what is wrong with the label of a row, if anything.

    It may differ from the evaluator's only if the two best classes are equal within the tolerance.
    """
    for name in ("label", "class_id"):
        wanted = getattr(answer, name)
        if wanted is None or prediction.get(name) == wanted:
            continue

        first, second, *_ = [*sorted(answer.probabilities, reverse=True), 0.0]
        if not np.log(first / max(second, rounding.SMALLEST)) <= tolerance.value:
            return (
                f"the server answers {name} {prediction.get(name)!r}, the evaluator got"
                f" {wanted!r}, with {first:.6g} against {second:.6g} for the next class: no"
                " rounding turns them around, the model's labels are in another order"
            )
    return None


def measure(server: Server, answers: list[Answer], num_requests: int) -> list[float]:
    """The latencies of `num_requests` requests of one row, in seconds.

    They are sent one after the other over one connection.
    """
    latencies = []
    for answer in islice(cycle(answers), num_requests):
        started = time.perf_counter()
        server.ask({"signature_name": SIGNATURE, "instances": [answer.row]})
        latencies.append(time.perf_counter() - started)
        progress.advance()
    return latencies


def warmup_requests(path: Path) -> Iterator[dict[str, Any]]:
    """The predict requests of a warm-up file, as the REST API takes them.

    Requests of other APIs are left to the server itself.
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
        return [_as_json(item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value


def _ask_warmup(server: Server, number: int, request: dict[str, Any]) -> None:
    try:
        server.ask(request)
    except ServerError as error:
        raise ServerError(
            f"warm-up request {number} ({request['signature_name']}): {error}"
        ) from None
