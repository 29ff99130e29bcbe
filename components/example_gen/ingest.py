"""The Beam job: every shard of the source is read, split, counted and written, and counted by whoever else asks, in one pass.

A span that an earlier run ingested is not read again: its part (Split-*/, bad_rows/, span.json) is found by its digest, and the
artifact takes its files over.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from shutil import copyfile
from typing import Any

import apache_beam as beam

from components import examples as example_files
from components import features, origins, progress
from components.base import DataError, Figures, UserError
from components.beam import job
from components.example_gen import ExampleGenParams, rows, sources
from components.examples import ExampleShard, Manifest, Span, shard_name, write_manifest
from components.pieces import Pieces, digest, link_all
from components.staging import path_of, writing

# Bad rows that an error message quotes.
NUM_QUOTED = 5
# What a Python object costs beside its content: a shard of a million short rows must not be unbounded.
ROW_BYTES = 64

SUMMARY = "summary"
# Params that say which spans to take and when to give up, not what a span's rows become.
NOT_OF_A_SPAN = ("span", "window", "max_bad_fraction")


@dataclass
class Summary:
    """What was found in a shard, or in all of them. errors: (message, exit code) of what ended the reading."""

    num_read: int = 0
    num_bad: dict[str, int] = field(default_factory=dict)  # problem -> rows
    quoted: list[str] = field(default_factory=list)
    num_rows: dict[str, dict[str, int]] = field(default_factory=dict)  # split -> label -> rows
    places: dict[str, dict[str, str]] = field(default_factory=dict)  # split -> label -> where its first row is
    dims: dict[str, str] = field(default_factory=dict)  # numbers of one time step -> where the first such row is
    errors: list[list[Any]] = field(default_factory=list)

    def merge(self, other: "Summary") -> None:
        self.num_read += other.num_read
        for problem, count in other.num_bad.items():
            self.num_bad[problem] = self.num_bad.get(problem, 0) + count
        self.quoted = (self.quoted + other.quoted)[:NUM_QUOTED]
        for split, labels in other.num_rows.items():
            mine = self.num_rows.setdefault(split, {})
            for label, count in labels.items():
                mine[label] = mine.get(label, 0) + count
                self.places.setdefault(split, {}).setdefault(label, other.places[split][label])
        for dim, place in other.dims.items():
            self.dims.setdefault(dim, place)
        self.errors += other.errors


def ingest(
    params: ExampleGenParams, output: Path, pieces: Pieces, analyses: Mapping[str, Callable[..., Any]], beam_args: Sequence[str]
) -> Figures:
    """Writes the artifact. See `components.example_gen.run` for what it raises."""
    memory = pieces.root / "digests.json"
    window = sources.window(params, memory)
    keys = {span.number: span_key(span, params) for span in window}
    paths = {number: pieces.path(span=key) for number, key in keys.items()}
    with ExitStack() as stack:
        folders = stack.enter_context(pieces.making(paths))
        missing = [span for span in window if span.number in folders]
        params = with_dim(missing, params)
        asked = {"spans": {span.number: keys[span.number] for span in missing}, "content": params.content, "dim": params.dim}
        transforms = {name: stack.enter_context(analyze(**asked)) for name, analyze in analyses.items()}
        if missing:
            read(missing, params, folders, {name: each for name, each in transforms.items() if each is not None}, beam_args)
            if sources.window(params, memory) != window:
                raise DataError(f"The files of {params.source!r} changed while they were read; nothing was kept. Run again.")
        found = {number: Summary(**json.loads((folders.get(number, path) / "span.json").read_text())) for number, path in paths.items()}
        summary = Summary()
        for each in found.values():
            summary.merge(each)
        validate(summary, params)
    _take_over(paths.values(), output)
    dim = int(next(iter(summary.dims))) if summary.dims else None
    write_manifest(_manifest(window, keys, found, params, dim), output)
    num_rows = {split: dict(sorted(summary.num_rows[split].items())) for split in features.SPLITS}
    return {
        "num_rows": num_rows,
        "num_read": summary.num_read,
        "num_bad_rows": sum(summary.num_bad.values()),
        "spans": [span.number for span in window],
        "num_spans_read": len(missing),
        "ignored_splits": sources.shards(window[0], params)[1] if sources.tfds_name(params) else [],
    }


def with_dim(spans: Iterable[sources.Span], params: ExampleGenParams) -> ExampleGenParams:
    """The params with the dim that sequences have: that of the first usable row, where it is not given."""
    if params.content != features.SEQUENCE or params.dim is not None:
        return params
    shards = (shard for span in spans for shard in sources.shards(span, params)[0])
    rows_of_all = (row for shard in shards for row in rows.read(shard, params))
    first = next((row for row in rows_of_all if isinstance(row, rows.Row)), None)
    return params if first is None else params.model_copy(update={"dim": first.content.shape[1]})


def span_key(span: sources.Span, params: ExampleGenParams) -> str:
    """The digest of all that shapes a span's shards: its number (it is in their names), its content, and how rows are read."""
    how = {name: value for name, value in params.key_fields().items() if name not in NOT_OF_A_SPAN}
    return digest([span.number, span.version, span.digest, how])


