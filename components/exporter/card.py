"""The model card as data (model.json), and the signatures' documentation in saved_model.pb.

A SignatureDef has no field for documentation. The function that it calls has: OpDef's `summary`
and, for each argument, `description`.
"""

import json
from collections import Counter
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from components.exporter import ExporterParams
from seqline.data import features
from seqline.data.manifest import MANIFEST, read_manifest
from seqline.data.transform_summary import content_of, read_summary
from seqline.model.spec import read_settings, read_spec
from seqline.storage import records

FILE = "model.json"
CLASSIFY_METHOD = "tensorflow/serving/classify"
# Libraries whose versions a card names.
LIBRARIES = ("tensorflow", "keras", "tensorflow-transform")
# Classes whose rows a card counts.
MOST_CLASSES = 1000

# Both tables are part of every export.
SUMMARIES = {
    "serving_default": "Probabilities, likeliest label and its number for raw rows.",
    "serving_fast": (
        "As serving_default, its time loop compiled by XLA; the server has to allow that on a CPU."
    ),
    "serving_top_k": (
        "The likeliest labels of raw rows with their probabilities, in descending order."
    ),
    "serving_explain": (
        "Why raw rows got their likeliest labels: what each n-gram of the text and each part of"
        " the model adds to their log-odds against the average label."
    ),
    "serving_examples": "As serving_default, for serialized tf.Examples.",
    "classify": (
        "All classes with their probabilities for serialized tf.Examples, for TensorFlow Serving's"
        " Classify API."
    ),
    "serving_ids": "As serving_default, for ids that transform_features gave.",
    "serving_ascii": (
        "As serving_default by few string operations; NaN and -1 for texts that are not all ASCII."
    ),
    "transform_features": "What the network reads of serialized tf.Examples.",
}
DESCRIPTIONS = {
    "text": "string [batch]: texts, UTF-8; any bytes are read",
    "tokens": 'string [batch, time]: tokens, "" behind the last one of a row',
    "sequence": "float32 [batch, time, dim]: time steps; what is behind a row's length is not read",
    "length": "int64 [batch]: tokens or time steps that are read",
    "examples": "string [batch]: serialized tf.Examples with the feature text, tokens or sequence",
    "inputs": "string [batch]: serialized tf.Examples with the feature text, tokens or sequence",
    "ids": (
        "int64 [batch, time]: 1..V for the tokens of the vocabulary, V + 1 for others, 0 behind"
        " the row"
    ),
    "values": "float32 [batch, time, dim]: standardised time steps, zeros behind the row",
    "probabilities": "float32 [batch, num_classes]: in the order of assets/labels",
    "label": (
        "string [batch]: the likeliest label; of transform_features int64 [batch]: the class id"
        " given, -1 for none"
    ),
    "class_id": "int64 [batch]: its line in assets/labels, from 0",
    "top_labels": "string [batch, k]: the likeliest labels, in descending order",
    "top_probabilities": "float32 [batch, k]: their probabilities",
    "ngrams": (
        'string [batch, m]: tokens and sequences of tokens, those that count most in front, ""'
        " behind the last one"
    ),
    "counts": "int64 [batch, m]: how often the text has each",
    "scores": (
        "float32 [batch, num_classes]: the probabilities of `classes`; of serving_explain"
        " [batch, m, k]: what each of `ngrams` adds to each of top_labels"
    ),
    "others": "float32 [batch, k]: what n-grams that are not among `ngrams` add",
    "prior": "float32 [batch, k]: what the wide part says of a text without n-grams",
    "recurrent": "float32 [batch, k]: what the recurrent part adds",
    "wide_probabilities": "float32 [batch, k]: by the wide part alone",
    "recurrent_probabilities": "float32 [batch, k]: by the recurrent part alone",
    "classes": "string [batch, num_classes]: the labels",
}


def annotate(export_dir: Path) -> None:
    """Adds the documentation to `saved_model.pb`, and the method name to `classify`.

    TensorFlow Serving's Classify API looks for that name.
    """
    path = export_dir / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta_graph in saved_model.meta_graphs:
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        functions = {
            function.signature.name: function.signature
            for function in meta_graph.graph_def.library.function
        }
        for name, signature in meta_graph.signature_def.items():
            if name not in SUMMARIES:
                continue

            function = functions[_called(nodes, signature)]
            function.summary = SUMMARIES[name]
            for argument in function.input_arg:
                argument.description = DESCRIPTIONS.get(argument.name, "")

            # A signature's outputs are numbered in the order of their names.
            for argument, output in zip(
                function.output_arg, sorted(signature.outputs), strict=True
            ):
                argument.description = DESCRIPTIONS[output]

            if name == "classify":
                signature.method_name = CLASSIFY_METHOD

    path.write_bytes(saved_model.SerializeToString(deterministic=True))


