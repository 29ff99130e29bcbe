"""The configuration that `seqline init` writes.

What it found, and a threshold for every gate, each with its reason.
"""

import json
import math
from importlib.util import find_spec

from pipeline.init.choose import Choice, quantile
from pipeline.init.look import Found

# Defaults of the settings that are written only where the data ask for another value.
MAX_LENGTH = 256
MAX_MAX_LENGTH = 512
# A gate against the linear model needs scikit-learn.
# Fewer rows than this, a fifth of which is test, measure the difference of two models badly.
FEW_ROWS = 5000
# Accuracy over always answering the most frequent class; beside a class as frequent as this one,
# the best model gains a tenth at most.
GAIN, SMALL_GAIN, FREQUENT = 0.01, 0.001, 0.9
LINEAR = "sklearn"


def toml(found: Found, choice: Choice, name: str) -> str:
    """The file's text. choice: with the columns that were decided on."""
    lines = [
        f"# Written by `seqline init` for {_source(found)}: {_rows(found)}.",
        (
            "# Every value can be changed, or removed for its default. `seqline run THIS_FILE`"
            " trains, tests and publishes a model."
        ),
        "",
        (
            "# The model's name: its versions lie under it, and only versions of the same name are"
            " compared."
        ),
        f"name = {_string(name)}",
        "",
        "[example_gen]",
        (
            "# The labelled data: a file, a glob, a folder of <class>/*.txt, or {train = ..., test"
            " = ...}. Without a test file, rows are set"
        ),
        "# aside for it.",
        (
            "source ="
            f" {_table(found.source) if isinstance(found.source, dict) else _string(found.source)}"
        ),
    ]
    if not found.has_classes:
        lines += _columns(found, choice)
    if found.encoding != "utf-8":
        lines += [
            "# The encoding of the file; it is not UTF-8.",
            f"encoding = {_string(found.encoding)}",
        ]
    if found.delimiter != ",":
        lines += ["# What separates the columns.", f"delimiter = {_string(found.delimiter)}"]
    lines += _reading_of_texts(choice)
    return "\n".join([*lines, *_gates(found, choice)]) + "\n"


def _columns(found: Found, choice: Choice) -> list[str]:
    others = [name for name in choice.texts if name != choice.text]
    lines = [
        f"# The column with the content{f' (or: {_listed(others)})' if others else ''}.",
        f"text = {_string(choice.text or '')}",
        f"# The column with the label: {_shares(choice)}.",
    ]
    lines += [
        f"# It could also be {_string(name)}, which has {len(counts)} values."
        for name, counts in choice.labels
        if name != choice.label
    ]
    lines.append(f"label = {_string(choice.label or '')}")
    if choice.contents.content != "text":
        held = "lists of tokens" if choice.contents.content == "tokens" else "sequences of numbers"
        lines += [f"# Rows hold {held}, not text.", f"content = {_string(choice.contents.content)}"]
    if choice.contents.dim:
        lines += [
            "# Numbers of one time step; the lists are flat. Set it to how many belong together.",
            f"dim = {choice.contents.dim}",
        ]
    return lines


def _reading_of_texts(choice: Choice) -> list[str]:
    lines = []
    if choice.characters:
        why = (
            "The script has no spaces between words"
            if quantile(choice.lengths, 0.5) > 30
            else "The texts are single words"
        )
        lines += [f"# {why}, so that characters are the tokens.", 'tokens = "char"']
    long = quantile(choice.lengths, 0.95)
    if long > MAX_LENGTH:
        length = min(MAX_MAX_LENGTH, math.ceil(long / 64) * 64)
        lines += [
            (
                "# Tokens of a row that are used; the rest is cut off. Of 20 rows one is longer"
                f" than {long:,}. Longer costs time."
            ),
            f"max_length = {length}",
        ]
    return ["", "[transform]", *lines] if lines else []


