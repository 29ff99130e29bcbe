"""The verdict on new spans.

Labels are judged by confident learning (C. Northcutt, L. Jiang and I. Chuang, Journal of Artificial
Intelligence Research 70, 2021): a class is claimed for a row where the model gives it at least the
probability that it gives, on average, to rows of that class; a label is contradicted where another
class has the strongest claim. A model that does not know a text claims nothing for it: news alone
contradict no label.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.span_validator import SpanValidatorParams
from components.span_validator.asking import Answers, SpanAsker, rows
from seqline.component import Figures
from seqline.data import features
from seqline.data.examples import Manifest, read_manifest
from seqline.gates import Gate

# Standard deviations that chance may do: one span in a thousand is beyond them.
CHANCE = 3
# With fewer rows of a class its own threshold says little, and that of all classes is taken; with
# fewer known rows nothing is compared.
FEW_ROWS = 10

Excess = tuple[
    float, float, int, str
]  # what is beyond the known spans' share, what is allowed, the span, in words


def judge(examples: Path, params: SpanValidatorParams) -> Figures:
    """{served, known, spans, gates, refused}. known.

    The figures of the spans before, None for too few rows. refused: span -> reason.
    """
    assert params.served_model is not None, "nothing is served"
    manifest = read_manifest(examples)
    model = SpanAsker(params.served_model)
    before = [span.number for span in manifest.spans if span.number not in params.new]
    held_out = model.ask(
        *rows(examples, manifest, before, (features.EVAL, features.TEST), params.num_rows)
    )
    thresholds = claims(held_out, model.labels) if len(held_out.labels) >= FEW_ROWS else None
    known = figures_of(held_out, model.labels, thresholds) if thresholds is not None else None
    spans = {}
    for number in params.new:
        if any(span.number == number for span in manifest.spans):
            answers = model.ask(
                *rows(examples, manifest, [number], features.SPLITS, params.num_rows)
            )
            spans[number] = figures_of(answers, model.labels, thresholds)
    gates, refused = _classes(manifest, model.labels, params)
    for name, field, threshold, what in (
        (
            "vocabulary_drift",
            "oov",
            params.max_oov_excess,
            "tokens {number} are unknown to the served vocabulary",
        ),
        (
            "label_noise",
            "noise",
            params.max_label_noise,
            "labels {number} are contradicted by the served model beyond doubt",
        ),
    ):
        gates.append(_excess(name, field, threshold, what, known, spans, refused))
    return {
        "served": params.served,
        "known": known,
        "spans": {str(number): found for number, found in spans.items()},
        "gates": [gate.to_json() for gate in gates],
        "refused": {str(number): "; ".join(reasons) for number, reasons in sorted(refused.items())},
    }


def claims(answers: Answers, classes: Sequence[str]) -> np.ndarray:
    """The probability from which on each class is claimed [classes].

    Its mean over the rows of the class.
    """
    table, labels = answers.table, np.array(answers.labels, object)
    own = {label: table[labels == label, place] for place, label in enumerate(classes)}
    every = np.concatenate(list(own.values()))
    mean = float(every.mean()) if len(every) else 1.0
    return np.array(
        [float(own[label].mean()) if len(own[label]) >= FEW_ROWS else mean for label in classes]
    )


def figures_of(answers: Answers, classes: Sequence[str], thresholds: np.ndarray | None) -> Figures:
    """num_rows.

    Oov: share of tokens, None without any; noise: share of contradicted labels among those the
    model knows; accuracy.
    """
    table = answers.table
    place = {label: number for number, label in enumerate(classes)}
    truth = np.array([place.get(label, -1) for label in answers.labels], np.int64)
    asked = truth >= 0
    found: Figures = {
        "num_rows": len(truth),
        "oov": answers.num_unknown / answers.num_tokens if answers.num_tokens else None,
        "accuracy": (
            float((table[asked].argmax(axis=1) == truth[asked]).mean()) if asked.any() else None
        ),
        "noise": None,
    }
    if thresholds is not None and asked.any():
        claimed = np.where(table[asked] >= thresholds, table[asked], -1.0)
        contradicted = (claimed.max(axis=1) >= 0) & (claimed.argmax(axis=1) != truth[asked])
        found["noise"] = float(contradicted.mean())
    return found


def _classes(
    manifest: Manifest, classes: Sequence[str], params: SpanValidatorParams
) -> tuple[list[Gate], dict[int, list[str]]]:
    """Classes that the served model does not know, and those that no row of train has any more."""
    refused: dict[int, list[str]] = {}
    came: Counter[str] = Counter()
    where: dict[str, set[int]] = {}
    train: set[str] = set()
    for span in manifest.spans:
        train |= {label for label, count in span.num_rows.get(features.TRAIN, {}).items() if count}
        for counts in span.num_rows.values():
            for label, count in counts.items():
                if label not in classes and label not in params.classes and count:
                    came[label] += count
                    where.setdefault(label, set()).add(span.number)
    gone = sorted(set(classes) - train - set(params.classes))
    reasons = []
    for label, count in came.most_common():
        spans = sorted(where[label])
        reason = (
            f"the class {label!r} is new ({count:,} rows of {_named(spans)}) and the served model"
            " never heard of it"
        )
        reasons.append(reason)
        for number in spans:
            refused.setdefault(number, []).append(reason)
    reasons += [
        f"no row of train has the class {label!r} any more, which the served model knows"
        for label in gone
    ]
    if reasons:
        names = ", ".join(repr(label) for label in [*came, *gone])
        reasons[-1] += f". Correct the labels, or allow it: span_validator.classes = [{names}]"
    gate = Gate(
        "classes",
        len(reasons),
        0,
        not reasons,
        "; ".join(reasons) or "the classes are those of the served model",
    )
    return [gate], refused


def _named(spans: Sequence[int]) -> str:
    return ("span " if len(spans) == 1 else "spans ") + ", ".join(map(str, spans))


def _excess(
    name: str,
    field: str,
    threshold: float,
    what: str,
    known: Figures | None,
    spans: Mapping[int, Figures],
    refused: dict[int, list[str]],
) -> Gate:
    """The span that is furthest beyond the share of the known spans.

    Adds to `refused` every span that is too far beyond it.
    """
    if known is None or known[field] is None:
        reason = (
            "no earlier rows to compare with" if known is None else "the model has no vocabulary"
        )
        return Gate.not_judged(name, reason, threshold=threshold)
    base = known[field]
    found: list[Excess] = []
    for number, figures in spans.items():
        if figures[field] is None:
            continue
        pooled = max(
            0.001,
            (base * known["num_rows"] + figures[field] * figures["num_rows"])
            / (known["num_rows"] + figures["num_rows"]),
        )
        chance = CHANCE * math.sqrt(
            pooled * (1 - pooled) * (1 / known["num_rows"] + 1 / figures["num_rows"])
        )
        words = (
            f"{figures[field]:.1%} of the {what.format(number=f'of span {number}')}, {base:.1%} in"
            " the spans before"
        )
        found.append((figures[field] - base, threshold + chance, number, words))
        if figures[field] - base > threshold + chance:
            refused.setdefault(number, []).append(words)
    if not found:
        return Gate.not_judged(name, "no row to compare", threshold=threshold)
    excess, allowed, number, words = max(found, key=lambda each: each[0] - each[1])
    passed = excess <= allowed
    verdict = (
        f"within span_validator.{_field(name)} {threshold}"
        if passed
        else f"beyond span_validator.{_field(name)} {threshold}"
    )
    way_out = (
        ""
        if passed
        else f" (and chance). Correct the span, or let it in: retrain.accept = [{number}]"
    )
    return Gate(name, excess, threshold, passed, f"{words}: {verdict}{way_out}")


def _field(name: str) -> str:
    return {"vocabulary_drift": "max_oov_excess", "label_noise": "max_label_noise"}[name]