def _called(nodes: dict[str, node_def_pb2.NodeDef], signature: meta_graph_pb2.SignatureDef) -> str:
    """The name of the function that a signature calls."""
    tensor = next(iter(signature.outputs.values())).name
    return nodes[tensor.rpartition(":")[0]].attr["f"].func.name


def write(examples: Path, source: Path, model: Path, params: ExporterParams, output: Path) -> None:
    """Writes model.json: the same bytes for the same artifacts and libraries.

    Args:
        source: the Features.
    """
    summary = read_summary(source)
    vocabulary = source / "vocabularies" / features.LABELS_VOCABULARY
    labels = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
    spec = read_spec(model)
    card: dict[str, Any] = {
        "labels": labels,
        "content": content_of(summary),
        "max_length": spec.max_length,
        "network": asdict(spec),
        "exporter": params.model_dump(mode="json"),
        "data": summary,
        "examples": of_examples(examples),
        "training": training(model),
        "settings": read_settings(model),
        "keys": {"examples": examples.name, "features": source.name, "model": model.name},
        "sha256": _digests(examples, source, model),
        "libraries": {name: version(name) for name in LIBRARIES},
        "signatures": {"summaries": SUMMARIES, "arguments": DESCRIPTIONS},
    }
    _write(card, output)


def of_examples(examples: Path) -> dict[str, Any]:
    """What example_gen read, and its rows by split and class; empty for Examples of another tool.

    Returns:
        {num_read, num_bad: problem -> rows, num_left_out: rows of rare classes that are in no
        split, spans: {first, last, count}, splits: split -> {num_rows, num_classes},
        classes: label -> split -> rows, the MOST_CLASSES with the most rows}.
    """
    if not (examples / MANIFEST).is_file():
        return {}

    spans = read_manifest(examples).spans
    if not spans:
        return {}
    by_split: dict[str, Counter[str]] = {}
    num_bad: Counter[str] = Counter()
    for span in spans:
        num_bad.update(span.num_bad)
        for split, rows in span.num_rows.items():
            by_split.setdefault(split, Counter()).update(rows)

    in_all: Counter[str] = Counter()
    for rows in by_split.values():
        in_all.update(rows)
    largest = sorted(in_all, key=lambda label: (-in_all[label], label))[:MOST_CLASSES]
    numbers = [span.number for span in spans]
    return {
        "num_read": sum(span.num_read for span in spans),
        "num_bad": dict(num_bad),
        "num_left_out": sum(
            sum(rows.values()) for span in spans for rows in span.num_left_out.values()
        ),
        "spans": {"first": numbers[0], "last": numbers[-1], "count": len(numbers)},
        "splits": {
            split: {"num_rows": rows.total(), "num_classes": len(+rows)}
            for split, rows in by_split.items()
        },
        "classes": {
            label: {split: rows[label] for split, rows in by_split.items()} for label in largest
        },
    }


def add_tolerance(path: Path, tolerance: float) -> None:
    """Adds to model.json how far another server's answers may differ, in log-odds.

    See `seqline.model.rounding`.
    """
    card = records.read_object(path, records.MADE_AGAIN)
    _write({**card, "parity": {"tolerance": tolerance}}, path)


def training(model: Path) -> dict[str, Any]:
    """The figures of the epoch whose weights the trainer kept; empty without a history."""
    path = model / "history.json"
    try:
        history = records.read(dict[str, list[float]], path, records.MADE_AGAIN)
    except FileNotFoundError:
        return {}
    if "val_accuracy" not in history:
        return {}

    num_epochs = len(history["val_accuracy"])
    lengths = {len(values) for values in history.values()}
    if lengths != {num_epochs} or "val_loss" not in history or not num_epochs:
        problem = "its figures are not of the same epochs"
        raise records.damaged(path, problem, records.MADE_AGAIN)

    accuracies, losses = history["val_accuracy"], history["val_loss"]
    best = max(range(len(accuracies)), key=lambda epoch: (accuracies[epoch], -losses[epoch]))
    return {
        "num_epochs": len(accuracies),
        "best_epoch": best + 1,
        **{name: values[best] for name, values in sorted(history.items())},
    }


def _write(card: dict[str, Any], path: Path) -> None:
    path.write_text(
        json.dumps(card, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )


def _digests(examples: Path, source: Path, model: Path) -> dict[str, str]:
    vocabularies = sorted((source / "vocabularies").glob("*"))
    digests = {f"vocabularies/{path.name}": _digest(path) for path in vocabularies}
    for path in (examples / MANIFEST, model / features.MODEL):
        if path.is_file():
            digests[path.name] = _digest(path)
    return digests


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
