"""The Beam job.

Every shard of the source is read, split, counted and written, and counted by whoever else asks, in
one pass.

A span that an earlier run ingested is not read again: its part (Split-*/, bad_rows/, rare_rows/,
span.json) is found by its digest, and the artifact takes its files over. What becomes of rare
classes can be told only from all spans: where a window has some, the spans that the decision is
about are read a second time with it, and have other parts.
"""

import json
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from shutil import copyfile
from typing import Any

import apache_beam as beam

from components.example_gen import ExampleGenParams, rare, sources
from components.example_gen.rare import Decision
from components.example_gen.summary import NUM_QUOTED, Summary, add, total
from seqline.component import Figures
from seqline.data import examples as example_files
from seqline.data import features, origins
from seqline.data.examples import (
    ExampleShard,
    Manifest,
    RareClass,
    Span,
    shard_name,
    write_manifest,
)
from seqline.data.span_cache import SpanCache, link_all
from seqline.digests import digest
from seqline.errors import DataError, UserError
from seqline.host import progress
from seqline.jobs.beam import job
from seqline.rows.row import BadRow, Row
from seqline.storage.staging import path_of, writing

# What a Python object costs beside its content: a shard of a million short rows must not be
# unbounded.
ROW_BYTES = 64

SUMMARY = "summary"
BAD_ROWS = "bad_rows"
RARE_ROWS = "rare_rows"
NO_DECISION = Decision()
# Params that say which spans to take, when to give up and what is decided for all of them, not what
# a span's rows become by themselves.
NOT_OF_A_SPAN = (
    "span",
    "window",
    "max_bad_fraction",
    "rare_classes",
    "min_class_rows",
    "other_class",
)


def ingest(
    params: ExampleGenParams,
    output: Path,
    span_cache: SpanCache,
    analyses: Mapping[str, Callable[..., Any]],
    beam_args: Sequence[str],
) -> Figures:
    """Writes the artifact. See `components.example_gen.run` for what it raises."""
    memory = span_cache.root / "digests.json"
    window = sources.window(params, memory)
    ingested = Ingested(window, params, span_cache, analyses, beam_args, memory)
    parts = ingested.read({span.number: NO_DECISION for span in window})
    summary = _sum(part.summary for part in parts.values())
    validate_rows(summary, params)
    decision, rare_classes = rare.decide(summary, params)
    if (
        not decision.is_empty
    ):  # the spans that it is about are read again: their rows go to other splits, or nowhere
        parts = ingested.read({number: decision.of(part.summary) for number, part in parts.items()})
        summary = _sum(part.summary for part in parts.values())
    validate(summary, params)
    _take_over([part.path for part in parts.values()], output)
    dim = int(next(iter(summary.dims))) if summary.dims else None
    spans = tuple(_span(span, parts[span.number], span_key(span, params)) for span in window)
    write_manifest(Manifest(params.content, dim, spans, tuple(rare_classes)), output)
    return _figures(summary, rare_classes) | {
        "spans": [span.number for span in window],
        "num_spans_read": len(ingested.numbers_read),
        "ignored_splits": sources.shards(window[0], params)[1] if sources.tfds_name(params) else [],
    }


def _figures(summary: Summary, rare_classes: Sequence[RareClass]) -> Figures:
    num_bad = sum(summary.num_bad.values())
    # Of rare classes example_validator tells.
    warnings = (
        [
            f"{_bad_rows(num_bad, summary)} cannot be used and are skipped:"
            f" {_quoted(num_bad, summary)}."
        ]
        if num_bad
        else []
    )
    for sentence in warnings:
        logging.getLogger("seqline.example_gen").warning("%s", sentence)
    return {
        "num_rows": {
            split: dict(sorted(summary.num_rows[split].items())) for split in features.SPLITS
        },
        "num_read": summary.num_read,
        "num_bad_rows": num_bad,
        "num_left_out_rows": total(summary.left_out),
        "num_gathered_rows": total(summary.gathered),
        "num_moved_rows": total(summary.moved),
        "rare_classes": [asdict(record) for record in rare_classes],
        "warnings": warnings,
    }