def _manifest(
    window: Iterable[sources.Span], keys: Mapping[int, str], found: Mapping[int, Summary], params: ExampleGenParams, dim: int | None
) -> Manifest:
    spans = []
    for span in window:
        summary = found[span.number]
        num_rows = {split: dict(sorted(summary.num_rows[split].items())) for split in features.SPLITS if split in summary.num_rows}
        num_bad = dict(sorted(summary.num_bad.items()))
        spans.append(Span(span.number, keys[span.number], span.version, summary.num_read, num_rows, num_bad))
    return Manifest(params.content, dim, tuple(spans))


def _take_over(pieces: Iterable[Path], output: Path) -> None:
    pairs = [(path, output / path.relative_to(piece)) for piece in pieces for path in piece.glob("*/*")]
    for folder in {target.parent for _, target in pairs}:
        folder.mkdir(exist_ok=True)
    link_all(pairs)


# (span, number of the shard in it, the shard)
Job = tuple[int, int, sources.Shard]


def read(
    spans: Sequence[sources.Span],
    params: ExampleGenParams,
    folders: Mapping[int, Path],
    transforms: Mapping[str, beam.PTransform],
    beam_args: Sequence[str],
) -> None:
    """Writes the parts of the spans, and what the analyses of later stages ask for.

    Raises DataError or UserError for a file that cannot be read to its end.
    """
    jobs: list[Job] = []
    fractions = {}
    for span in spans:
        shards, _ = sources.shards(span, params)
        fractions[span.number] = split_fractions({shard.split for shard in shards}, params)
        jobs += [(span.number, number, shard) for number, shard in enumerate(shards)]
        for name in (*(f"Split-{split}" for split in features.SPLITS), "bad_rows", origins.FOLDER):
            (folders[span.number] / name).mkdir()
    anywhere = next(iter(folders.values()))
    places = {number: str(folder) for number, folder in folders.items()}
    if num_bytes := sum(file.size for span in spans for part in span.parts for file in part.files):
        progress.begin("reading", num_bytes, "bytes")
    else:  # of a TFDS data set
        progress.begin("reading", len(jobs), "shards")
    with job(beam_args) as pipeline:
        outputs = (
            pipeline
            | "Shards" >> beam.Create(jobs)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(ReadShard(params, fractions, places)).with_outputs(SUMMARY, main="examples")
        )
        _ = outputs.examples | "Write" >> beam.ParDo(WriteShard(places, params.content))
        for name, transform in transforms.items():
            _ = outputs.examples | f"Analyze[{name}]" >> transform
        _ = outputs[SUMMARY] | "ToOne" >> beam.CombineGlobally(_collect) | "WriteSummary" >> beam.Map(_write_json, str(anywhere / SUMMARY))
    summaries = sorted(json.loads((anywhere / SUMMARY).read_text()))
    (anywhere / SUMMARY).unlink()
    for number, folder in folders.items():
        summary = Summary()
        for span_number, _, found in summaries:
            if span_number == number:
                summary.merge(Summary(**found))
        for message, exit_code in summary.errors:
            raise UserError(message) if exit_code == UserError.exit_code else DataError(message)
        (folder / "span.json").write_text(json.dumps(asdict(summary), indent=2) + "\n")


def split_fractions(own: set[str | None], params: ExampleGenParams) -> dict[str, float]:
    """The fractions of the rows of train (or of all rows) that go to each split, for the splits that the source lacks."""
    eval_fraction = 0.0 if features.EVAL in own else params.eval_fraction
    test_fraction = 0.0 if features.TEST in own else params.test_fraction
    return {features.TRAIN: 1 - eval_fraction - test_fraction, features.EVAL: eval_fraction, features.TEST: test_fraction}


def identity(content: Any) -> bytes:
    """The bytes by which two rows hold the same content."""
    if isinstance(content, bytes):
        return content
    return b"\n".join(content) if isinstance(content, list) else content.tobytes()


def split_of(content: bytes, fractions: Mapping[str, float]) -> str:
    """The split of a row, by the digest of its content: equal rows are never in two splits, and a row stays where it is when others
    come or go."""
    position = int.from_bytes(blake2b(content, digest_size=8).digest(), "big") / 2**64
    for split in (features.TRAIN, features.EVAL):
        if position < fractions[split]:
            return split
        position -= fractions[split]
    return features.TEST


