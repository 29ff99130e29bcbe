"""After a refusal.

Which gate, how the baselines did, where the exported model lies, how to ask it, and what usually
helps.
"""

from typing import Any

from pipeline.report import advice, reproduce, verdict
from pipeline.report.records import Records

# The folder of an exporter's artifact that holds the SavedModel.
SAVED_MODEL = "saved_model"
NUM_ERRORS = 5
NAMES = ("refused", "data rejected")


def next_steps(records: Records, root: str) -> dict[str, Any] | None:
    """{refused, beside, saved_model, ask, helps}.

    Sentences, a place and a command; None for a run that was not refused.
    """
    if verdict.name_of(records) not in NAMES:
        return None
    measured, gates = records.files.get("evaluator") or {}, verdict.gates(records)
    baselines, accuracy = measured.get("baselines", {}), measured.get("accuracy")
    place = exported(records, root)
    return {
        "refused": [
            *_errors(records),
            *advice.refused([gate for gate in gates if gate["name"] != "anomalies"]),
        ],
        "beside": advice.beside(accuracy, baselines),
        "saved_model": place,
        "ask": reproduce.ask(records, place) if place else None,
        "helps": advice.what_helps(gates, baselines, accuracy, measured.get("num_rows")),
    }


def _errors(records: Records) -> list[str]:
    """What the data gate refused, a sentence each."""
    lines = [
        each["line"]
        for each in records.files.get("example_validator") or []
        if each["severity"] == "error"
    ]
    more = len(lines) - NUM_ERRORS
    rest = (
        [f"{more} more {'error is' if more == 1 else 'errors are'} under Anomalies."]
        if more > 0
        else []
    )
    return [f"{line.rstrip('.')}." for line in lines[:NUM_ERRORS]] + rest


def exported(records: Records, root: str) -> str | None:
    """Where the SavedModel lies that the run exported; None where it did not get so far."""
    keys = {stage.component: stage.key for stage in records.record.stages}
    return (
        f"{root}/exporter/{keys['exporter']}/{SAVED_MODEL}"
        if "exporter" in records.executions
        else None
    )
