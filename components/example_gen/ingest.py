"""The Beam job: every shard of the source is read, split, counted and written by one element."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf

from components import features
from components.base import DataError, Figures
from components.beam import pipeline_options
from components.example_gen import ExampleGenParams, rows, sources

# Bad rows that an error message quotes.
NUM_QUOTED = 5


@dataclass
class Summary:
    """What was found in a shard, or in all of them."""

    num_read: int = 0
    num_bad: int = 0
    quoted: list[str] = field(default_factory=list)
    num_rows: dict[str, dict[str, int]] = field(default_factory=dict)  # split -> label -> rows
    places: dict[str, dict[str, str]] = field(default_factory=dict)  # split -> label -> where its first row is

    def add(self, row: rows.Row, split: str) -> None:
        labels = self.num_rows.setdefault(split, {})
        labels[row.label] = labels.get(row.label, 0) + 1
        self.places.setdefault(split, {}).setdefault(row.label, f"{row.file}:{row.line}")

    def merge(self, other: "Summary") -> None:
        self.num_read += other.num_read
        self.num_bad += other.num_bad
        self.quoted = (self.quoted + other.quoted)[:NUM_QUOTED]
        for split, labels in other.num_rows.items():
            mine = self.num_rows.setdefault(split, {})
            for label, count in labels.items():
                mine[label] = mine.get(label, 0) + count
                self.places.setdefault(split, {}).setdefault(label, other.places[split][label])


def ingest(params: ExampleGenParams, output: Path, beam_args: Sequence[str]) -> Figures:
    """Writes `Split-*/` and `bad_rows/` under `output`. See `components.example_gen.run` for what it raises."""
    shards, ignored = sources.shards(params)
    fractions = split_fractions({shard.split for shard in shards}, params)
    jobs = _jobs(shards, fractions, output)
    (output / "bad_rows").mkdir()
    for split in features.SPLITS:
        (output / f"Split-{split}").mkdir()
    with beam.Pipeline(options=pipeline_options(beam_args)) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(jobs)
            | "Spread" >> beam.Reshuffle()
            | "Ingest" >> beam.ParDo(IngestShard(params, fractions))
            | "ToOne" >> beam.CombineGlobally(_collect)
            | "WriteSummary" >> beam.Map(_write_summary, str(output / "summary"))
        )
    summary = Summary()
    for _, shard_summary in sorted(json.loads((output / "summary").read_text())):
        summary.merge(Summary(**shard_summary))
    (output / "summary").unlink()
    validate(summary, params)
    return {
        "num_rows": {split: dict(sorted(summary.num_rows[split].items())) for split in features.SPLITS},
        "num_read": summary.num_read,
        "num_bad_rows": summary.num_bad,
        "ignored_splits": ignored,
    }


def split_fractions(own: set[str | None], params: ExampleGenParams) -> dict[str, float]:
    """The fractions of the rows of train (or of all rows) that go to each split, for the splits that the source lacks."""
    eval_fraction = 0.0 if features.EVAL in own else params.eval_fraction
    test_fraction = 0.0 if features.TEST in own else params.test_fraction
    return {features.TRAIN: 1 - eval_fraction - test_fraction, features.EVAL: eval_fraction, features.TEST: test_fraction}


def split_of(text: str, fractions: dict[str, float]) -> str:
    """The split of a text, by its digest: equal texts are never in two splits, and a text stays where it is when rows come or go."""
    position = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
    for split in (features.TRAIN, features.EVAL):
        if position < fractions[split]:
            return split
        position -= fractions[split]
    return features.TEST


# (number, the shard, split -> the file that the shard's rows of that split go to, the file for bad rows)
Job = tuple[int, sources.Shard, dict[str, str], str]


def _jobs(shards: list[sources.Shard], fractions: dict[str, float], output: Path) -> list[Job]:
    divided = [split for split in features.SPLITS if fractions[split]]
    fed = [divided if shard.split in (None, features.TRAIN) else [shard.split] for shard in shards]
    num_shards = {split: sum(split in splits for splits in fed) for split in features.SPLITS}
    numbers = dict.fromkeys(features.SPLITS, 0)
    jobs = []
    for number, (shard, splits) in enumerate(zip(shards, fed, strict=True)):
        targets = {}
        for split in splits:
            targets[split] = str(features.shard_path(output, split, numbers[split], num_shards[split]))
            numbers[split] += 1
        jobs.append((number, shard, targets, str(output / "bad_rows" / f"{number:05d}.jsonl")))
    return jobs


class IngestShard(beam.DoFn):
    """Job -> (its number, its Summary as a dict). Files appear by a rename: a bundle that is tried again rewrites them."""

    def __init__(self, params: ExampleGenParams, fractions: dict[str, float]) -> None:
        self.params = params
        self.fractions = fractions

    def process(self, job: Job) -> Iterator[tuple[int, dict[str, Any]]]:
        number, shard, targets, bad_path = job
        summary = Summary()
        with ExitStack() as stack:
            writers = {split: stack.enter_context(tf.io.TFRecordWriter(f"{path}.part", "GZIP")) for split, path in targets.items()}
            bad_rows = stack.enter_context(tf.io.gfile.GFile(f"{bad_path}.part", "w"))
            bad_rows.write("")  # makes the file
            for row in rows.read(shard, self.params):
                summary.num_read += 1
                if isinstance(row, rows.BadRow):
                    summary.num_bad += 1
                    if len(summary.quoted) < NUM_QUOTED:
                        summary.quoted.append(f"{row.file}:{row.line}: {row.reason}")
                    bad_rows.write(json.dumps(row._asdict()) + "\n")
                    continue
                kept = shard.split not in (None, features.TRAIN)
                split = str(shard.split) if kept else split_of(row.text, self.fractions)
                writers[split].write(serialize(row))
                summary.add(row, split)
        for path in targets.values():
            tf.io.gfile.rename(f"{path}.part", path, overwrite=True)
        if summary.num_bad:
            tf.io.gfile.rename(f"{bad_path}.part", bad_path, overwrite=True)
        else:
            tf.io.gfile.remove(f"{bad_path}.part")
        yield number, vars(summary)


def serialize(row: rows.Row) -> bytes:
    """A row as a tf.Example with `text` and `label`, the same bytes each time."""
    example = tf.train.Example()
    example.features.feature[features.TEXT].bytes_list.value.append(row.text.encode())
    example.features.feature[features.LABEL].bytes_list.value.append(row.label.encode())
    return example.SerializeToString(deterministic=True)


def _collect(summaries: Iterable[Any]) -> list[Any]:
    """A CombineFn in one function: Beam hands it elements first, then lists of its own results."""
    collected = []
    for each in summaries:
        collected += each if isinstance(each, list) else [each]
    return collected


def _write_summary(summaries: list[tuple[int, dict[str, Any]]], path: str) -> None:
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(summaries))


def validate(summary: Summary, params: ExampleGenParams) -> None:
    """Raises DataError for rows with which no model can be trained or measured."""
    allowed = math.floor(params.max_bad_fraction * summary.num_read + 1e-9)  # 0.29 * 100 is 28.999...
    if summary.num_bad > allowed:
        more = f" ... and {summary.num_bad - len(summary.quoted)} more" if summary.num_bad > len(summary.quoted) else ""
        raise DataError(
            f"{summary.num_bad} of {summary.num_read} rows cannot be used; example_gen.max_bad_fraction {params.max_bad_fraction} "
            f"allows {allowed}: {'; '.join(summary.quoted)}{more}. Correct them, or raise example_gen.max_bad_fraction to skip and list them."
        )
    for split in features.SPLITS:
        if not summary.num_rows.get(split):
            raise DataError(
                f"The {split} split has no row ({summary.num_read} rows were read). Add rows, or raise example_gen.{split}_fraction."
            )
    _validate_labels(summary)


def _validate_labels(summary: Summary) -> None:
    train = summary.num_rows[features.TRAIN]
    all_labels = sorted({label for labels in summary.num_rows.values() for label in labels})
    if len(all_labels) < 2:
        raise DataError(
            f"All {summary.num_read} rows have the label {all_labels[0]!r}; a classifier needs two classes. Is example_gen.label the right column?"
        )
    for label in all_labels:
        counts = {split: labels[label] for split, labels in summary.num_rows.items() if label in labels}
        place = next(summary.places[split][label] for split in features.SPLITS if label in summary.places.get(split, {}))
        if sum(counts.values()) == 1:
            raise DataError(
                f"The class {label!r} has one row, {place}; it cannot be both learned and tested. Add rows of it, or remove the row."
            )
        if label not in train:
            found = ", ".join(f"{count} rows in {split}" for split, count in counts.items())
            raise DataError(
                f"The label {label!r} never occurs in train ({found}, the first at {place}). Add such rows to train, or remove these."
            )