def _gates(found: Found, choice: Choice) -> list[str]:
    """A threshold for each gate, relative to what a guess reaches.

    Nobody knows yet what a good model of these data reaches.
    """
    counts = choice.counts
    total, num_classes = max(1, sum(counts.values())), max(2, len(counts))
    # Where only a part was read, its shares are not those of the whole: a file may be sorted by
    # label.
    share = max(counts.values(), default=1) / total if found.whole else 1 / num_classes
    # Accuracy of a model that always says the most frequent class, and its macro F1: its F1 is 2 s
    # / (1 + s) for that class, else 0.
    guess = _floor(share)
    guess_f1 = _floor(2 * share / (1 + share) / num_classes)
    num_rows = found.num_rows
    is_small = num_rows < 1000
    lines = [
        "",
        (
            "# The gates: a model that fails one of them is not published. These are low bars, by"
            " what guessing reaches; raise them once you"
        ),
        (
            "# know what a good model of your data reaches. `seqline retrain` asks for a threshold"
            " of each."
        ),
        "[evaluator]",
        (
            "# Accuracy on the test split, at least. Always answering the most frequent class"
            f" reaches {'' if found.whole else 'at least '}{share:.2f}."
        ),
        f"min_accuracy = {guess}",
        "# How much better than that the model is, at least.",
        f"min_gain_over_majority = {GAIN if share < FREQUENT else SMALL_GAIN}",
        (
            "# The mean of the classes' F1, at least. Always answering the most frequent class"
            f" reaches {guess_f1}."
        ),
        f"min_macro_f1 = {guess_f1}",
        (
            f"# Cross-entropy in nats, at most. Giving all {num_classes} classes the same"
            f" probability reaches {math.log(num_classes):.2f}."
        ),
        f"max_cross_entropy = {_ceil(math.log(num_classes))}",
        "# How far probabilities may be from how often they are right (expected calibration error)"
        + ("; few rows measure it badly." if is_small else "."),
        f"max_ece = {0.3 if is_small else 0.2}",
        (
            "# Accuracy of every class and length with 50 test rows or more, at least: half of what"
            " a guess among the classes reaches."
        ),
        f"min_slice_accuracy = {_floor(0.5 / num_classes)}",
        "# Accuracy that may be lost against the version that is served. Chance is allowed for.",
        "max_loss_of_accuracy = 0.0",
    ]
    linear = [
        "# Accuracy beside a linear model (tf-idf and logistic regression): how much less is"
        " allowed, as a negative number."
    ]
    if find_spec(LINEAR):
        # Two models that differ on a fifth of the rows: two standard errors are .045 with 400 test
        # rows, .03 with 1,000.
        lines += [*linear, f"min_gain_over_linear = {-0.1 if num_rows < FEW_ROWS else -0.05}"]
    lines += [
        "",
        "[infra_validator]",
        (
            "# Seconds that a request may take: 99 of 100 are faster. The model is asked as a"
            " server will ask it."
        ),
        "max_p99_seconds = 2.0",
        "# Size of the model's files in MB, at most.",
        "max_model_mb = 200.0",
    ]
    if not find_spec(LINEAR):
        lines += [
            "",
            "[retrain]",
            (
                "# Gates without a threshold. The linear model needs scikit-learn (pip install"
                " scikit-learn): with it, remove this line and set"
            ),
            "# evaluator.min_gain_over_linear = -0.05.",
            'without = ["gain_over_linear"]',
        ]
    return lines


def _source(found: Found) -> str:
    return found.source if isinstance(found.source, str) else " and ".join(found.source.values())


def _rows(found: Found) -> str:
    return (
        f"{found.num_rows:,} rows"
        if found.whole
        else f"the first {found.num_rows:,} rows were looked at"
    )


def _shares(choice: Choice) -> str:
    counts = choice.counts
    shown = ", ".join(f"{_string(label)} {count:,}" for label, count in counts.most_common(8))
    return f"{len(counts)} classes: {shown}" + (
        f", and {len(counts) - 8} more" if len(counts) > 8 else ""
    )


def _listed(names: list[str]) -> str:
    return ", ".join(map(_string, names))


def _floor(value: float) -> float:
    return math.floor(value * 100) / 100


def _ceil(value: float) -> float:
    return math.ceil(value * 100) / 100


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(source: dict[str, str]) -> str:
    return "{" + ", ".join(f"{split} = {_string(path)}" for split, path in source.items()) + "}"
