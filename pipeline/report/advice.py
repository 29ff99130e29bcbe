"""Advice after a refusal, by the gate that refused.

Pure functions from gates and figures to sentences. `next_steps` shows the sentences on the page,
`pipeline.cli.advice` shows them in the terminal.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.report import units

MAJORITY = "majority class"
# Below this many rows of test the figures themselves are uncertain by several points.
NUM_TEST_ROWS = 200
# A few more epochs will not make up for an accuracy that is this far under its threshold.
FAR = 0.1
# Above this share of unknown words in eval, words are the wrong tokens: the texts are names, or are
# written without spaces, and are not prose.
MANY_UNKNOWN = 0.5

BUSY = "A busy machine is slow. Run the same command again: it measures only the server again."
SMALLER = (
    "Make the model smaller: --set exporter.table_dtype=int8, or --set transform.vocab_size=10000."
)
FASTER = (
    "Make the model faster: --set trainer.rnn_units=32, or shorten the rows (transform.max_length)."
)
LOWER = (
    "If the model is good enough as it is, lower {setting} (now {threshold}) in the configuration"
    " or with --set {setting}=..."
)
RAISE = (
    "If the model is good enough as it is, raise {setting} (now {threshold}) in the configuration"
    " or with --set {setting}=..."
)


@dataclass(frozen=True)
class Help:
    """The advice for one gate that refused.

    Attributes:
        setting: where the gate's threshold is set, such as evaluator.min_accuracy; "" for none.
        steps: sentences, in the order in which to try them.
        relax: how to move the threshold, with {setting} and {threshold} in it; "" for none.
        is_of_quality: whether a model that has learned more would pass.
    """

    setting: str = ""
    steps: tuple[str, ...] = ()
    relax: str = ""
    is_of_quality: bool = False


HELP = {
    "anomalies": Help(
        steps=(
            "Correct the rows that are named at their source, or change the setting that the"
            " message names (docs/data.md lists all kinds of anomaly).",
        ),
    ),
    "classes": Help(
        steps=("Correct the labels, or allow the new classes: span_validator.classes.",)
    ),
    "vocabulary_drift": Help(
        "span_validator.max_oov_excess",
        ("Look at the newest span: is it another language, encoding or source?",),
        RAISE,
    ),
    "label_noise": Help(
        "span_validator.max_label_noise",
        ("Look at the newest span's labels: they contradict the served model.",),
        RAISE,
    ),
    "finite": Help(
        steps=(
            "Training diverged. Lower the learning rate, --set trainer.learning_rate=0.001, or clip"
            " the gradients harder, --set trainer.clip_norm=1.0.",
        ),
    ),
    "accuracy": Help("evaluator.min_accuracy", (), LOWER, is_of_quality=True),
    "macro_f1": Help(
        "evaluator.min_macro_f1",
        ("Rare classes weigh as much as frequent ones. Add rows of those with the lowest F1.",),
        LOWER,
        is_of_quality=True,
    ),
    "cross_entropy": Help(
        "evaluator.max_cross_entropy",
        (
            "A lower trainer.label_smoothing makes the model more confident. More dropout"
            " (trainer.dropout) makes it less confident where it is wrong.",
        ),
        RAISE,
        is_of_quality=True,
    ),
    "calibration": Help(
        "evaluator.max_ece",
        (
            "The model's probabilities do not match how often it is right: see the calibration"
            " curve in the report. If the model is too confident, add rows or raise"
            " trainer.dropout. If it is not confident enough, lower trainer.label_smoothing.",
        ),
        RAISE,
    ),
    "gain_over_majority": Help(
        "evaluator.min_gain_over_majority",
        (
            "The model does little better than the same answer for every row. Are"
            " example_gen.text and example_gen.label the right columns?",
        ),
        is_of_quality=True,
    ),
    "gain_over_linear": Help("evaluator.min_gain_over_linear", (), LOWER, is_of_quality=True),
    "slice_accuracy": Help(
        "evaluator.min_slice_accuracy",
        ("Add rows like those of the slice that is named: the model has seen too few of them.",),
        LOWER,
        is_of_quality=True,
    ),
    "served_accuracy": Help(
        "evaluator.max_loss_of_accuracy",
        (
            "The served version is better and stays. Look at the newest rows, and at the settings"
            " that have changed. docs/retraining.md says when a loss is more than chance.",
        ),
        RAISE,
    ),
    "served_slice_accuracy": Help(
        "evaluator.max_loss_of_accuracy",
        (
            "The served version is better on this slice and stays. Look at the rows of the slice,"
            " and at what has changed.",
        ),
        RAISE,
    ),
    "parity": Help(
        "exporter.parity_tolerance",
        ("The exported model does not answer as the trained network does. Please report it.",),
    ),
    "size": Help("infra_validator.max_model_mb", (SMALLER,), RAISE),
    "latency": Help("infra_validator.max_p99_seconds", (BUSY, FASTER), RAISE),
    "median_latency": Help("infra_validator.max_p50_seconds", (BUSY, FASTER), RAISE),
    "memory": Help("infra_validator.max_rss_mb", (SMALLER,), RAISE),
    "load_time": Help("infra_validator.max_load_seconds", (BUSY, SMALLER), RAISE),
    "server": Help(
        "infra_validator.max_difference",
        ("Read server.log in the artifact of infra_validator: it holds what the server said.",),
    ),
}


@dataclass(frozen=True)
class Evidence:
    """The records of a refused run, from which advice is drawn.

    Attributes:
        gates: in their order, {name, value, threshold, passed, reason}; passed is None for a gate
            that had nothing to judge.
        figures: stage -> the figures of its execution.
        params: stage -> the values of its parameters.
        anomalies: as in anomalies.json, {kind, severity, line, ...}.
    """

    gates: Sequence[Mapping[str, Any]]
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    anomalies: Sequence[Mapping[str, Any]] = ()

    @property
    def evaluation(self) -> Mapping[str, Any]:
        return self.figures.get("evaluator", {})

    def refusals(self) -> list[Mapping[str, Any]]:
        """The gates that refused."""
        return [gate for gate in self.gates if gate["passed"] is False]


def setting_of(gate: Mapping[str, Any]) -> str:
    """The setting that a gate's threshold comes from; "" for none."""
    return HELP.get(gate["name"], Help()).setting


