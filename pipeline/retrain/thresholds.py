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

# {name, value, threshold, passed, reason, stage}. passed: None where nothing was judged.
Gate = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A gate, the stage that judges it, and the value of the configuration that it is judged by (""
    for those that need none).

    open: the value by default, which everything passes: somebody has to say that it is meant.
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
    """Raises UserError for gates without a threshold that are not waived, all at once.

    For a waiver of nothing.
    """
    waived = config.retrain.without
    if unknown := [name for name in waived if name not in NAMES]:
        raise UserError(
            f"retrain.without names {unknown[0]!r}, which is no gate; the gates are"
            f" {', '.join(NAMES)}."
        )
    missing = [rule for rule in RULES if not _has_threshold(rule, config)]
    if both := [rule for rule in RULES if rule.name in waived and rule not in missing]:
        place = (
            f"{both[0].stage}.{both[0].field}" if both[0].field else f"{both[0].stage}'s own checks"
        )
        raise UserError(
            f"retrain.without names {both[0].name!r}, which has a threshold by {place}: take one of"
            " them away."
        )
    if unset := [rule for rule in missing if rule.name not in waived]:
        listed = ", ".join(f"{rule.name} ({rule.stage}.{rule.field})" for rule in unset)
        names = ", ".join(f'"{rule.name}"' for rule in unset)
        raise UserError(
            f"A gate without a threshold would let everything pass; these have none: {listed}. Set"
            f" them, or say that they are to be left out: retrain.without = [{names}]."
        )


def _has_threshold(rule: Rule, config: Config) -> bool:
    if not rule.field:
        return True
    section = getattr(config, rule.stage)
    value = getattr(section, rule.field)
    if value is None or (rule.name == "server" and value == NONE):
        return False
    return rule.open is None or value != rule.open or rule.field in section.model_fields_set


def collect(config: Config, done: Sequence[StageResult], refused: str = "") -> list[Gate]:
    """The gates of a run in their order, with those that it did not reach, were not judged or
    waived. refused: why, if it was.
    """
    figures: Mapping[str, Any] = {each.stage.name: each.figures for each in done}
    judged: dict[str, Gate] = {}
    for stage in ("span_validator", "evaluator", "infra_validator"):
        judged |= {
            gate["name"]: {**gate, "stage": stage}
            for gate in figures.get(stage, {}).get("gates", [])
        }
    if "example_validator" in figures:
        judged["anomalies"] = _anomalies(figures["example_validator"])
    if "exporter" in figures:
        found = figures["exporter"]
        reason = f"{found['num_rows']} rows answered as trained, to {found['max_difference']:.0e}"
        judged["parity"] = _gate(
            "parity", "exporter", reason, found["difference"], found["tolerance"], True
        )
    elif (
        refused
    ):  # the only gate that is no verdict in an artifact: an export that fails it is not finished
        judged["parity"] = _gate(
            "parity", "exporter", refused, None, config.exporter.parity_tolerance, False
        )
    gates = []
    for rule in RULES:
        gate = judged.pop(rule.name, None)
        if rule.name in config.retrain.without:
            value = gate["value"] if gate else None
            gates.append(
                _gate(rule.name, rule.stage, "waived in the configuration (retrain.without)", value)
            )
        elif gate is None and rule.stage == "span_validator" and "example_validator" in figures:
            gates.append(_gate(rule.name, rule.stage, "no new span to ask a served model about"))
        else:
            gates.append(gate or _gate(rule.name, rule.stage, "not reached"))
    # Limits that need not be set, such as those of memory.
    return gates + [gate for gate in judged.values() if gate["passed"] is not None]


def _anomalies(figures: Mapping[str, Any]) -> Gate:
    errors = figures["lines"][: figures["num_errors"]]
    reason = "; ".join(errors[:3]) + (f"; and {len(errors) - 3} more" if len(errors) > 3 else "")
    warned = (
        f"no error, {figures['num_warnings']} warnings" if figures["num_warnings"] else "no anomaly"
    )
    return _gate(
        "anomalies", "example_validator", reason or warned, figures["num_errors"], 0, not errors
    )


def _gate(
    name: str,
    stage: str,
    reason: str,
    value: Any = None,
    threshold: Any = None,
    passed: bool | None = None,
) -> Gate:
    return {
        "name": name,
        "value": value,
        "threshold": threshold,
        "passed": passed,
        "reason": reason,
        "stage": stage,
    }
