"""Examples and Statistics of a few rows, for the tests of several stages."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.statistics_gen import StatisticsGenParams, run
from seqline.data import examples as examples_format
from seqline.data.examples import Content, ExampleShard
from seqline.data.manifest import Manifest, Span, write_manifest

# (content, label): a str, a list of str, or nested lists of floats.
Rows = Sequence[tuple[Any, str]]
Splits = Mapping[str, Rows]

# Twenty rows; the tests of statistics_gen have counted by hand what they hold.
TWENTY: dict[str, list[tuple[str, str]]] = {
    "train": [
        ("a b", "x"),
        ("a b", "x"),
        ("a b", "y"),
        ("a c", "x"),
        ("b c", "y"),
        ("C d", "y"),
        ("é b", "x"),
        ("a\u3000b c", "y"),
        ("a a a a", "x"),
        ("dd", "x"),
        ("a b c d", "y"),
        ("b", "y"),
    ],
    "eval": [("a b", "x"), ("z b", "y"), ("z z", "x"), ("ß", "y")],
    "test": [("a c", "y"), ("z b", "x"), ("c d", "y"), ("   ", "x")],
}


def write_spans(
    root: Path,
    spans: Mapping[int, Splits],
    content: Content = "text",
    dim: int | None = None,
    shard_rows: int = 1000,
    **of_span: Any,
) -> Path:
    """Writes Examples as example_gen does.

    Args:
        root: the folder to write into.
        spans: number of a span -> split -> rows.
        content: what the rows hold.
        dim: numbers of a time step, for sequences.
        shard_rows: how many rows a shard has at most.
        of_span: fields of each Span in the manifest.

    Returns:
        `root`.
    """
    manifest_spans = []
    for number, splits in spans.items():
        num_rows: dict[str, dict[str, int]] = {}
        for name, rows in splits.items():
            (root / f"Split-{name}").mkdir(parents=True, exist_ok=True)
            for part, start in enumerate(range(0, len(rows), shard_rows)):
                file = examples_format.shard_name(number, 0, part)
                shard = make_shard(number, name, file, rows[start : start + shard_rows], content)
                examples_format.write(shard, root / f"Split-{name}" / shard.name, content)
            for _, label in rows:
                num_rows.setdefault(name, {})[label] = num_rows.get(name, {}).get(label, 0) + 1

        fields = {"num_read": sum(map(len, splits.values())), **of_span}
        key = json.dumps(splits, sort_keys=True)  # follows the rows, as example_gen's keys do
        manifest_spans.append(Span(number, key, num_rows=num_rows, **fields))

    root.mkdir(parents=True, exist_ok=True)
    write_manifest(Manifest(content, dim, tuple(manifest_spans)), root)
    return root


def make_shard(span: int, name: str, file: str, rows: Rows, content: Content) -> ExampleShard:
    """A shard of rows whose contents are encoded."""
    encode = {
        "text": lambda row: row.encode(),
        "tokens": lambda row: [token.encode() for token in row],
        "sequence": lambda row: np.array(row, np.float32),
    }[content]
    return ExampleShard(
        span, name, file, [encode(row) for row, _ in rows], [label.encode() for _, label in rows]
    )


def statistics_of(examples: Path, output: Path, **arguments: Any) -> dict[str, Any]:
    """Runs statistics_gen and returns the content of statistics.json."""
    output.mkdir()
    run(examples=examples, params=StatisticsGenParams(), output=output, **arguments)
    return json.loads((output / "statistics.json").read_text(encoding="utf-8"))
