"""The configuration that `seqline init` writes: each value with a comment that gives its reason."""

import json
import math
import textwrap
from importlib.util import find_spec

from components import transform
from pipeline.init import layout
from pipeline.init.choose import Choice, quantile
from pipeline.init.inspection import Inspection

# Columns of the file, at most, except for long names of the user's.
WIDTH = 100
# The greatest max_length that the transform takes from the data, and the greatest that is written.
MAX_LENGTH = transform.MOST_FROM_DATA
MAX_MAX_LENGTH = 512
# Fewer rows than this, a fifth of which is test, measure the difference of two models badly.
FEW_ROWS = 5000
# The gain in accuracy over always answering the most frequent class. Where that class has a share
# of FREQUENT or more, the best model gains a tenth at most.
GAIN, SMALL_GAIN, FREQUENT = 0.01, 0.001, 0.9
# The gate against the linear model needs scikit-learn.
LINEAR = "sklearn"


def toml(inspected: Inspection, choice: Choice, name: str) -> str:
    """The text of the configuration.

    Args:
        inspected: The data.
        choice: The columns of content and label, both of which are chosen.
        name: The model's name.
    """
    lines = [
        *_comment(f"Written by `seqline init` for {_source(inspected)}: {_rows(inspected)}."),
        *_comment(
            "Every value can be changed, or removed for its default. "
            "`seqline run THIS_FILE` trains, tests and publishes a model."
        ),
        "",
        *_comment(
            "The model's name: its versions are kept under it, and only versions of the same name"
            " are compared."
        ),
        f"name = {_string(name)}",
        "",
        *_example_gen(inspected, choice),
        *_transform(choice),
        "",
        *_comment(
            "The gates: a model that fails one of them is not published. "
            "These thresholds are low: about what guessing reaches. "
            "Raise them once you know what a good model of your data reaches. "
            "`seqline retrain` requires a threshold for each."
        ),
        *_evaluator(inspected, choice),
        "",
        *_infra_validator(),
        *_retrain(),
    ]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _example_gen(inspected: Inspection, choice: Choice) -> list[str]:
    source = inspected.source
    lines = [
        "[example_gen]",
        *_comment(
            "The labelled data: a file, a glob, a folder, or {train = ..., test = ...}. Without"
            " test data, rows are set aside for them."
        ),
        f"source = {_table(source) if isinstance(source, dict) else _string(source)}",
    ]

    if not inspected.has_classes:
        lines += _columns(choice)
    lines += _reading(inspected)
    for note in choice.notes:
        lines += _comment(f"Note: {note}")
    return lines


def _reading(inspected: Inspection) -> list[str]:
    """How the rows are read, where that is not the default."""
    guess = ""
    if inspected.encoding in (layout.OTHER_ENCODING, "latin-1"):
        guess = " It is a guess: see whether accents are right."
    reasons = {
        "encoding": f"The encoding of the text, which is not UTF-8.{guess}",
        "delimiter": "What separates the columns.",
        "quoting": "Quotes do not enclose fields: they are part of the text.",
        "columns": "The names of the columns, in order: the file has no header, and these are made"
        " up.",
    }
    lines = []
    for name, value in inspected.reading().items():
        shown = f"[{_listed(value)}]" if isinstance(value, list) else _string(value)
        lines += [*_comment(reasons[name]), f"{name} = {shown}"]
    return lines


def _columns(choice: Choice) -> list[str]:
    others = [name for name in choice.texts if name not in choice.text]
    which = f" (or: {_listed(others)})" if others else ""
    text = f"[{_listed(list(choice.text))}]"
    head = f"The columns with the content, which are joined by a space{which}."
    if len(choice.text) < 2:
        text = _string("".join(choice.text))
        head = f"The column with the content{which}."

    lines = _comment(head)
    if choice.joined:
        lines += [
            "# Several columns can be joined by a blank, such as:",
            f"# text = [{_listed(list(choice.joined))}]",
        ]
    lines += [
        f"text = {text}",
        *_comment(f"The column with the label: {_shares(choice)}."),
    ]

    for name, counts in choice.labels:
        if name != choice.label:
            lines += _comment(f"It could also be {_string(name)}, which has {len(counts)} values.")
    lines.append(f"label = {_string(choice.label or '')}")
    if choice.split is not None:
        lines += [
            *_comment(
                "The column with the split of each row. Without it, a digest of the content says"
                " it."
            ),
            f"split = {_string(choice.split)}",
        ]
    if choice.weight is not None:
        lines += [
            *_comment("A column that may say how much a row counts in training. To use it:"),
            f"# weight = {_string(choice.weight)}",
        ]

    content = choice.contents.content
    if content != "text":
        held = "lists of tokens" if content == "tokens" else "sequences of numbers"
        lines += [f"# Rows hold {held}, not text.", f"content = {_string(content)}"]

    if choice.contents.dim:
        lines += [
            *_comment(
                "Numbers of one time step. The lists are flat: set it to how many belong together."
            ),
            f"dim = {choice.contents.dim}",
        ]
    return lines


