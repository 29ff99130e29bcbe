"""The metadata block of a model card: the YAML between two lines of `---` that hubs read.

Its names are those of Hugging Face's model cards. It is written by hand, so that a push needs no
YAML library: every text is a double-quoted scalar, in which nothing has a meaning but the escapes.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.pusher import PusherParams
from seqline.data import features
from seqline.data.evaluation import Evaluation
from seqline.model.identity import ModelCard

# What a hub calls the task of a model by its content. It has no name for rows of numbers.
TASKS = {"text": "text-classification", "tokens": "text-classification", "sequence": "other"}
# Figure of the evaluation -> the hub's name of the metric, and its name for people.
METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "roc_auc": ("roc_auc", "Macro ROC AUC"),
    "pr_auc": ("average_precision", "Macro average precision"),
    "cross_entropy": ("cross_entropy", "Cross-entropy (nats)"),
    "ece": ("expected_calibration_error", "Expected calibration error"),
}
# A license's identifier on a hub. Anything else is the name of one that the hub does not know.
LICENSE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
# Characters that a YAML reader refuses, folds into spaces or takes for a part of another one.
NOT_PRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
SURROGATE = re.compile("[\ud800-\udfff]")


def block(name: str, card: ModelCard, evaluation: Evaluation, params: PusherParams) -> str:
    """The block, with the lines of `---` around it.

    Args:
        name: The model's name.
        card: The exporter's model card.
        evaluation: The evaluation.
        params: What a person wrote for the card.
    """
    content = card.get("content", "text")
    metadata: dict[str, Any] = {}
    if params.language:
        languages = list(params.language)
        metadata["language"] = languages[0] if len(languages) == 1 else languages
    if params.license and LICENSE_ID.fullmatch(params.license):
        metadata["license"] = params.license.lower()
    elif params.license:
        metadata |= {"license": "other", "license_name": params.license}

    metadata["library_name"] = "seqline"
    metadata["pipeline_tag"] = TASKS[content]
    metadata["tags"] = list(dict.fromkeys(["seqline", "tensorflow", "saved-model", *params.tags]))
    metrics = list(_metrics(evaluation))
    metadata["metrics"] = [metric["type"] for metric in metrics]
    result = {
        "task": {"type": TASKS[content], "name": "Sequence classification"},
        "dataset": _dataset(name, card, params),
        "metrics": metrics,
    }
    metadata["model-index"] = [{"name": name, "results": [result]}]
    return "\n".join(["---", *lines(metadata), "---", ""])


def _dataset(name: str, card: ModelCard, params: PusherParams) -> dict[str, str]:
    """The data of the figures, with the digest of their list of spans as their revision."""
    dataset = params.dataset or name
    known = {"type": dataset, "name": dataset, "split": features.TEST}
    if revision := card.get("sha256", {}).get("examples.json"):
        known["revision"] = revision
    return known


def _metrics(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for figure, (kind, title) in METRICS.items():
        value = getattr(evaluation, figure)
        if value is not None and math.isfinite(value):
            yield {"type": kind, "name": title, "value": round(value, 6)}


def lines(value: Any, indent: str = "") -> Iterator[str]:
    """The lines of a mapping or a list as YAML, in blocks."""
    items = [(f"{key}:", inner) for key, inner in value.items()] if _is_table(value) else []
    if not items:
        items = [("-", inner) for inner in value]

    for head, inner in items:
        if not _is_table(inner) and not _is_list(inner):
            yield f"{indent}{head} {scalar(inner)}"
        elif not inner:
            yield f"{indent}{head} {'{}' if _is_table(inner) else '[]'}"
        elif head == "-":
            first, *others = lines(inner, f"{indent}  ")
            yield f"{indent}- {first.strip()}"
            yield from others
        else:
            yield f"{indent}{head}"
            yield from lines(inner, f"{indent}  ")


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def scalar(value: Any) -> str:
    """A text, a number or a truth value as YAML. What is not Unicode in a text becomes U+FFFD."""
    if not isinstance(value, str):
        return json.dumps(value)
    text = json.dumps(SURROGATE.sub("\ufffd", value), ensure_ascii=False)
    return NOT_PRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
