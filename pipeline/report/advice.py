"""After a refusal.

What usually helps, by the gate that refused. Pure: from gates and figures to sentences, for the
page and the terminal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report import units

MAJORITY = "majority class"
# Below this many rows of test the figures themselves are uncertain by several points.
NUM_TEST_ROWS = 200

TRAIN_LONGER = (
    "Give the model more: more rows, more epochs (trainer.num_epochs), or a search for better"
    " settings (seqline run ... --set tuner.num_trials=20)."
)
CALIBRATION = (
    "The model is more often right, or less often, than it says: see the calibration curve. Below"
    " the dotted line, use more dropout (trainer.dropout); above it, a lower"
    " trainer.label_smoothing."
)
LOWER = (
    "If the model is good enough for you as it is, lower {field} (now {threshold}) in the"
    " configuration."
)
RAISE = (
    "If the model is good enough for you as it is, raise {field} (now {threshold}) in the"
    " configuration."
)
# Gate -> (the setting that its threshold comes from, sentences in the order in which to try them).
HELP: dict[str, tuple[str, tuple[str, ...]]] = {
    "anomalies": (
        "",
        (
            "Look at the rows that are named, and correct them at their source.",
            (
                "If the data are as they should be, change the setting that is named, or make this"
                " kind of anomaly a warning: example_validator.severities."
            ),
        ),
    ),
    "classes": ("", ("Correct the labels, or allow the new classes: span_validator.classes.",)),
    "vocabulary_drift": (
        "span_validator.max_oov_excess",
        ("Look at the newest span: is it another language, encoding or source?", RAISE),
    ),
    "label_noise": (
        "span_validator.max_label_noise",
        ("Look at the newest span's labels: they contradict the served model.", RAISE),
    ),
    "finite": (
        "",
        (
            (
                "Training diverged: lower trainer.learning_rate, or clip the gradients harder"
                " (trainer.clip_norm)."
            ),
        ),
    ),
    "accuracy": ("evaluator.min_accuracy", (TRAIN_LONGER, LOWER)),
    "macro_f1": (
        "evaluator.min_macro_f1",
        (
            (
                "Rare classes weigh as much as frequent ones here: add rows of those with the"
                " lowest F1."
            ),
            TRAIN_LONGER,
            LOWER,
        ),
    ),
    "cross_entropy": (
        "evaluator.max_cross_entropy",
        (
            TRAIN_LONGER,
            (
                "A lower trainer.label_smoothing makes the model surer, more dropout"
                " (trainer.dropout) less sure of what is wrong."
            ),
            RAISE,
        ),
    ),
    "calibration": (
        "evaluator.max_ece",
        (CALIBRATION, RAISE),
    ),
    "gain_over_majority": (
        "evaluator.min_gain_over_majority",
        (
            (
                "The model has learned little more than which class is frequent. Are"
                " example_gen.text and example_gen.label the right columns?"
            ),
            TRAIN_LONGER,
        ),
    ),
    "gain_over_linear": (
        "evaluator.min_gain_over_linear",
        (
            (
                "A linear model does the same at a fraction of the cost: use it, or give this one"
                " more rows."
            ),
            TRAIN_LONGER,
            LOWER,
        ),
    ),
    "slice_accuracy": (
        "evaluator.min_slice_accuracy",
        (
            "Add rows like those of the slice that is named: the model has seen too few of them.",
            LOWER,
        ),
    ),
    "served_accuracy": (
        "evaluator.max_loss_of_accuracy",
        (
            (
                "What is served stays, and is better. Look at the newest rows, and at the settings"
                " that changed since."
            ),
            RAISE,
        ),
    ),
    "served_slice_accuracy": (
        "evaluator.max_loss_of_accuracy",
        (
            (
                "What is served stays, and is better on this slice. Look at its rows, and at what"
                " changed since."
            ),
            RAISE,
        ),
    ),
    "parity": (
        "exporter.parity_tolerance",
        ("The export does not answer as the trained network does. Please report it.",),
    ),
    "size": (
        "infra_validator.max_model_mb",
        ("Make the vocabulary or the layers smaller, or quantize: exporter.table_dtype.", RAISE),
    ),
    "latency": (
        "infra_validator.max_p99_seconds",
        ("Shorten the rows (transform.max_length), or use fewer layers.", RAISE),
    ),
    "median_latency": (
        "infra_validator.max_p50_seconds",
        ("Shorten the rows (transform.max_length), or use fewer layers.", RAISE),
    ),
    "memory": ("infra_validator.max_rss_mb", ("Make the vocabulary or the layers smaller.", RAISE)),
    "load_time": (
        "infra_validator.max_load_seconds",
        ("Make the vocabulary or the layers smaller.", RAISE),
    ),
    "server": (
        "",
        ("Read server.log in the infra_validator's artifact: it has what the server said.",),
    ),
}


def refused(gates: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each gate that refused: its name, its value, its threshold."""
    told = []
    for gate in gates:
        if gate["passed"] is not False:
            continue
        name, field = str(gate["name"]).replace("_", " "), HELP.get(gate["name"], ("", ()))[0]
        if gate["value"] is None or gate["threshold"] is None:
            told.append(f"Gate {name}: {gate['reason']}.")
            continue
        value, threshold = (
            units.of_gate(gate["name"], gate[part]) for part in ("value", "threshold")
        )
        told.append(f"Gate {name}: {value}, where {field or 'the limit'} asks for {threshold}.")
    return told


