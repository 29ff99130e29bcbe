"""The gates of a retraining in their order.

Each has a threshold in the configuration, or is waived by its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.infra_validator import NONE
from pipeline.config import Config
from pipeline.runner.run import StageResult
from seqline.errors import UserError
from seqline.gates import Gate

# A gate as the record of a run holds it: the fields of `seqline.gates.Gate`, then `stage`.
GateRecord = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A gate that every retraining has.

    Attributes:
        name: The gate's name.
        stage: The stage that judges it.
        field: The parameter of the stage that holds the threshold; "" if it needs none.
        open: The parameter's default, if every model passes it. A configuration that means it has
            to set it explicitly.
    """

    name: str
    stage: str
    field: str = ""
    open: float | None = None


RULES = (
    Rule("anomalies", "example_validator"),
    Rule("classes", "span_validator"),
    Rule("vocabulary_drift", "span_validator", "max_oov_excess"),
    Rule("label_noise", "span_validator", "max_label_noise"),
    Rule("finite", "evaluator"),
    Rule("accuracy", "evaluator", "min_accuracy", open=0.0),
    Rule("macro_f1", "evaluator", "min_macro_f1", open=0.0),
    Rule("cross_entropy", "evaluator", "max_cross_entropy"),
    Rule("gain_over_majority", "evaluator", "min_gain_over_majority"),
    Rule("gain_over_linear", "evaluator", "min_gain_over_linear"),
    Rule("slice_accuracy", "evaluator", "min_slice_accuracy"),
    Rule("served_accuracy", "evaluator", "max_loss_of_accuracy"),
    Rule("served_slice_accuracy", "evaluator", "max_loss_of_accuracy"),
    Rule("calibration", "evaluator", "max_ece"),
    Rule("parity", "exporter"),
    Rule("size", "infra_validator", "max_model_mb"),
    Rule("latency", "infra_validator", "max_p99_seconds"),
    Rule("server", "infra_validator", "server"),
)
NAMES = tuple(rule.name for rule in RULES)


def check(config: Config) -> None:
    """Checks that each gate has a threshold or is waived, and not both.

    Raises:
        UserError: A gate has neither (all such gates are named at once), a waived gate has a
            threshold, or a waiver names no gate.
    """
    waived = config.retrain.without
    unknown = [name for name in waived if name not in NAMES]
    if unknown:
        raise UserError(
            f"retrain.without names {unknown[0]!r}, which is not a gate; the gates are"
            f" {', '.join(NAMES)}."
        )

    open_rules = [rule for rule in RULES if not _has_threshold(rule, config)]
    for rule in RULES:
        if rule.name in waived and rule not in open_rules:
            place = f"{rule.stage}.{rule.field}" if rule.field else f"{rule.stage}'s own checks"
            raise UserError(
                f"retrain.without names {rule.name!r}, which has a threshold by {place}: remove "
                "one of them."
            )

    unset = [rule for rule in open_rules if rule.name not in waived]
    if unset:
        listed = ", ".join(f"{rule.name} ({rule.stage}.{rule.field})" for rule in unset)
        names = ", ".join(f'"{rule.name}"' for rule in unset)
        raise UserError(
            f"A gate without a threshold would let everything pass; these have none: {listed}. "
            f"Set them, or say that they are to be left out: retrain.without = [{names}]."
        )


def _has_threshold(rule: Rule, config: Config) -> bool:
    if not rule.field:
        return True
    section = getattr(config, rule.stage)
    value = getattr(section, rule.field)
    if value is None or value == {} or (rule.name == "server" and value == NONE):
        return False
    return rule.open is None or value != rule.open or rule.field in section.model_fields_set


def collect(config: Config, done: Sequence[StageResult], refused: str = "") -> list[GateRecord]:
    """The gates of a run in their order.

    Every rule has its record, also if the run did not reach it, did not judge it or waived it.

    Args:
        config: The run's configuration.
        done: The stages that have finished.
        refused: The reason for which the run was refused, if it was.
    """
    figures: Mapping[str, Any] = {stage.stage.name: stage.figures for stage in done}
    judged = _judged(figures)
    if "parity" not in judged and refused:
        # The exporter does not finish an export that fails this gate, so no artifact tells of it.
        gate = Gate("parity", None, config.exporter.parity_tolerance, False, refused)
        judged["parity"] = _record("exporter", gate)

    records = []
    for rule in RULES:
        record = judged.pop(rule.name, None)
        if rule.name in config.retrain.without:
            value = record["value"] if record else None
            reason = "waived in the configuration (retrain.without)"
            record = _record(rule.stage, Gate.not_judged(rule.name, reason, value))
        elif record is None:
            reason = "not reached"
            if rule.stage == "span_validator" and "example_validator" in figures:
                reason = "no new span to ask a served model about"
            record = _record(rule.stage, Gate.not_judged(rule.name, reason))
        records.append(record)

    # The rest are limits that need not be set, such as that of memory.
    return records + [record for record in judged.values() if record["passed"] is not None]


def _judged(figures: Mapping[str, Any]) -> dict[str, GateRecord]:
    """The gates that the finished stages judged, by name.

    Args:
        figures: The figures of each finished stage by its name.
    """
    judged: dict[str, GateRecord] = {}
    for stage in ("span_validator", "evaluator", "infra_validator"):
        for gate in figures.get(stage, {}).get("gates", []):
            judged[gate["name"]] = {**gate, "stage": stage}

    if "example_validator" in figures:
        judged["anomalies"] = _record("example_validator", _anomalies(figures["example_validator"]))
    if "exporter" in figures:
        export = figures["exporter"]
        reason = f"{export['num_rows']} rows answered as trained, to {export['max_difference']:.0e}"
        gate = Gate("parity", export["difference"], export["tolerance"], True, reason)
        judged["parity"] = _record("exporter", gate)
    return judged


def _anomalies(figures: Mapping[str, Any]) -> Gate:
    errors = figures["lines"][: figures["num_errors"]]
    if errors:
        reason = "; ".join(errors[:3])
        if len(errors) > 3:
            reason += f"; and {len(errors) - 3} more"
    elif figures["num_warnings"]:
        reason = f"no error, {figures['num_warnings']} warnings"
    else:
        reason = "no anomaly"
    return Gate("anomalies", figures["num_errors"], 0, not errors, reason)


def _record(stage: str, gate: Gate) -> GateRecord:
    return {**gate.to_json(), "stage": stage}
