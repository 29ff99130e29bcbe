"""What to do after a refusal.

Which gate it was, how the baselines did, where the model lies and how to ask it, and what usually
helps.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.example_validator import ANOMALIES
from pipeline.cli.display import better_than
from pipeline.retrain.thresholds import RULES
from pipeline.runner.run import StageResult
from seqline.component import Figures
from seqline.data.features import SAVED_MODEL
from seqline.errors import DataError, NotBlessedError, UserError

# What to ask a model, by what its rows hold.
EXAMPLE = {
    "text": '"Your text"',
    "tokens": '"your tokens"',
    "sequence": "'[[0.1, 0.2], [0.3, 0.4]]'",
}
# Gates that a server is measured by and no retraining need set.
SETTINGS = {rule.name: f"{rule.stage}.{rule.field}" for rule in RULES if rule.field} | {
    "server": "infra_validator.max_difference",
    "median_latency": "infra_validator.max_p50_seconds",
    "memory": "infra_validator.max_rss_mb",
    "load_time": "infra_validator.max_load_seconds",
}
MACHINE = ("latency", "median_latency", "memory", "load_time")
SERVED = ("served_accuracy", "served_slice_accuracy")
# An accuracy that is so far under its threshold will not be brought there by some more epochs.
FAR = 0.1
MOST_REFUSALS, MOST_KINDS = 3, 3
# Words of eval that train lacks, beyond which words say too little: from names and texts without
# spaces, not from any language's prose.
MANY_UNKNOWN = 0.5

# (what it is, the text); the first is "" where the line goes on with the one before.
Line = tuple[str, str]


def advise(error: UserError, done: Sequence[StageResult]) -> list[Line]:
    """What a person can do about a run that a gate ended.

    Nothing for other errors. done: the stages that had ended.
    """
    ended = {each.stage.name: each for each in done}
    if isinstance(error, NotBlessedError):
        return list(_of_model(ended))
    return list(_of_data(ended)) if isinstance(error, DataError) else []


def refusals(figures: Mapping[str, Figures]) -> list[tuple[str, dict[str, Any]]]:
    """(stage, gate) for every gate that refused. figures: by stage."""
    stages = ("evaluator", "infra_validator")
    return [
        (stage, gate)
        for stage in stages
        for gate in figures.get(stage, {}).get("gates", [])
        if gate["passed"] is False
    ]


def _of_model(ended: Mapping[str, StageResult]) -> Iterator[Line]:
    figures = {name: each.figures for name, each in ended.items()}
    refused = refusals(figures)
    for number, (stage, gate) in enumerate(refused[:MOST_REFUSALS]):
        yield (
            "refused by" if number == 0 else "",
            f"{stage}: {gate['reason']} ({SETTINGS.get(gate['name'], gate['name'])})",
        )
    if len(refused) > MOST_REFUSALS:
        yield "", f"and {len(refused) - MOST_REFUSALS} more"
    if measured := figures.get("evaluator"):
        yield "baselines", ", ".join(_baselines(measured))
    if exported := ended.get("exporter"):
        model = short_path(exported.artifact.uri / SAVED_MODEL)
        content = figures.get("transform", {}).get("content", "text")
        yield "the model", model
        yield "ask it", f"seqline predict --model {model} {EXAMPLE[content]}"
    yield from _listed("what helps", _helps_model(refused, ended))
    names = [SETTINGS[gate["name"]] for _, gate in refused if gate["name"] in SETTINGS]
    if names:
        yield "settings", _where(list(dict.fromkeys(names)))


def _baselines(measured: Figures) -> Iterator[str]:
    for name, value in measured["baselines"].items():
        yield (
            f"{name}"
            f" {value:.3f}{' (better than the model)' if name in better_than(measured) else ''}"
        )
    if served := measured.get("served"):
        yield f"served version {served['accuracy']:.3f}"
    yield f"the model {measured['accuracy']:.3f}"


def _helps_model(
    refused: Sequence[tuple[str, dict[str, Any]]], ended: Mapping[str, StageResult]
) -> Iterator[str]:
    names = [gate["name"] for _, gate in refused]
    if not names:
        yield "run the same command again; report it if it stays"
        return
    if "finite" in names:
        yield (
            "training went wrong: --set trainer.learning_rate=0.001, or --set trainer.clip_norm=1.0"
        )
    if any(name in MACHINE for name in names):
        yield "a busy machine is slow: run the same command again, only the server is asked anew"
        yield (
            "a smaller model: --set trainer.rnn_units=32, or --set exporter.table_dtype=int8; or a"
            " higher limit"
        )
    if "size" in names:
        yield (
            "a smaller model: --set exporter.table_dtype=int8, or --set transform.vocab_size=10000"
        )
    if "server" in names:
        log = (
            ended["infra_validator"].artifact.uri / "server.log"
            if "infra_validator" in ended
            else None
        )
        yield f"what the server said: {short_path(log)}" if log else "run the same command again"
    if "calibration" in names:
        yield (
            "probabilities that are surer than right: more data, --set trainer.label_smoothing=0.0"
            " or 0.2 (docs/evaluation.md)"
        )
    if any(name in SERVED for name in names):
        yield (
            "the served version goes on being served; docs/retraining.md tells when a loss is"
            " beyond chance"
        )
        yield "more rows, or a loss that you accept: --set evaluator.max_loss_of_accuracy=0.01"
    if set(names) - {"finite", "size", "server", "calibration", *MACHINE, *SERVED}:
        yield from _helps_accuracy(refused, ended)


def _helps_accuracy(
    refused: Sequence[tuple[str, dict[str, Any]]], ended: Mapping[str, StageResult]
) -> Iterator[str]:
    measured = ended["evaluator"].figures
    linear = [name for name in better_than(measured) if name != "majority class"]
    if unknown := _unknown_words(ended):
        yield (
            f"{unknown:.0%} of the words of eval are unknown to train: take characters as tokens,"
            " --set transform.tokens=char"
        )
    if "majority class" in better_than(measured) or any(
        gate["name"] == "gain_over_majority" for _, gate in refused
    ):
        yield (
            "no better than one answer for all: are example_gen.text and example_gen.label the"
            " right columns?"
        )
    if linear:
        yield (
            f"{linear[0]} is better: the labels can be learned from these rows, and the network has"
            " not yet learned them"
        )
    if more := _more_epochs(ended):
        yield more
    yield "let the tuner look for a better network: --set tuner.num_trials=20"
    shortfalls = [
        gate["threshold"] - gate["value"]
        for _, gate in refused
        if gate["name"] in ("accuracy", "macro_f1") and gate["value"]
    ]
    if not linear and shortfalls and max(shortfalls) > FAR:
        yield (
            "a threshold that such data can reach: no baseline comes near it either; the report"
            " lists the wrong answers"
        )
    else:
        yield "more labelled rows, above all of the classes that the report shows as weak"


def _unknown_words(ended: Mapping[str, StageResult]) -> float | None:
    """The part of eval's words that train lacks, where words are the tokens and they say too
    little.
    """
    transform, statistics = ended.get("transform"), ended.get("statistics_gen")
    if (
        transform is None
        or statistics is None
        or getattr(transform.stage.params, "tokens", "") != "word"
    ):
        return None
    rate = statistics.figures.get("token_oov_rate", {}).get("eval")
    return rate if rate is not None and rate > MANY_UNKNOWN else None


def _more_epochs(ended: Mapping[str, StageResult]) -> str | None:
    trainer = ended.get("trainer")
    if trainer is None:
        return None
    most, best = (
        getattr(trainer.stage.params, "num_epochs", 0),
        trainer.figures.get("best_epoch", 0),
    )
    if best < most:
        return (
            f"the best epoch was {best} of at most {most}: more of them will not help, other"
            " settings may (docs/training.md)"
        )
    return (
        "more epochs, the last one was the best, it was still learning: --set"
        f" trainer.num_epochs={3 * most}"
    )


def _of_data(ended: Mapping[str, StageResult]) -> Iterator[Line]:
    validated = ended.get("example_validator")
    if validated is None or not validated.figures.get("num_errors"):
        return
    path = validated.artifact.uri / ANOMALIES
    yield "all anomalies", short_path(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    kinds = list(dict.fromkeys(each["kind"] for each in found if each["severity"] == "error"))
    shown = ", ".join(f'{kind} = "warning"' for kind in kinds[:MOST_KINDS])
    yield (
        "what helps",
        (
            "correct the rows that are named, or the setting that the message names (docs/data.md"
            " lists all kinds)"
        ),
    )
    yield "to let it pass", f"--set 'example_validator.severities={{{shown}}}'"


def _listed(name: str, texts: Iterator[str]) -> Iterator[Line]:
    for number, text in enumerate(texts):
        yield (name if number == 0 else "", f"- {text}")


def _where(names: Sequence[str]) -> str:
    listed = ", ".join(
        f"{name.partition('.')[2]} under [{name.partition('.')[0]}]"
        for name in names[:MOST_REFUSALS]
    )
    return f"{listed} in the configuration file, or --set {names[0]}=..."


def short_path(path: Path) -> str:
    """Relative to the working directory, where it lies in there."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