def beside(accuracy: float | None, baselines: Mapping[str, float]) -> str | None:
    """How the baselines did on the same rows, in a sentence; None where nothing was measured."""
    if accuracy is None or not baselines:
        return None
    others = ", ".join(f"{name} {units.share(value)}" for name, value in baselines.items())
    return f"On the same test rows: this model {units.share(accuracy)}, {others}."


def linear_is_better(
    accuracy: float | None, baselines: Mapping[str, float], interval: Sequence[float] | None = None
) -> str | None:
    """A sentence where a linear model has the higher accuracy.

    None where it does not, or there is none.

    interval: the model's own, 95 %: within it the difference may be chance.
    """
    linear = max(
        ((value, name) for name, value in baselines.items() if name != MAJORITY), default=None
    )
    if accuracy is None or linear is None or linear[0] <= accuracy:
        return None
    value, name = linear
    better = units.points(value - accuracy).removeprefix("+")
    told = (
        f"The linear model ({name}) is better by {better}: {units.share(value)} against"
        f" {units.share(accuracy)}."
    )
    if interval and interval[0] <= value <= interval[1]:
        told += (
            " With so few test rows that may be chance, but a linear model is smaller and faster,"
            " too."
        )
    return told


def what_helps(
    gates: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, float],
    accuracy: float | None = None,
    num_test_rows: int | None = None,
) -> list[str]:
    """Sentences in the order in which to try them; empty where no gate refused. Each is there once.

    gates: as in evaluation.json, {name, value, threshold, passed, reason}. baselines: name ->
    accuracy.
    """
    names = [str(gate["name"]) for gate in gates if gate["passed"] is False]
    told: list[str] = []
    for gate in gates:
        field, sentences = HELP.get(gate["name"], ("", ()))
        if gate["passed"] is False:
            threshold = (
                "" if gate["threshold"] is None else f"{gate['threshold']:g}"
            )  # as the configuration has it
            told += [sentence.format(field=field, threshold=threshold) for sentence in sentences]
    if not names:
        return []
    if linear_is_better(accuracy, baselines) and "gain_over_linear" not in names:
        told.append(
            "The linear model is better here, smaller and faster: where its accuracy is enough, use"
            " it instead."
        )
    if num_test_rows is not None and num_test_rows < NUM_TEST_ROWS and accuracy is not None:
        told.append(
            f"{num_test_rows} test rows tell little: with more of them the verdict is surer."
        )
    return list(dict.fromkeys(told))
