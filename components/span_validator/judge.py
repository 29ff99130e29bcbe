"""Judges new spans.

Labels are judged by confident learning (C. Northcutt, L. Jiang and I. Chuang, Journal of Artificial
Intelligence Research 70, 2021). A class is claimed for a row to which the model gives at least the
probability that it gives, on average, to rows of that class. A label is contradicted if another
class has the strongest claim. A model claims nothing for a text that it does not know, so news
alone contradict no label.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.span_validator import SpanValidatorParams
from components.span_validator.asking import Answers, SpanAsker, rows
from seqline.component import Figures
from seqline.data import features
from seqline.data.manifest import Manifest, read_manifest
from seqline.gates import Gate
from seqline.model.served import has_class

# Standard deviations of the difference of two shares that are put down to chance. One span in a
# thousand differs by more.
CHANCE = 3
# A class with fewer rows has no threshold of its own and gets that of all classes. With fewer known
# rows nothing is compared.
FEW_ROWS = 10
# The least share with which chance is estimated: a share of 0 would leave no room for it.
LEAST_SHARE = 0.001


@dataclass(frozen=True)
class ShareRule:
    """A share of a span that may exceed that of the known spans by a threshold, and by chance.

    Attributes:
        gate: The name of the gate.
        figure: The name of the figure that holds the share.
        setting: The parameter that holds the threshold.
        words: What the share is of, with {number} for the span.
    """

    gate: str
    figure: str
    setting: str
    words: str


SHARE_RULES = (
    ShareRule(
        "vocabulary_drift",
        "oov",
        "max_oov_excess",
        "tokens {number} are unknown to the served vocabulary",
    ),
    ShareRule(
        "label_noise",
        "noise",
        "max_label_noise",
        "labels {number} are contradicted by the served model beyond doubt",
    ),
)

# span -> the reasons to refuse it.
Refused = dict[int, list[str]]


def judge(examples: Path, params: SpanValidatorParams) -> Figures:
    """Asks the served model about the new spans and the known ones.

    Returns:
        {served: the digest of the served version; known: the figures of the known spans, or None
        if they have too few rows; spans: span -> its figures; gates; refused: span -> reason}.
    """
    assert params.served_model is not None, "nothing is served"
    manifest = read_manifest(examples)
    model = SpanAsker(params.served_model)

    earlier = [span.number for span in manifest.spans if span.number not in params.new]
    held_out = model.ask(
        *rows(examples, manifest, earlier, (features.EVAL, features.TEST), params.num_rows)
    )
    thresholds = known = None
    if len(held_out.labels) >= FEW_ROWS:
        thresholds = claims(held_out, model.labels)
        known = figures_of(held_out, model.labels, thresholds)

    present = {span.number for span in manifest.spans}
    spans = {}
    for number in params.new:
        if number in present:
            answers = model.ask(
                *rows(examples, manifest, [number], features.SPLITS, params.num_rows)
            )
            spans[number] = figures_of(answers, model.labels, thresholds)

    refused: Refused = {}
    gates = [_classes(manifest, model.labels, params, refused)]
    for rule in SHARE_RULES:
        gates.append(_excess(rule, getattr(params, rule.setting), known, spans, refused))

    return {
        "served": params.served,
        "known": known,
        "spans": {str(number): figures for number, figures in spans.items()},
        "gates": [gate.to_json() for gate in gates],
        "refused": {str(number): "; ".join(reasons) for number, reasons in sorted(refused.items())},
    }


def claims(answers: Answers, classes: Sequence[str]) -> np.ndarray:
    """The probability from which each class is claimed, [classes].

    It is the mean probability of the class in the rows of the class, or that of all classes
    together for a class with few rows.
    """
    table, labels = answers.table, np.array(answers.labels, object)
    if len(table):
        answered = has_class(table)
        table, labels = table[answered], labels[answered]
    own = {label: table[labels == label, column] for column, label in enumerate(classes)}
    of_all = np.concatenate(list(own.values()))
    mean = float(of_all.mean()) if len(of_all) else 1.0
    return np.array(
        [float(own[label].mean()) if len(own[label]) >= FEW_ROWS else mean for label in classes]
    )


def figures_of(answers: Answers, classes: Sequence[str], thresholds: np.ndarray | None) -> Figures:
    """The figures of some rows.

    Args:
        answers: The rows with the answers of the served model.
        classes: The labels of the served model.
        thresholds: See `claims`; None if there are too few known rows.

    Returns:
        {num_rows; oov: share of unknown tokens, None without tokens; accuracy and noise (share of
        contradicted labels) among the rows that have an answer and whose label the model knows,
        None without such rows}.
    """
    table = answers.table
    class_of = {label: number for number, label in enumerate(classes)}
    truth = np.array([class_of.get(label, -1) for label in answers.labels], np.int64)
    known = truth >= 0
    if len(table):
        known &= has_class(table)
    figures: Figures = {
        "num_rows": len(truth),
        "oov": answers.num_unknown / answers.num_tokens if answers.num_tokens else None,
        "accuracy": None,
        "noise": None,
    }
    if not known.any():
        return figures

    probabilities, truth = table[known], truth[known]
    figures["accuracy"] = float((probabilities.argmax(axis=1) == truth).mean())
    if thresholds is not None:
        claimed = np.where(probabilities >= thresholds, probabilities, -1.0)
        contradicted = (claimed.max(axis=1) >= 0) & (claimed.argmax(axis=1) != truth)
        figures["noise"] = float(contradicted.mean())
    return figures


def _classes(
    manifest: Manifest, classes: Sequence[str], params: SpanValidatorParams, refused: Refused
) -> Gate:
    """Refuses classes that the served model does not know, and those that left train.

    Adds every span with an unknown class to `refused`.
    """
    num_rows: Counter[str] = Counter()
    spans_of: dict[str, set[int]] = {}
    in_train: set[str] = set()

    for span in manifest.spans:
        train = span.num_rows.get(features.TRAIN, {})
        in_train |= {label for label, count in train.items() if count}
        for counts in span.num_rows.values():
            for label, count in counts.items():
                if label not in classes and label not in params.classes and count:
                    num_rows[label] += count
                    spans_of.setdefault(label, set()).add(span.number)

    reasons = []
    for label, count in num_rows.most_common():
        spans = sorted(spans_of[label])
        reason = (
            f"the class {label!r} is new ({count:,} rows of {_named(spans)}) and the served model"
            " never heard of it"
        )
        reasons.append(reason)
        for number in spans:
            refused.setdefault(number, []).append(reason)

    gone = sorted(set(classes) - in_train - set(params.classes))
    for label in gone:
        reasons.append(
            f"no row of train has the class {label!r} any more, which the served model knows"
        )

    if reasons:
        names = ", ".join(repr(label) for label in [*num_rows, *gone])
        reasons[-1] += f". Correct the labels, or allow it: span_validator.classes = [{names}]"

    reason = "; ".join(reasons) or "the classes are those of the served model"
    return Gate("classes", len(reasons), 0, not reasons, reason)


def _named(spans: Sequence[int]) -> str:
    return ("span " if len(spans) == 1 else "spans ") + ", ".join(map(str, spans))


def _excess(
    rule: ShareRule,
    threshold: float,
    known: Figures | None,
    spans: Mapping[int, Figures],
    refused: Refused,
) -> Gate:
    """Judges the span whose share is furthest above that of the known spans.

    Adds every span whose share is too far above it to `refused`.
    """
    if known is None:
        return Gate.not_judged(rule.gate, "no earlier rows to compare with", threshold=threshold)

    known_share = known[rule.figure]
    if known_share is None:
        return Gate.not_judged(rule.gate, "the model has no vocabulary", threshold=threshold)

    judged: list[tuple[float, float, int, str]] = []  # (excess, allowed excess, span, in words)
    for number, figures in spans.items():
        share = figures[rule.figure]
        if share is None:
            continue

        excess, allowed = share - known_share, threshold + _chance(known, figures, rule.figure)
        words = (
            f"{share:.1%} of the {rule.words.format(number=f'of span {number}')}, {known_share:.1%}"
            " in the spans before"
        )
        judged.append((excess, allowed, number, words))
        if excess > allowed:
            refused.setdefault(number, []).append(words)

    if not judged:
        return Gate.not_judged(rule.gate, "no row to compare", threshold=threshold)

    excess, allowed, number, words = max(judged, key=lambda span: span[0] - span[1])
    setting = f"span_validator.{rule.setting} {threshold}"
    if excess <= allowed:
        return Gate(rule.gate, excess, threshold, True, f"{words}: within {setting}")

    reason = (
        f"{words}: beyond {setting} (and chance). Correct the span, or let it in: retrain.accept ="
        f" [{number}]"
    )
    return Gate(rule.gate, excess, threshold, False, reason)


def _chance(known: Figures, span: Figures, figure: str) -> float:
    """How far two samples with the same share may differ by chance."""
    num_known, num_rows = known["num_rows"], span["num_rows"]
    pooled = (known[figure] * num_known + span[figure] * num_rows) / (num_known + num_rows)
    pooled = max(LEAST_SHARE, pooled)
    return CHANCE * math.sqrt(pooled * (1 - pooled) * (1 / num_known + 1 / num_rows))
