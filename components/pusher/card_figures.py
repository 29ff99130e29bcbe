"""What was measured, as a part of a model card."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.pusher.card_markdown import interval, number, table
from seqline.data.evaluation import Evaluation
from seqline.model.identity import ModelCard
from seqline.text import markdown

# Classes and slices that are listed, those with the most rows.
NUM_CLASSES = 50
NUM_SLICES = 50
MAJORITY = "majority class"


def figures(card: ModelCard, evaluation: Evaluation) -> Iterator[str]:
    """The lines of the part."""
    yield "## Figures"
    yield ""
    yield f"On {evaluation.num_rows:,} rows of the split test. Intervals are 95 % intervals."
    yield ""
    yield from table(["figure", "value", "interval"], list(_overall(evaluation)))
    yield from _served(evaluation.served)
    yield from _classes(card, evaluation.classes)
    yield from _slices(evaluation)
    yield from _calibration(evaluation)
    yield from _gates(evaluation)


def _overall(evaluation: Evaluation) -> Iterator[list[str]]:
    intervals = {
        "accuracy": evaluation.accuracy_interval,
        "macro_f1": evaluation.macro_f1_interval,
        "cross_entropy": evaluation.cross_entropy_interval,
    }
    names = {
        "accuracy": "accuracy",
        "macro_f1": "macro F1",
        "cross_entropy": "cross-entropy (nats)",
        "roc_auc": "ROC AUC, mean over the classes",
        "pr_auc": "average precision, mean over the classes",
        "ece": "expected calibration error",
    }
    for figure, name in names.items():
        value = getattr(evaluation, figure)
        yield [name, number(value), interval(intervals.get(figure))]
    for k, value in evaluation.top_k_accuracy.items():
        yield [f"top-{markdown(k, 10)} accuracy", number(value), "-"]
    for name, value in evaluation.baselines.items():
        what = "always the most frequent class" if name == MAJORITY else markdown(name, 60)
        yield [f"*baseline:* accuracy of {what}", number(value), "-"]


def _served(served: Mapping[str, Any] | None) -> Iterator[str]:
    if served is None:
        return
    yield ""
    yield (
        f"The version served before ({number(str(served.get('digest', ''))[:12])}) has an accuracy"
        f" of {number(served.get('accuracy'))} on the same rows: this one has"
        f" {number(served.get('num_gained'))} rows right that it had wrong, and"
        f" {number(served.get('num_lost'))} the other way round."
    )


def _classes(card: ModelCard, classes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    in_train = card.get("examples", {}).get("classes", {})
    listed = _largest(list(classes), [of.get("num_rows") for of in classes.values()], NUM_CLASSES)
    rows = [
        [
            markdown(label, 60),
            *(number(classes[label].get(name)) for name in ("precision", "recall", "f1")),
            number(in_train[label].get("train", 0) if label in in_train else None),
            number(classes[label].get("num_rows")),
        ]
        for label in listed
    ]
    yield ""
    yield "### Classes"
    yield ""
    yield from table(["class", "precision", "recall", "F1", "train rows", "test rows"], rows)
    yield from _and_more(len(classes) - len(rows), "classes")


def _slices(evaluation: Evaluation) -> Iterator[str]:
    # The accuracy of a label's rows is its recall, which the classes have.
    slices = [of for of in evaluation.slices if of.get("feature") != "label"]
    if not slices:
        return
    listed = _largest(list(range(len(slices))), [of.get("num_rows") for of in slices], NUM_SLICES)
    rows = []
    for place in listed:
        of = slices[place]
        name = f"{markdown(of.get('feature', ''), 40)} = {markdown(of.get('value', ''), 60)}"
        accuracy, ends = number(of.get("accuracy")), interval(of.get("accuracy_interval"))
        rows.append([name, number(of.get("num_rows")), accuracy, ends])
    yield ""
    yield "### Slices"
    yield ""
    yield from table(["slice", "rows", "accuracy", "interval"], rows)
    yield from _and_more(len(slices) - len(rows), "slices")


def _largest(names: Sequence[Any], counts: Sequence[Any], most: int) -> list[Any]:
    """The names with the highest counts, in their own order."""
    known = [count if isinstance(count, int) else 0 for count in counts]
    places = sorted(range(len(names)), key=lambda place: -known[place])[:most]
    return [names[place] for place in sorted(places)]


def _and_more(num_others: int, things: str) -> Iterator[str]:
    if num_others > 0:
        yield ""
        yield f"And {num_others:,} {things} with fewer rows, in assets.extra/evaluation.json."


def _calibration(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.calibration:
        return
    yield ""
    yield "### Calibration"
    yield ""
    yield "How often rows of a probability are right:"
    yield ""
    yield from table(
        ["probability of the answer", "rows", "mean probability", "accuracy", "interval"],
        [
            [
                interval([of.get("low"), of.get("high")]),
                number(of.get("num_rows")),
                number(of.get("confidence")),
                number(of.get("accuracy")),
                interval(of.get("accuracy_interval")),
            ]
            for of in evaluation.calibration
        ],
    )


def _gates(evaluation: Evaluation) -> Iterator[str]:
    judged = [gate for gate in evaluation.gates if gate.passed is not None]
    if not judged:
        return
    yield ""
    yield "### Gates"
    yield ""
    yield "The thresholds that it had to keep to be pushed, all of which it did:"
    yield ""
    for gate in judged:
        yield f"- {markdown(gate.name, 60)}: {markdown(gate.reason)}"