class Part:
    """The rows of one split that wait for their shard to be full. unit: see `components.origins`."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.origins = origins.Origins(unit)
        self.contents: list[Any] = []
        self.labels: list[bytes] = []
        self.num_bytes = 0
        self.number = 0

    def take(self, span: int, source: int, split: str) -> ExampleShard:
        """The rows as a shard; the next one begins."""
        shard = ExampleShard(span, split, shard_name(span, source, self.number), self.contents, self.labels)
        self.contents, self.labels, self.num_bytes, self.number = [], [], 0, self.number + 1
        self.origins = origins.Origins(self.unit)
        return shard


class ReadShard(beam.DoFn):
    """Job -> ExampleShards of at most SHARD_BYTES, and to SUMMARY (span, number of the source's shard, its Summary as a dict).

    Bad rows go to a file of the shard's own, which appears whole: a bundle that is tried again rewrites it.
    """

    def __init__(self, params: ExampleGenParams, fractions: Mapping[int, Mapping[str, float]], folders: Mapping[int, str]) -> None:
        self.params = params
        self.fractions = fractions
        self.folders = folders

    def process(self, job: Job) -> Iterator[Any]:
        span, number, shard = job
        summary = Summary()
        path = f"{self.folders[span]}/bad_rows/{span:05d}-{number:05d}.jsonl"
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as bad_rows:
            try:
                yield from self._read(span, number, shard, summary, bad_rows)
            except UserError as error:
                summary.errors.append([str(error), error.exit_code])
            except OSError as error:
                message = f"{', '.join(shard.paths[:1])} cannot be read: {error}. Run again when it is there."
                summary.errors.append([message, DataError.exit_code])
            if shard.kind == "tfds":
                progress.advance()
            if summary.num_bad:
                bad_rows.flush()
                with writing(path) as name:
                    copyfile(bad_rows.name, name)
        yield beam.pvalue.TaggedOutput(SUMMARY, (span, number, asdict(summary)))

    def _read(self, span: int, number: int, shard: sources.Shard, summary: Summary, bad_rows: Any) -> Iterator[ExampleShard]:
        own = str(shard.split) if shard.split not in (None, features.TRAIN) else None
        fractions = self.fractions[span]
        parts = {split: Part(origins.UNITS[shard.kind]) for split in features.SPLITS}
        for row in rows.read(shard, self.params):
            summary.num_read += 1
            if isinstance(row, rows.BadRow):
                bad_rows.write(json.dumps(row._asdict()) + "\n")
                summary.num_bad[row.problem] = summary.num_bad.get(row.problem, 0) + 1
                if len(summary.quoted) < NUM_QUOTED:
                    summary.quoted.append(f"{row.file}:{row.line}: {row.reason}")
                continue
            content = identity(row.content)
            split = own or split_of(content, fractions)
            self._count(row, split, summary)
            part = parts[split]
            part.contents.append(row.content)
            part.labels.append(row.label)
            if split in origins.SPLITS:
                part.origins.add(row.file, row.line)
            part.num_bytes += len(content) + ROW_BYTES * (len(row.content) if isinstance(row.content, list) else 1)
            if part.num_bytes >= example_files.SHARD_BYTES:
                yield self._take(part, span, number, split)
        for split, part in parts.items():
            if part.contents:
                yield self._take(part, span, number, split)

    def _take(self, part: Part, span: int, number: int, split: str) -> ExampleShard:
        """The rows that wait as a shard; where they came from is written beside it."""
        places = part.origins
        shard = part.take(span, number, split)
        if split in origins.SPLITS:
            origins.write(places, shard.contents, origins.path_in(self.folders[span], split, shard.name))
        return shard

    def _count(self, row: rows.Row, split: str, summary: Summary) -> None:
        label = row.label.decode()
        labels = summary.num_rows.setdefault(split, {})
        if label not in labels:
            labels[label] = 0
            summary.places.setdefault(split, {})[label] = f"{row.file}:{row.line}"
        labels[label] += 1
        if self.params.content == features.SEQUENCE and (dim := str(row.content.shape[1])) not in summary.dims:
            summary.dims[dim] = f"{row.file}:{row.line}"


class WriteShard(beam.DoFn):
    """ExampleShard -> its file in the folder of its span."""

    def __init__(self, folders: Mapping[int, str], content: example_files.Content) -> None:
        self.folders = folders
        self.content = content

    def process(self, shard: ExampleShard) -> Iterator[None]:
        example_files.write(shard, f"{self.folders[shard.span]}/Split-{shard.split}/{shard.name}", self.content)
        yield from ()


def _collect(summaries: Iterable[Any]) -> list[Any]:
    """A CombineFn in one function: Beam hands it elements first, then lists of its own results."""
    collected = []
    for each in summaries:
        collected += each if isinstance(each, list) else [each]
    return collected


def _write_json(value: Any, path: str) -> None:
    path_of(path).write_text(json.dumps(value))


def validate(summary: Summary, params: ExampleGenParams) -> None:
    """Raises DataError for rows with which no model can be trained or measured."""
    allowed = math.floor(params.max_bad_fraction * summary.num_read + 1e-9)  # 0.29 * 100 is 28.999...
    num_bad = sum(summary.num_bad.values())
    if num_bad > allowed:
        more = f" ... and {num_bad - len(summary.quoted)} more" if num_bad > len(summary.quoted) else ""
        raise DataError(
            f"{num_bad} of {summary.num_read} rows cannot be used; example_gen.max_bad_fraction {params.max_bad_fraction} "
            f"allows {allowed}: {'; '.join(summary.quoted)}{more}. Correct them, or raise example_gen.max_bad_fraction to skip and list them."
        )
    if len(summary.dims) > 1:
        (dim, place), (other, other_place) = list(summary.dims.items())[:2]
        raise DataError(f"A time step holds {dim} numbers at {place} and {other} at {other_place}; every one must hold as many.")
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
