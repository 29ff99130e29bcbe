"""Compares the answers of an export with those of the trained network, row by row."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.exporter import ExporterParams
from components.exporter.parity_rows import ParityRows, short
from seqline.component import Figures
from seqline.data import features
from seqline.errors import NotBlessedError
from seqline.model import rounding

# How far probabilities may be off with narrow tables; how far they are is in the figures.
TOLERANCES = {"bfloat16": 0.1, "int8": 0.1}
# int16 tables are held to log-odds, as float32 ones: so much moves a probability by 0.0025.
MOST_INT16 = rounding.MOST
SIGNATURES = ("transform_features", "serving_default", "serving_examples", "serving_fast")

UNFINISHED = "Nothing was exported."


class ParityError(NotBlessedError):
    """The export does not answer as the network was trained; it is not finished."""


class NarrowTablesError(ParityError):
    """Tables of fewer bits than float32 change the answers by too much."""


@dataclass(frozen=True)
class Bound:
    """How far answers may differ.

    Attributes:
        tolerance: the largest difference that is accepted.
        of_log_odds: whether it is one of log-odds; otherwise of probabilities.
        origin: where the tolerance comes from, for errors.
        noise: of the trained network, float32 against float64, in log-odds.
        is_narrow: whether tables have fewer bits than float32.
    """

    tolerance: float
    of_log_odds: bool
    origin: str
    noise: float
    is_narrow: bool = False

    def error(self, message: str) -> ParityError:
        """The error of a difference above the tolerance."""
        return NarrowTablesError(message) if self.is_narrow else ParityError(message)

    def way_out(self, difference: float) -> str:
        """Says how to proceed after a difference above the tolerance."""
        accept = f"--set exporter.parity_tolerance={2 * difference:.0e}"
        if self.is_narrow:
            return "Export with --set exporter.table_dtype=float32."
        if not np.isfinite(difference):
            return (
                "A weight of the Model is not a finite number: train with a lower"
                " trainer.learning_rate or with trainer.clip_norm. Or the numbers of the row are"
                " too large for the network: leave it out of the source."
            )

        if rounding.FACTOR * self.noise > rounding.MOST:
            return (
                f"This network amplifies rounding: by itself it answers {self.noise:.1e} apart in"
                " float32 and float64, so that a server's answers would change with the batch."
                " Train with a smaller trainer.recurrent_gain, a lower trainer.learning_rate,"
                f" trainer.pooling max or mean, or a shorter transform.max_length; {accept} exports"
                " it nevertheless."
            )

        return (
            f"Rounding does not explain it: the network's own is {self.noise:.1e}. Please report it"
            f" with the Model; if you accept such answers, {accept} exports it."
        )


def bound_of(params: ExporterParams, noise: float) -> Bound:
    """The bound of an export.

    A constant for narrow tables; otherwise the setting, or what follows from the network's noise.
    """
    if params.tables in TOLERANCES:
        origin = f"what {params.tables} tables may change"
        return Bound(TOLERANCES[params.tables], False, origin, noise, is_narrow=True)
    if params.tables == "int16":
        tolerance = max(rounding.tolerance(noise), MOST_INT16)
        return Bound(tolerance, True, "what int16 tables may change", noise, is_narrow=True)
    if params.parity_tolerance is not None:
        return Bound(params.parity_tolerance, True, "exporter.parity_tolerance", noise)
    return Bound(rounding.tolerance(noise), True, rounding.origin(noise), noise)


def of_answers(params: ExporterParams, noise: float) -> float:
    """How far the answers of two servers of one export may differ, in log-odds.

    Narrow tables change nothing here: both servers have the same.
    """
    return params.parity_tolerance or rounding.tolerance(noise)


def compare(
    rows: ParityRows,
    transformed: dict[str, np.ndarray],
    probabilities: np.ndarray,
    answers: dict[str, np.ndarray],
    params: ExporterParams,
    noise: float,
) -> Figures:
    """Compares what an export answers with what the Features and the trained network say.

    Args:
        transformed: feature -> what the Features hold, [rows, ...], padded.
        probabilities: of the trained network, [rows, num_classes].
        answers: "signature.output" -> [rows, ...] of the export.
        noise: of the trained network, float32 against float64 (`seqline.model.rounding`).

    Returns:
        table_dtype, num_rows, and the largest differences with their tolerance; with narrow tables
        also the `cost`.

    Raises:
        ParityError: for the first row with other ids (values), length or label, then with other
            probabilities.
    """
    _compare_features(rows, transformed, answers)

    bound = bound_of(params, noise)
    figures: Figures = {
        "table_dtype": params.tables,
        "num_rows": len(rows.places),
        "max_difference": 0.0,
        "difference": 0.0,
    }

    for signature in SIGNATURES[1:]:
        got = answers[f"{signature}.probabilities"]
        moved = np.abs(got - probabilities).max(axis=1)  # [rows]
        difference = moved
        if bound.of_log_odds:
            difference = rounding.log_odds_differences(got, probabilities)
        _check_probabilities(rows, signature, got, probabilities, difference, bound)
        _check_labels(rows, signature, answers, probabilities, bound)
        figures["max_difference"] = max(figures["max_difference"], float(moved.max()))
        figures["difference"] = max(figures["difference"], float(difference.max()))

    figures |= {"tolerance": bound.tolerance, "noise": noise}
    if params.tables != "float32":
        narrow = answers["serving_default.probabilities"]
        figures |= cost(rows, transformed[features.LABEL], probabilities, narrow)
    return figures


def _compare_features(
    rows: ParityRows, transformed: dict[str, np.ndarray], answers: dict[str, np.ndarray]
) -> None:
    for name, wanted in transformed.items():
        got = answers[f"transform_features.{name}"]
        for number, (held, read) in enumerate(_pairs(wanted, got)):
            if not np.array_equal(held, read):
                raise ParityError(
                    f"{_place(rows, number)}: the export reads {name} {short(read)}; the Features"
                    f" hold {short(held)}. This is not rounding, and no setting accepts it: the"
                    f" export reads text differently from the transform. {UNFINISHED}"
                )


def _check_probabilities(
    rows: ParityRows,
    signature: str,
    got: np.ndarray,
    probabilities: np.ndarray,
    difference: np.ndarray,
    bound: Bound,
) -> None:
    wrong = np.flatnonzero(~(difference <= bound.tolerance))  # NaN, too
    if not len(wrong):
        return

    number = int(wrong[0])
    raise bound.error(
        f"{_place(rows, number)}: {signature} of the export gives probabilities"
        f" {_digits(got[number], probabilities[number])}; the trained network gives"
        f" {_digits(probabilities[number], got[number])};"
        f" {'their log-odds' if bound.of_log_odds else 'they'} are {difference[number]:.1e}"
        f" apart, more than {bound.tolerance:g} ({bound.origin})."
        f" {bound.way_out(float(difference.max()))} {UNFINISHED}"
    )


def _check_labels(
    rows: ParityRows,
    signature: str,
    answers: dict[str, np.ndarray],
    probabilities: np.ndarray,
    bound: Bound,
) -> None:
    """Refuses a label that is not its class's name, or not the trained network's clear answer."""
    if f"{signature}.class_id" not in answers:
        return

    class_ids, labels = answers[f"{signature}.class_id"], answers[f"{signature}.label"]
    wanted = probabilities.argmax(axis=1)  # [rows]
    ahead = np.zeros(len(wanted))  # Narrow tables may move both of the best by the tolerance.
    if bound.of_log_odds:
        ahead = rounding.margins(probabilities, class_ids)

    pairs = zip(class_ids.tolist(), labels.tolist(), strict=True)
    for number, (class_id, label) in enumerate(pairs):
        if label != rows.labels[class_id]:
            raise ParityError(
                f"{_place(rows, number)}: {signature} of the export gives class_id {class_id} the"
                f" label {_text(label)!r}; the Features call it {_text(rows.labels[class_id])!r}."
                " This is not rounding, and no setting accepts it: the export's labels are in"
                f" another order. {UNFINISHED}"
            )

        if not ahead[number] <= bound.tolerance:
            best = int(wanted[number])
            raise bound.error(
                f"{_place(rows, number)}: {signature} of the export answers {_text(label)!r}; the"
                f" trained network answers {_text(rows.labels[best])!r},"
                f" {probabilities[number, best]:.6g} against {probabilities[number, class_id]:.6g}:"
                f" log-odds {ahead[number]:.1e} apart, more than {bound.tolerance:g}"
                f" ({bound.origin}). {bound.way_out(float(ahead.max()))} {UNFINISHED}"
            )


def cost(
    rows: ParityRows, label: np.ndarray, probabilities: np.ndarray, narrow: np.ndarray
) -> Figures:
    """Measures what narrow tables change on the rows of eval: accuracy and labels.

    Args:
        label: the class ids of the rows, [rows].
        probabilities: of the trained network, [rows, num_classes].
        narrow: of the export, [rows, num_classes].
    """
    measured = np.array([split == rows.places[0][0] for split, _, _ in rows.places])
    before, after = probabilities[measured].argmax(axis=1), narrow[measured].argmax(axis=1)
    label = label[measured]
    return {
        "accuracy_float32": float((before == label).mean()),
        "accuracy_change": float((after == label).mean() - (before == label).mean()),
        "num_other_labels": int((before != after).sum()),
        "num_measured": int(measured.sum()),
    }


def _pairs(wanted: np.ndarray, got: np.ndarray) -> Iterator[tuple[Any, Any]]:
    """Row by row, both padded to the wider one."""
    if wanted.ndim > 1:
        width = max(wanted.shape[1], got.shape[1])
        wanted, got = (
            np.pad(rows, [(0, 0), (0, width - rows.shape[1])] + [(0, 0)] * (rows.ndim - 2))
            for rows in (wanted, got)
        )
    return zip(wanted, got, strict=True)


def _place(rows: ParityRows, number: int) -> str:
    return f"Parity fails at {rows.describe(number)}"


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _digits(row: np.ndarray, other: np.ndarray) -> str:
    """The probabilities of a row around the class that differs most from another row's.

    With eight digits, because rounding shows in the last.
    """
    worst = int(np.argmax(np.nan_to_num(np.abs(row - other), nan=np.inf)))
    first = max(0, worst - 1)
    shown = ", ".join(f"{value:.8g}" for value in row[first : worst + 2].tolist())
    return f"[{'... ' if first else ''}{shown}{' ...' if worst + 2 < len(row) else ''}]"