def _sum(summaries: Iterable[Summary]) -> Summary:
    whole = Summary()
    for each in summaries:
        whole.merge(each)
    return whole


@dataclass(frozen=True)
class SpanPart:
    """An ingested span: its key, its finished folder and what was found in it."""

    key: str
    path: Path
    summary: Summary


class Ingested:
    """The spans of a window, each read once for each decision about its rare classes. numbers_read.

    Of the spans that were read now.
    """

    def __init__(
        self,
        window: Sequence[sources.Span],
        params: ExampleGenParams,
        span_cache: SpanCache,
        analyses: Mapping[str, Callable[..., Any]],
        beam_args: Sequence[str],
        memory: Path,
    ) -> None:
        self.window, self.params, self.span_cache = window, params, span_cache
        self.analyses, self.beam_args, self.memory = analyses, beam_args, memory
        self.numbers_read: set[int] = set()

    def read(self, decisions: Mapping[int, Decision]) -> dict[int, SpanPart]:
        """The parts of all spans.

        Those that are not there are made. Raises DataError for files that change while they are
        read.
        """
        keys = {
            span.number: span_key(span, self.params, decisions[span.number]) for span in self.window
        }
        paths = {number: self.span_cache.path(span=key) for number, key in keys.items()}
        with ExitStack() as stack:
            folders = stack.enter_context(self.span_cache.making(paths))
            missing = [span for span in self.window if span.number in folders]
            self.numbers_read |= set(folders)
            params = with_dim(missing, self.params)
            asked = {
                "spans": {span.number: keys[span.number] for span in missing},
                "content": params.content,
                "dim": params.dim,
            }
            transforms = {
                name: stack.enter_context(analyze(**asked))
                for name, analyze in self.analyses.items()
            }
            if missing:
                wanted = {name: each for name, each in transforms.items() if each is not None}
                read(missing, params, folders, wanted, self.beam_args, decisions)
                if sources.window(self.params, self.memory) != self.window:
                    raise DataError(
                        f"The files of {params.source!r} changed while they were read; nothing was"
                        " kept. Run again."
                    )
            found = {
                number: Summary(**json.loads((folders.get(number, path) / "span.json").read_text()))
                for number, path in paths.items()
            }
            # Nothing is kept of rows that no run can use.
            validate_rows(_sum(found.values()), self.params)
        return {
            number: SpanPart(keys[number], path, found[number]) for number, path in paths.items()
        }


def with_dim(spans: Iterable[sources.Span], params: ExampleGenParams) -> ExampleGenParams:
    """The params with the dim that sequences have.

    That of the first usable row, where it is not given.
    """
    if params.content != features.SEQUENCE or params.dim is not None:
        return params
    shards = (shard for span in spans for shard in sources.shards(span, params)[0])
    rows_of_all = (row for shard in shards for row in sources.read(shard, params))
    first = next((row for row in rows_of_all if isinstance(row, Row)), None)
    return params if first is None else params.model_copy(update={"dim": first.content.shape[1]})


def span_key(span: sources.Span, params: ExampleGenParams, decision: Decision = NO_DECISION) -> str:
    """The digest of all that shapes a span's shards.

    Its number (it is in their names), its content, how rows are read, what was decided.
    """
    how = {name: value for name, value in params.key_fields().items() if name not in NOT_OF_A_SPAN}
    decided = [] if decision.is_empty else [decision.key(params)]
    return digest([span.number, span.version, span.digest, how, *decided])


def _span(span: sources.Span, part: SpanPart, key_as_read: str) -> Span:
    summary = part.summary
    num_rows = {
        split: dict(sorted(summary.num_rows[split].items()))
        for split in features.SPLITS
        if split in summary.num_rows
    }
    num_bad = dict(sorted(summary.num_bad.items()))
    num_left_out = {
        split: dict(sorted(labels.items())) for split, labels in sorted(summary.left_out.items())
    }
    return Span(
        span.number,
        part.key,
        span.version,
        summary.num_read,
        num_rows,
        num_bad,
        num_left_out,
        key_as_read,
    )