def refusal(gate: Mapping[str, Any]) -> str:
    """A sentence about a gate that refused: its name, its value and its threshold."""
    name = str(gate["name"]).replace("_", " ")
    if gate["value"] is None or gate["threshold"] is None:
        return f"Gate {name}: {gate['reason']}."

    value = units.of_gate(gate["name"], gate["value"])
    threshold = units.of_gate(gate["name"], gate["threshold"])
    return f"Gate {name}: {value}, where {setting_of(gate) or 'the limit'} asks for {threshold}."


def better_baselines(evaluation: Mapping[str, Any]) -> list[str]:
    """The names of the baselines whose accuracy is higher than the model's."""
    return [
        name
        for name, accuracy in evaluation.get("baselines", {}).items()
        if accuracy > evaluation["accuracy"]
    ]


def accuracies(evaluation: Mapping[str, Any]) -> list[str]:
    """`this model 96.3%` and the same of all that it was compared with, on the same test rows."""
    if "accuracy" not in evaluation:
        return []

    better = better_baselines(evaluation)
    shown = [f"this model {units.share(evaluation['accuracy'])}"]
    if served := evaluation.get("served"):
        shown.append(f"the served version {units.share(served['accuracy'])}")

    for name, accuracy in evaluation.get("baselines", {}).items():
        shown.append(f"{name} {units.share(accuracy)}{' (better)' if name in better else ''}")
    return shown


def linear_is_better(evaluation: Mapping[str, Any]) -> str | None:
    """A sentence for a linear model with a higher accuracy than the model's; None if there is none.

    Args:
        evaluation: with accuracy, baselines and, if known, accuracy_interval: within the interval
            the difference may be chance.
    """
    baselines = evaluation.get("baselines", {})
    better = [name for name in better_baselines(evaluation) if name != MAJORITY]
    if not better:
        return None

    name = max(better, key=lambda name: baselines[name])
    linear, accuracy = baselines[name], evaluation["accuracy"]
    gain = units.points(linear - accuracy).removeprefix("+")

    sentence = (
        f"The linear model ({name}) is better by {gain}: {units.share(linear)} against"
        f" {units.share(accuracy)}."
    )

    interval = evaluation.get("accuracy_interval")
    if interval and interval[0] <= linear <= interval[1]:
        sentence += (
            " With so few test rows this may be chance, but a linear model is also smaller and"
            " faster."
        )

    return sentence


