"""Rows that are good, rows that are broken in one way each, and the way from rows to anomalies."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components import example_validator, schema_gen
from components.example_validator import ExampleValidatorParams, gate
from components.schema_gen import SchemaGenParams
from components.statistics_gen import StatisticsGenParams
from components.statistics_gen import run as run_statistics_gen
from pipeline.store.layout import artifact_digest
from seqline.component import Figures
from seqline.data.examples import Content
from seqline.data.manifest import MANIFEST
from tests.support.examples import write_spans

WORDS = {
    "animals": ["cat", "dog", "horse", "bird", "fish", "whale", "mouse", "goat", "sheep", "lion"],
    "fruit": ["apple", "pear", "plum", "cherry", "grape", "melon", "peach", "fig", "lemon", "lime"],
}
SIZES = {"train": 80, "eval": 30, "test": 30}

Rows = list[tuple[Any, str]]
Splits = dict[str, Rows]


def good_rows() -> Splits:
    """Texts of four to six words, all different, over a vocabulary that every split has.

    Half of the rows are of each class.
    """
    splits: Splits = {}
    number = 0
    for name, size in SIZES.items():
        rows = splits.setdefault(name, [])
        for place in range(size):
            label = sorted(WORDS)[place % 2]
            words = [WORDS[label][number // 10**digit % 10] for digit in range(3)] + [
                "and",
                "more",
                "still",
            ][: 1 + number % 3]

            rows.append((" ".join(words), label))
            number += 1
    return splits


def good_sequences() -> Splits:
    """Two classes of sequences of four to six steps of two numbers, no two the same."""
    splits: Splits = {}
    number = 0
    for name, size in SIZES.items():
        rows = splits.setdefault(name, [])
        for place in range(size):
            steps = [[float(number % 7), number / 1000 + step] for step in range(4 + number % 3)]
            rows.append((steps, "up" if place % 2 else "down"))
            number += 1
    return splits


def chain(
    root: Path,
    spans: dict[int, Splits],
    content: Content = "text",
    dim: int | None = None,
    curated: Path | None = None,
    span: dict[str, Any] | None = None,
    rare_classes: list[dict[str, Any]] | None = None,
    **params: Any,
) -> Figures:
    """Runs the stages from rows to anomalies under `root`; errors of the gate pass through."""
    validator = ExampleValidatorParams(**params)
    examples = write_spans(root / "examples", spans, content, dim, **(span or {}))
    if rare_classes:
        manifest = json.loads((examples / MANIFEST).read_text())
        (examples / MANIFEST).write_text(json.dumps({**manifest, "rare_classes": rare_classes}))

    for name in ("schema", "anomalies"):
        (root / name).mkdir()
    _measure(examples, root / "statistics")
    schema_gen.run(
        statistics=root / "statistics",
        params=SchemaGenParams(curated=curated and str(curated)),
        output=root / "schema",
    )

    figures = example_validator.run(
        examples=examples,
        statistics=root / "statistics",
        schema=root / "schema",
        params=validator,
        output=root / "anomalies",
    )

    gate(root / "anomalies", validator)
    return figures


# Digest of Examples -> where their Statistics are.
_measured: dict[str, Path] = {}


def _measure(examples: Path, statistics: Path) -> None:
    """Runs statistics_gen, or copies what it made of the same Examples in this process."""
    digest = artifact_digest(examples)
    known = _measured.get(digest)
    if known and known.exists():
        shutil.copytree(known, statistics)
        return

    statistics.mkdir()
    run_statistics_gen(examples=examples, params=StatisticsGenParams(), output=statistics)
    _measured[digest] = statistics


def diff_of(root: Path, split: str) -> anomalies_pb2.Anomalies:
    return anomalies_pb2.Anomalies.FromString(
        (root / "anomalies" / f"Split-{split}" / "SchemaDiff.pb").read_bytes()
    )


def relabel(rows: Rows, label: str) -> Rows:
    return [(text, label) for text, _ in rows]


def each_text(rows: Rows, change: Callable[[str], str]) -> Rows:
    return [(change(text), label) for text, label in rows]


# What is broken, in which way, and the line that says so. Every one is a different kind.
BROKEN: dict[str, tuple[str, Callable[[Splits], Splits], str]] = {
    "a column is missing": (
        "missing_feature",
        lambda good: good | {"eval": each_text(good["eval"], lambda text: "")},
        (
            "eval split, text: none of the 30 rows has any. Is example_gen.text the right column of"
            " the source?"
        ),
    ),
    "some texts are missing": (
        "low_presence",
        lambda good: (
            good | {"test": each_text(good["test"][:3], lambda text: " \t") + good["test"][3:]}
        ),
        (
            "test split, text: 3 of 30 rows (10.0%) have none, the schema allows 0.0%"
            " (presence.min_fraction). Take these rows out of the source, or lower it"
        ),
    ),
    "a split is empty": (
        "empty_split",
        lambda good: good | {"eval": []},
        (
            "eval split: it has no rows. Add some to the source, raise example_gen's fraction for"
            " it, or take 'eval' out of example_validator.splits"
        ),
    ),
    "there is one class": (
        "one_class",
        lambda good: {name: relabel(rows, "fruit") for name, rows in good.items()},
        "train split, label: all 80 rows have the label 'fruit', e.g. '",
    ),
    "a label is misspelt": (
        "unknown_label",
        lambda good: good | {"eval": [*good["eval"], ("plum and more and still more", "friut")]},
        (
            "eval split, label: 1 of 31 rows (3.2%) have labels that the schema does not know:"
            " 'friut' (1); it knows 2: 'animals', 'fruit', e.g. 'plum and more and still more'."
            " Correct these rows, or add the labels to the domain in a curated schema"
        ),
    ),
    "a class is missing": (
        "missing_class",
        lambda good: good | {"eval": [row for row in good["eval"] if row[1] == "fruit"]},
        (
            "eval split, label: no row of 1 of 2 classes, where train's shares let expect so many"
            " of 15: 'animals' (8). Is the source sorted by class, or eval cut from another place?"
        ),
    ),
    "rows are run together": (
        "length_bounds",
        lambda good: (
            good
            | {"train": [*good["train"], (" ".join(text for text, _ in good["train"]), "fruit")]}
        ),
        (
            "train split, num_chars: the longest row has 2,002, the schema allows at most 132, e.g."
            " 'cat cat cat and pear apple apple and ...'. Look for rows that were cut or run"
            " together, or widen int_domain in a curated schema"
        ),
    ),
    "the texts are cut": (
        "length_skew",
        lambda good: good | {"test": each_text(good["test"], lambda text: text[:6])},
        (
            "test split, num_chars: the lengths in test (about 5 at the median) are not those in"
            " train (about 22): Jensen-Shannon divergence 1.000, allowed 0.250."
        ),
    ),
    "a split has other shares of the classes": (
        "label_skew",
        lambda good: good | {"eval": good["eval"][:1] + relabel(good["eval"][1:], "fruit")},
        (
            "eval split, label: 'animals' is 3.3% of the rows in eval and 50.0% in train:"
            " L-infinity distance 0.467, allowed 0.4"
        ),
    ),
    "a split is in another language": (
        "token_oov",
        lambda good: (
            good
            | {
                "eval": each_text(
                    good["eval"], lambda text: " ".join(word[::-1] for word in text.split())
                )
            }
        ),
        "eval split, text: 100.0% of the tokens in eval are unknown to train, at most 1",
    ),
    "a split is in another encoding": (
        "char_oov",
        lambda good: (
            good
            | {
                "test": each_text(
                    good["test"], lambda text: text.replace("e", "é").encode().decode("latin-1")
                )
            }
        ),
        "test split, text: ",
    ),
    "eval rows are in train, too": (
        "duplicates",
        lambda good: good | {"eval": good["train"][:10] + good["eval"][10:]},
        (
            "eval split, text: 10 of 30 rows (33.3%) are in train, too, more than"
            " example_validator.max_duplicate_fraction 10.0%, e.g. '"
        ),
    ),
    "texts have two labels": (
        "ambiguous",
        lambda good: (
            good
            | {
                "train": (
                    good["train"]
                    + [
                        (text, "animals" if label == "fruit" else "fruit")
                        for text, label in good["train"][:20]
                    ]
                )
            }
        ),
        (
            "train split, text: 40 of 100 rows (40.0%) have contents that are there under several"
            " labels, more than example_validator.max_ambiguous_fraction 10.0%, e.g. '"
        ),
    ),
}