def _take_over(span_cache: Iterable[Path], output: Path) -> None:
    pairs = [
        (path, output / path.relative_to(piece))
        for piece in span_cache
        for path in piece.glob("*/*")
    ]
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
    decisions: Mapping[int, Decision],
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
        for name in (
            *(f"Split-{split}" for split in features.SPLITS),
            BAD_ROWS,
            RARE_ROWS,
            origins.FOLDER,
        ):
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
            | "Read"
            >> beam.ParDo(ReadShard(params, fractions, places, decisions)).with_outputs(
                SUMMARY, main="examples"
            )
        )
        _ = outputs.examples | "Write" >> beam.ParDo(WriteShard(places, params.content))
        for name, transform in transforms.items():
            _ = outputs.examples | f"Analyze[{name}]" >> transform
        _ = (
            outputs[SUMMARY]
            | "ToOne" >> beam.CombineGlobally(_collect)
            | "WriteSummary" >> beam.Map(_write_json, str(anywhere / SUMMARY))
        )
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
    """The fractions of the rows of train (or of all rows) that go to each split, for the splits
    that the source lacks.
    """
    eval_fraction = 0.0 if features.EVAL in own else params.eval_fraction
    test_fraction = 0.0 if features.TEST in own else params.test_fraction
    return {
        features.TRAIN: 1 - eval_fraction - test_fraction,
        features.EVAL: eval_fraction,
        features.TEST: test_fraction,
    }


def identity(content: Any) -> bytes:
    """The bytes by which two rows hold the same content."""
    if isinstance(content, bytes):
        return content
    return b"\n".join(content) if isinstance(content, list) else content.tobytes()


def digest_of(content: bytes) -> int:
    """The digest of a row's content, of 64 bits, by which it has its split."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


def split_of(content: bytes, fractions: Mapping[str, float]) -> str:
    """The split of a row with this content."""
    return split_at(digest_of(content), fractions)


def split_at(content_digest: int, fractions: Mapping[str, float]) -> str:
    """The split of a row, by the digest of its content.

    Equal rows are never in two splits, and a row stays where it is when others come or go.
    """
    position = content_digest / 2**64
    for split in (features.TRAIN, features.EVAL):
        if position < fractions[split]:
            return split
        position -= fractions[split]
    return features.TEST


class Part:
    """The rows of one split that wait for their shard to be full. unit.

    See `seqline.data.origins`.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.origins = origins.Origins(unit)
        self.contents: list[Any] = []
        self.labels: list[bytes] = []
        self.num_bytes = 0
        self.number = 0

    def take(self, span: int, source: int, split: str) -> ExampleShard:
        """The rows as a shard; the next one begins."""
        shard = ExampleShard(
            span, split, shard_name(span, source, self.number), self.contents, self.labels
        )
        self.contents, self.labels, self.num_bytes, self.number = [], [], 0, self.number + 1
        self.origins = origins.Origins(self.unit)
        return shard


