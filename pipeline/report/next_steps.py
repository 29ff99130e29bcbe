"""The next steps after a refusal, as the page shows them."""

from typing import Any

from pipeline.report import advice, reproduce, verdict
from pipeline.report.advice import Evidence
from pipeline.report.records import Records
from seqline.data.features import SAVED_MODEL

NUM_ERRORS = 5
NAMES = ("refused", "data rejected")


def next_steps(records: Records, root: str) -> dict[str, Any] | None:
    """Which gate refused, how the baselines did, where the exported model is, and what helps.

    Returns:
        {refused, beside, saved_model, ask, helps}: sentences, a sentence, a path, a command and
        sentences; None for a run that was not refused.
    """
    if verdict.name_of(records) not in NAMES:
        return None

    evidence = evidence_of(records)
    refused = [gate for gate in evidence.refusals() if gate["name"] != "anomalies"]
    accuracies = advice.accuracies(evidence.evaluation)
    saved_model = exported(records, root)
    flag = advice.let_pass(evidence.anomalies)
    let_pass = [f"If the rows are right as they are, let them pass: {flag}"] if flag else []

    return {
        "refused": [*_errors(records), *map(advice.refusal, refused)],
        "beside": f"On the same test rows: {', '.join(accuracies)}." if accuracies else None,
        "saved_model": saved_model,
        "ask": reproduce.ask(records, saved_model) if saved_model else None,
        "helps": advice.what_helps(evidence) + let_pass,
    }


def evidence_of(records: Records) -> Evidence:
    """The records that advice is drawn from."""
    stages = list(records.executions)
    figures = {stage: records.figures(stage) for stage in stages}
    if evaluation := records.files.get("evaluator"):
        figures["evaluator"] = evaluation

    return Evidence(
        gates=verdict.gates(records),
        figures=figures,
        params={stage: records.params(stage) for stage in stages},
        anomalies=records.files.get("example_validator") or [],
    )


def _errors(records: Records) -> list[str]:
    """The errors of the data gate, one sentence anomaly."""
    anomalies = records.files.get("example_validator") or []
    lines = [anomaly["line"] for anomaly in anomalies if anomaly["severity"] == "error"]
    sentences = [f"{line.rstrip('.')}." for line in lines[:NUM_ERRORS]]
    num_more = len(lines) - NUM_ERRORS
    if num_more > 0:
        sentences.append(
            f"{num_more} more {'error is' if num_more == 1 else 'errors are'} under Anomalies."
        )
    return sentences


def exported(records: Records, root: str) -> str | None:
    """The path of the SavedModel that the run exported; None if it did not get so far."""
    keys = {stage.component: stage.key for stage in records.record.stages}
    if "exporter" not in records.executions:
        return None
    return f"{root}/exporter/{keys['exporter']}/{SAVED_MODEL}"