def what_helps(evidence: Evidence) -> list[str]:
    """Sentences in the order in which to try them, none twice; empty if no gate refused."""
    refused = [gate for gate in evidence.refusals() if gate["name"] in HELP]
    helps = [HELP[gate["name"]] for gate in refused]

    sentences = [step for gate_help in helps for step in gate_help.steps]
    if any(gate_help.is_of_quality for gate_help in helps):
        sentences += _better_model(evidence)

    for gate, gate_help in zip(refused, helps, strict=True):
        if gate_help.relax and gate["threshold"] is not None:
            # As the configuration has it.
            threshold = f"{gate['threshold']:g}"
            sentences.append(gate_help.relax.format(setting=gate_help.setting, threshold=threshold))

    num_rows = evidence.evaluation.get("num_rows")
    if refused and num_rows is not None and num_rows < NUM_TEST_ROWS:
        sentences.append(f"{num_rows} test rows tell little. With more, the verdict is surer.")

    return list(dict.fromkeys(sentences))


def let_pass(anomalies: Sequence[Mapping[str, Any]], most: int = 3) -> str | None:
    """The flag that turns the errors among these anomalies into warnings; None without errors."""
    errors = [anomaly for anomaly in anomalies if anomaly["severity"] == "error"]
    kinds = dict.fromkeys(anomaly["kind"] for anomaly in errors)
    if not kinds:
        return None
    severities = ", ".join(f'{kind} = "warning"' for kind in list(kinds)[:most])
    return f"--set 'example_validator.severities={{{severities}}}'"


def _better_model(evidence: Evidence) -> Iterator[str]:
    """Yields sentences that help a model to learn more."""
    better = better_baselines(evidence.evaluation)
    linear = [name for name in better if name != MAJORITY]

    if unknown := _unknown_words(evidence):
        yield (
            f"{unknown:.0%} of the words of eval are unknown to train. Take characters as tokens:"
            " --set transform.tokens=char."
        )

    if MAJORITY in better:
        yield from HELP["gain_over_majority"].steps
    if linear:
        yield (
            f"{linear[0]} is better: the labels can be learned from these rows, and the network has"
            " not learned them yet. If that accuracy is enough, use the linear model: it is smaller"
            " and faster."
        )

    if epochs := _epochs(evidence):
        yield epochs
    yield "Search for better settings: --set tuner.num_trials=20."
    if not linear and _is_far(evidence):
        yield (
            "No baseline comes near the threshold either: choose one that such data can reach. The"
            " report lists the wrong answers."
        )
    else:
        yield "Add labelled rows, above all of the classes that the report shows as weak."


def _is_far(evidence: Evidence) -> bool:
    """Whether a figure is far under its threshold."""
    return any(
        gate["threshold"] - gate["value"] > FAR
        for gate in evidence.refusals()
        if gate["name"] in ("accuracy", "macro_f1") and gate["value"]
    )


def _unknown_words(evidence: Evidence) -> float | None:
    """The share of eval's words that train lacks, if words are the tokens and many are unknown."""
    stated = evidence.params.get("transform", {}).get("tokens")
    by_script = evidence.figures.get("transform", {}).get("tokens")
    if (stated or by_script) != "word":
        return None
    rate = evidence.figures.get("statistics_gen", {}).get("token_oov_rate", {}).get("eval")
    return rate if rate is not None and rate > MANY_UNKNOWN else None


def _epochs(evidence: Evidence) -> str | None:
    """A sentence on whether more epochs would help; None if the training left no figures."""
    best = evidence.figures.get("trainer", {}).get("best_epoch")
    most = evidence.params.get("trainer", {}).get("num_epochs")
    if best is None or most is None:
        return None

    if best < most:
        return (
            f"The best epoch was {best} of at most {most}, so more epochs will not help. Other"
            " settings may (docs/training.md)."
        )
    return (
        "The last epoch was the best, so the model was still learning. Train for longer: --set"
        f" trainer.num_epochs={3 * most}."
    )