class ReadShard(beam.DoFn):
    """Job -> ExampleShards of at most SHARD_BYTES, and to SUMMARY (span, number of the source's
    shard, its Summary as a dict).

    Bad rows, and the rows of rare classes, go to files of the shard's own, which appear whole: a
    bundle that is tried again rewrites them.
    """

    def __init__(
        self,
        params: ExampleGenParams,
        fractions: Mapping[int, Mapping[str, float]],
        folders: Mapping[int, str],
        decisions: Mapping[int, Decision],
    ) -> None:
        self.params = params
        self.fractions = fractions
        self.folders = folders
        self.decisions = decisions

    def process(self, job: Job) -> Iterator[Any]:
        span, number, shard = job
        summary = Summary()
        with ExitStack() as stack:
            lists = {
                name: stack.enter_context(tempfile.NamedTemporaryFile("w", encoding="utf-8"))
                for name in (BAD_ROWS, RARE_ROWS)
            }
            try:
                yield from self._read(span, number, shard, summary, lists)
            except UserError as error:
                summary.errors.append([str(error), error.exit_code])
            except OSError as error:
                message = (
                    f"{', '.join(shard.paths[:1])} cannot be read: {error}. Run again when it is"
                    " there."
                )
                summary.errors.append([message, DataError.exit_code])
            if shard.kind == "tfds":
                progress.advance()
            for folder, listed in lists.items():
                if listed.tell():
                    listed.flush()
                    with writing(
                        f"{self.folders[span]}/{folder}/{span:05d}-{number:05d}.jsonl"
                    ) as name:
                        copyfile(listed.name, name)
        yield beam.pvalue.TaggedOutput(SUMMARY, (span, number, asdict(summary)))

    def _read(
        self,
        span: int,
        number: int,
        shard: sources.Shard,
        summary: Summary,
        lists: Mapping[str, Any],
    ) -> Iterator[ExampleShard]:
        own = str(shard.split) if shard.split not in (None, features.TRAIN) else None
        fractions, decision = self.fractions[span], self.decisions[span]
        parts = {split: Part(sources.unit_of(shard)) for split in features.SPLITS}
        for row in sources.read(shard, self.params):
            summary.num_read += 1
            if isinstance(row, BadRow):
                lists[BAD_ROWS].write(json.dumps(row._asdict()) + "\n")
                summary.num_bad[row.problem] = summary.num_bad.get(row.problem, 0) + 1
                if len(summary.quoted) < NUM_QUOTED:
                    summary.quoted.append(f"{row.file}:{row.line}: {row.reason}")
                continue
            content = identity(row.content)
            split, label = own, row.label
            if split is None:
                content_digest = digest_of(content)
                split = split_at(content_digest, fractions)
                if split != features.TRAIN:
                    summary.note_nearest(label.decode(), content_digest)
                    if content_digest in decision.moved:
                        _list(lists[RARE_ROWS], row, split, "moved to train")
                        add(summary.moved, split, label.decode())
                        split = features.TRAIN
            if decision.left_out or decision.gathered:
                name = label.decode()
                if name in decision.left_out:
                    _list(lists[RARE_ROWS], row, split, "left out")
                    add(summary.left_out, split, name)
                    continue
                if name in decision.gathered:
                    _list(lists[RARE_ROWS], row, split, f"counted as {self.params.other_class}")
                    add(summary.gathered, split, name)
                    label = self.params.other_class.encode()
            self._count(row, label.decode(), split, summary)
            part = parts[split]
            part.contents.append(row.content)
            part.labels.append(label)
            if split in origins.SPLITS:
                part.origins.add(row.file, row.line)
            part.num_bytes += len(content) + ROW_BYTES * (
                len(row.content) if isinstance(row.content, list) else 1
            )
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
            origins.write(
                places, shard.contents, origins.path_in(self.folders[span], split, shard.name)
            )
        return shard

    def _count(self, row: Row, label: str, split: str, summary: Summary) -> None:
        labels = summary.num_rows.setdefault(split, {})
        if label not in labels:
            labels[label] = 0
            summary.places.setdefault(split, {})[label] = f"{row.file}:{row.line}"
        labels[label] += 1
        if (
            self.params.content == features.SEQUENCE
            and (dim := str(row.content.shape[1])) not in summary.dims
        ):
            summary.dims[dim] = f"{row.file}:{row.line}"


def _list(file: Any, row: Row, split: str, done: str) -> None:
    """A line for a row of a rare class. split: the one that it would have been in."""
    file.write(
        json.dumps(
            {
                "file": row.file,
                "line": row.line,
                "label": row.label.decode(),
                "split": split,
                "done": done,
            }
        )
        + "\n"
    )


class WriteShard(beam.DoFn):
    """ExampleShard -> its file in the folder of its span."""

    def __init__(self, folders: Mapping[int, str], content: example_files.Content) -> None:
        self.folders = folders
        self.content = content

    def process(self, shard: ExampleShard) -> Iterator[None]:
        example_files.write(
            shard, f"{self.folders[shard.span]}/Split-{shard.split}/{shard.name}", self.content
        )
        yield from ()


def _collect(summaries: Iterable[Any]) -> list[Any]:
    """A CombineFn in one function: Beam hands it elements first, then lists of its own results."""
    collected = []
    for each in summaries:
        collected += each if isinstance(each, list) else [each]
    return collected