def _transform(choice: Choice) -> list[str]:
    """The section, or nothing where its defaults will do."""
    lines = []
    if choice.characters:
        why = "The texts are single words"
        if choice.unspaced:
            why = "The script has no spaces between words"
        lines += [f"# {why}, so that characters are the tokens.", 'tokens = "char"']

    # The data decide it up to MAX_LENGTH. More is worth stating for number sequences, whose end may
    # be all that tells them apart; a text has told most by then, and longer ones cost time.
    long = quantile(choice.lengths, 0.95)
    if long > MAX_LENGTH:
        setting = f"max_length = {min(MAX_MAX_LENGTH, math.ceil(long / 64) * 64)}"
        is_sequence = choice.contents.content == "sequence"
        reason = f"How many {'time steps' if is_sequence else 'tokens'} of a row are used"
        lines += [
            *_comment(
                f"{reason}; the rest is cut off. The 95th percentile is {long:,}. Longer rows cost"
                f" time.{'' if is_sequence else f' By default the first {MAX_LENGTH}. For more:'}"
            ),
            setting if is_sequence else f"# {setting}",
        ]
    return ["", "[transform]", *lines] if lines else []


def _evaluator(inspected: Inspection, choice: Choice) -> list[str]:
    """Thresholds relative to what a guess reaches: a good model's figures are not known yet."""
    num_rows = choice.counts.values()
    num_classes = max(2, len(choice.counts))

    # Where only a part was read, its shares are not those of the whole: a file may be sorted by
    # label.
    share = 1 / num_classes
    if inspected.whole:
        share = max(num_rows, default=1) / max(1, sum(num_rows))

    # A model that always answers the most frequent class has an F1 of 2 s / (1 + s) for that class,
    # and of 0 for the others.
    guess_f1 = _floor(2 * share / (1 + share) / num_classes)
    is_small = inspected.num_rows < 1000

    return [
        "[evaluator]",
        *_comment(
            "The lowest accuracy on the test split. Always answering the most frequent class"
            f" reaches {'' if inspected.whole else 'at least '}{share:.2f}."
        ),
        f"min_accuracy = {_floor(share)}",
        "# The lowest gain in accuracy over that.",
        f"min_gain_over_majority = {GAIN if share < FREQUENT else SMALL_GAIN}",
        *_comment(
            "The lowest macro F1, the mean of the classes' F1. Always answering the most frequent"
            f" class reaches {guess_f1}."
        ),
        f"min_macro_f1 = {guess_f1}",
        *_comment(
            f"The highest cross-entropy in nats. Giving all {num_classes} classes the same"
            f" probability reaches {math.log(num_classes):.2f}."
        ),
        f"max_cross_entropy = {_ceil(math.log(num_classes))}",
        *_comment(
            "The highest expected calibration error: how far probabilities are from the rate at"
            f" which they are right{'; few rows measure it badly' if is_small else ''}."
        ),
        f"max_ece = {0.3 if is_small else 0.2}",
        *_comment(
            "The lowest accuracy of every class and length with 50 test rows or more: half of what"
            " guessing reaches."
        ),
        f"min_slice_accuracy = {_floor(0.5 / num_classes)}",
        "# The greatest loss of accuracy against the served version. Chance is allowed for.",
        "max_loss_of_accuracy = 0.0",
        *_gain_over_linear(inspected),
    ]


def _gain_over_linear(inspected: Inspection) -> list[str]:
    """The threshold of the gate against the linear model, where that can be measured."""
    if not find_spec(LINEAR):
        return []
    # Two models that differ on a fifth of the rows: two standard errors are .045 with 400 test
    # rows, .03 with 1,000.
    return [
        *_comment(
            "The lowest gain in accuracy over a linear model (tf-idf and logistic regression)."
            " A negative number allows the model to be worse by so much."
        ),
        f"min_gain_over_linear = {-0.1 if inspected.num_rows < FEW_ROWS else -0.05}",
    ]


def _infra_validator() -> list[str]:
    return [
        "[infra_validator]",
        *_comment(
            "The highest 99th percentile of the latency of a request, in seconds, measured on the"
            " server that will serve."
        ),
        "max_p99_seconds = 2.0",
        "# The greatest size of the model's files in MB.",
        "max_model_mb = 200.0",
    ]


def _retrain() -> list[str]:
    """The section that gives up the gate against the linear model, where it cannot be measured."""
    if find_spec(LINEAR):
        return []
    return [
        "",
        "[retrain]",
        *_comment(
            "Gates without a threshold. The linear model needs scikit-learn (pip install"
            " scikit-learn): with it, remove this line and set evaluator.min_gain_over_linear ="
            " -0.05."
        ),
        'without = ["gain_over_linear"]',
    ]


def _source(inspected: Inspection) -> str:
    source = inspected.source
    return source if isinstance(source, str) else " and ".join(source.values())


def _rows(inspected: Inspection) -> str:
    if inspected.whole:
        return f"{inspected.num_rows:,} rows"
    return f"the first {inspected.num_rows:,} rows were looked at"


def _shares(choice: Choice) -> str:
    """`3 classes: "good" 40, "bad" 20, ...`."""
    counts = choice.counts
    shown = ", ".join(f"{_string(label)} {count:,}" for label, count in counts.most_common(8))
    more = f", and {len(counts) - 8} more" if len(counts) > 8 else ""
    return f"{len(counts)} classes: {shown}{more}"


def _listed(names: list[str]) -> str:
    return ", ".join(map(_string, names))


def _floor(value: float) -> float:
    return math.floor(value * 100) / 100


def _ceil(value: float) -> float:
    return math.ceil(value * 100) / 100


def _string(value: str) -> str:
    """A TOML string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(source: dict[str, str]) -> str:
    """An inline TOML table."""
    return "{" + ", ".join(f"{split} = {_string(path)}" for split, path in source.items()) + "}"
