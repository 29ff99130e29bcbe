"""Advice after a refusal, as the terminal shows it.

It says which gate refused, how the baselines did, where the model is, how to ask it and what helps.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.example_validator import ANOMALIES, read_anomalies
from pipeline.report import advice
from pipeline.report.advice import Evidence
from pipeline.report.reproduce import example
from pipeline.runner.run import StageResult
from seqline.data.features import SAVED_MODEL
from seqline.errors import DataError, NotBlessedError, UserError

MOST_REFUSALS = 3

# (label, text); the label is "" for a line that goes on with the one before.
Line = tuple[str, str]


def advise(error: UserError, done: Sequence[StageResult]) -> list[Line]:
    """Advice for a run that a gate has ended.

    Args:
        error: the error that ended the run.
        done: the stages that had ended.

    Returns:
        Labelled lines; none for an error that does not come from a gate.
    """
    ended = {stage.stage.name: stage for stage in done}
    if isinstance(error, NotBlessedError):
        return list(_of_model(ended))
    if isinstance(error, DataError):
        return list(_of_data(ended))
    return []


def _of_model(ended: Mapping[str, StageResult]) -> Iterator[Line]:
    evidence = evidence_of(ended)
    refused = evidence.refusals()

    for number, gate in enumerate(refused[:MOST_REFUSALS]):
        label = "refused by" if number == 0 else ""
        setting = advice.setting_of(gate) or gate["name"]
        yield label, f"{gate['stage']}: {gate['reason']} ({setting})"
    if len(refused) > MOST_REFUSALS:
        yield "", f"and {len(refused) - MOST_REFUSALS} more"

    if accuracies := advice.accuracies(evidence.evaluation):
        yield "accuracy", ", ".join(accuracies)

    if exporter := ended.get("exporter"):
        model = short_path(exporter.artifact.uri / SAVED_MODEL)
        transformed = evidence.figures.get("transform", {})
        row = example(transformed.get("content", "text"), transformed.get("dim"))
        yield "the model", model
        yield "ask it", f"seqline predict --model {shlex.quote(model)} {row}"

    if any(gate["name"] == "server" for gate in refused):
        yield "server log", short_path(ended["infra_validator"].artifact.uri / "server.log")

    yield from _listed("what helps", advice.what_helps(evidence))


def _of_data(ended: Mapping[str, StageResult]) -> Iterator[Line]:
    """Advice on data that a gate refused. Other errors in the data say themselves what to do."""
    helps = advice.what_helps(evidence_of(ended))
    flag = None

    validator = ended.get("example_validator")
    if validator is not None and validator.figures.get("num_errors"):
        path = validator.artifact.uri / ANOMALIES
        yield "all anomalies", short_path(path)
        helps = [*advice.HELP["anomalies"].steps, *helps]
        flag = advice.let_pass(_read(validator.artifact.uri))

    yield from _listed("what helps", helps)
    if flag:
        yield "to let it pass", flag


def evidence_of(ended: Mapping[str, StageResult]) -> Evidence:
    """The figures that advice is drawn from. Each gate has its stage."""
    return Evidence(
        gates=[
            {"stage": name, **gate}
            for name, done in ended.items()
            for gate in done.figures.get("gates", [])
        ],
        figures={name: done.figures for name, done in ended.items()},
        params={name: done.stage.params.model_dump() for name, done in ended.items()},
    )


def _read(output: Path) -> list[dict[str, Any]]:
    try:
        return [asdict(anomaly) for anomaly in read_anomalies(output)]
    except UserError:  # advice on another error must not hide it
        return []


def _listed(label: str, sentences: Sequence[str]) -> Iterator[Line]:
    for number, sentence in enumerate(sentences):
        yield (label if number == 0 else "", f"- {sentence}")


def short_path(path: Path) -> str:
    """Relative to the working directory if the path is inside it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
