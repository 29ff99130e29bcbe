"""Imitations of public data sets that were once refused.

With nothing but a source set they pass the data gates, with warnings about what is odd.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components import example_gen, example_validator, schema_gen, statistics_gen
from components.example_gen import ExampleGenParams
from components.example_validator import ExampleValidatorParams
from components.schema_gen import SchemaGenParams
from components.statistics_gen import StatisticsGenParams
from seqline.errors import DataError
from tests.support.corpus import corpus_rows, write_jsonl

Rows = list[dict[str, str]]


def to_anomalies(
    root: Path, source: Any, curated: Path | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of example_gen and of example_validator, whose gate must pass."""
    for name in ("examples", "statistics", "schema", "anomalies"):
        (root / name).mkdir(parents=True)
    params = ExampleValidatorParams()
    ingested = example_gen.run(params=ExampleGenParams(source=source), output=root / "examples")
    statistics_gen.run(
        examples=root / "examples", params=StatisticsGenParams(), output=root / "statistics"
    )
    chosen = SchemaGenParams(curated=curated and str(curated))
    schema_gen.run(statistics=root / "statistics", params=chosen, output=root / "schema")
    validated = example_validator.run(
        examples=root / "examples",
        statistics=root / "statistics",
        schema=root / "schema",
        params=params,
        output=root / "anomalies",
    )

    example_validator.gate(root / "anomalies", params)
    return ingested, validated


def phrases_and_sentences() -> dict[str, Rows]:
    """Rows as in SST-2: train holds phrases of sentences, test holds sentences."""
    rows = corpus_rows(240)
    longer = [{**row, "text": f"{row['text']} {row['text']} {row['text']}"} for row in rows[180:]]
    return {"train": rows[:180], "test": longer}


def fine_labels() -> dict[str, Rows]:
    """Rows as in TREC with fine labels: test lacks a class of train."""
    rows = corpus_rows(240)
    return {"train": rows[:150], "test": [row for row in rows[150:] if row["label"] != "fruit"]}


def an_unseen_label() -> dict[str, Rows]:
    """Rows as in ATIS: one line of test has a label that train lacks."""
    rows = corpus_rows(240)
    return {
        "train": rows[:180],
        "test": [*rows[180:], {"text": "a flight and its airline", "label": "flight+airline"}],
    }


def empty_texts() -> dict[str, Rows]:
    """Rows as in the Rotten Tomatoes reviews: two texts of 242 are empty."""
    return {
        "all": [*corpus_rows(240), {"text": "", "label": "fruit"}, {"text": " ", "label": "metals"}]
    }


def a_rare_class() -> dict[str, Rows]:
    """A class with a single row."""
    return {"all": [*corpus_rows(240), {"text": "alone", "label": "rare"}]}


@pytest.mark.parametrize(
    ("make", "kinds", "told"),
    [
        (phrases_and_sentences, {"length_skew"}, ""),
        (fine_labels, {"missing_class"}, ""),
        (an_unseen_label, {"unseen_class"}, "1 row of 1 rare class left out"),
        (empty_texts, set(), "2 bad rows skipped"),
        (a_rare_class, {"few_class_rows"}, ""),
    ],
    ids=["SST-2", "TREC-50", "ATIS", "Rotten Tomatoes", "rare class"],
)
def test_nothing_is_refused_with_nothing_but_a_source(
    tmp_path: Path, make: Callable[[], dict[str, Rows]], kinds: set[str], told: str
) -> None:
    files = {
        name: str(write_jsonl(tmp_path / f"{name}.jsonl", rows)) for name, rows in make().items()
    }
    source = files.get("all", files)

    ingested, validated = to_anomalies(tmp_path / "inferred", source)
    assert validated["num_errors"] == 0
    assert kinds <= set(validated["kinds"])
    assert len(validated["warnings"]) == validated["num_warnings"]
    assert told in example_gen.describe(ingested)

    # With a schema written by hand the same rows are refused.
    if kinds & set(example_validator.COMPARISONS):
        with pytest.raises(DataError):
            to_anomalies(
                tmp_path / "curated", source, tmp_path / "inferred" / "schema" / "schema.pbtxt"
            )