def _write_json(value: Any, path: str) -> None:
    path_of(path).write_text(json.dumps(value))


def validate_rows(summary: Summary, params: ExampleGenParams) -> None:
    """Raises DataError for more bad rows than max_bad_fraction, and for sequences whose time steps
    differ.
    """
    allowed = math.floor(
        params.max_bad_fraction * summary.num_read + 1e-9
    )  # 0.29 * 100 is 28.999...
    num_bad = sum(summary.num_bad.values())
    if num_bad > allowed:
        enough = enough_for(num_bad, summary.num_read)
        way_out = (
            f", or set example_gen.max_bad_fraction to {enough:g} to skip and list them"
            if enough
            else ""
        )
        raise DataError(
            f"{_bad_rows(num_bad, summary)} cannot be used; example_gen.max_bad_fraction"
            f" {params.max_bad_fraction:g} allows {allowed:,}: {_quoted(num_bad, summary)}. Correct"
            f" them{way_out}."
        )
    if len(summary.dims) > 1:
        (dim, place), (other, other_place) = list(summary.dims.items())[:2]
        raise DataError(
            f"A time step holds {dim} numbers at {place} and {other} at {other_place}; every one"
            " must hold as many."
        )


def enough_for(num_bad: int, num_read: int) -> float | None:
    """The lowest round max_bad_fraction, of so few digits as can be, that allows so many bad rows.

    None where all are bad.
    """
    if num_bad == num_read:
        return None
    digits = 2
    while True:
        fraction = math.ceil(num_bad / num_read * 10**digits) / 10**digits
        # One that allows a tenth more than there are is round enough.
        if fraction < 1 and fraction * num_read <= max(num_bad * 1.1, num_bad + 1):
            return fraction
        digits += 1


def _bad_rows(num_bad: int, summary: Summary) -> str:
    return f"{num_bad:,} of {summary.num_read:,} rows ({num_bad / summary.num_read:.2%})"


def _quoted(num_bad: int, summary: Summary) -> str:
    more = (
        f" ... and {num_bad - len(summary.quoted):,} more" if num_bad > len(summary.quoted) else ""
    )
    return "; ".join(summary.quoted) + more


def validate(summary: Summary, params: ExampleGenParams) -> None:
    """Raises DataError for rows with which no model can be trained or measured. summary.

    Of the rows as they are used.
    """
    for split in features.SPLITS:
        if not summary.num_in(split):
            raise DataError(f"The {split} split has no row {_why_empty(split, summary, params)}")
    labels = sorted({label for counts in summary.num_rows.values() for label in counts})
    if len(labels) < 2:
        left_out = (
            f" ({total(summary.left_out):,} rows of rare classes are left out)"
            if summary.left_out
            else ""
        )
        raise DataError(
            f"All {total(summary.num_rows):,} rows have the label {labels[0]!r}{left_out}; a"
            " classifier needs two classes. Is example_gen.label the right column?"
        )


def _why_empty(split: str, summary: Summary, params: ExampleGenParams) -> str:
    """In brackets, with the way out."""
    if left_out := summary.left_out.get(split):
        labels = sorted(left_out)
        named = ", ".join(repr(label) for label in labels[:3]) + (
            ", ..." if len(labels) > 3 else ""
        )
        few = (
            "no row"
            if params.min_class_rows == 1
            else f"fewer than {params.min_class_rows:,} rows (example_gen.min_class_rows)"
        )
        return (
            f"left: train has {few} of"
            f" {'its only label' if len(labels) == 1 else 'every label in it'} ({named}). Is"
            " example_gen.label the right column in every file? Add such rows to train."
        )
    counts: Counter[str] = Counter()
    for each in summary.num_rows.values():
        counts.update(each)
    num_single = sum(count == 1 for count in counts.values())
    if 2 * num_single > len(counts) > 2:
        doubt = (
            f"{num_single:,} of {len(counts):,} labels occur once: is example_gen.label the right"
            " column?"
        )
        return f"({summary.num_read:,} rows were read). {doubt}"
    return (
        f"({summary.num_read:,} rows were read). Add rows, or raise example_gen.{split}_fraction."
    )
