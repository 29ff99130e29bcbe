"""Ingests a window of spans: each span's shards are read, split, counted and written on Beam.

The analyses of later stages see the rows in the same pass.

A span that an earlier run ingested is not read again. Its part (Split-*/, bad_rows/, rare_rows/,
origins/, span.json) is found in the span cache by its digest, and the artifact takes the part's
files over. What becomes of rare classes follows from all spans of the window: where it has some,
the spans that the decision is about are read a second time, and have other parts. The same holds
for splits that a column of splits lacks: all spans of the window are then read a second time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.example_gen import ExampleGenParams, rare, sources, split_column, splits
from components.example_gen.part_files import (
    SPAN_COUNTS,
    check_files,
    read_counts,
    take_over,
    write_counts,
)
from components.example_gen.rare import Decision
from components.example_gen.read_shards import (
    BAD_ROWS,
    COUNTS,
    RARE_ROWS,
    ReadShard,
    ShardJob,
    WriteShard,
)
from components.example_gen.row_counts import RowCounts
from components.example_gen.shard_sum import SumShards
from components.example_gen.split_by_digest import split_fractions
from components.example_gen.splits import SourceSpan
from components.example_gen.summary import figures_of, unused_files
from components.example_gen.validate import validate, validate_rows
from seqline.component import Figures
from seqline.data import features, origins
from seqline.data.elements import elements
from seqline.data.manifest import Manifest, Span, write_manifest
from seqline.data.span_cache import SpanCache
from seqline.digests import digest
from seqline.errors import DataError, UserError
from seqline.host import progress
from seqline.jobs.beam import job
from seqline.rows.row import Row

# The folders of a span's part.
FOLDERS = (
    *(f"Split-{split}" for split in features.SPLITS),
    BAD_ROWS,
    RARE_ROWS,
    origins.FOLDER,
)
NO_DECISION = Decision()
# Params that say which spans to take, when to give up and what is decided for all of them: they do
# not shape what a span's rows become by themselves.
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
    """Writes the artifact. See `components.example_gen.run` for its arguments and errors."""
    digest_cache = span_cache.root / "digests.json"
    window = sources.window(params, digest_cache)
    reader = WindowReader(window, params, span_cache, analyses, beam_args, digest_cache)
    parts, counts = reader.read({span.number: NO_DECISION for span in window})

    as_split = Decision(cut=split_column.missing_splits(counts, params))
    if not as_split.is_empty:
        # Rows of train go to the splits that the column lacks.
        parts, counts = reader.read(dict.fromkeys(parts, as_split))

    decision, rare_classes = rare.decide(counts, params)
    if not decision.is_empty:
        # The rows that it is about go to other splits, or nowhere: their spans are read again.
        decision = replace(decision, cut=as_split.cut)
        parts, counts = reader.read(
            {number: decision.of(part.counts) for number, part in parts.items()}
        )

    validate(counts, params, {part.split for span in window for part in span.parts})
    take_over([part.path for part in parts.values()], output, beam_args, span_cache.list_folder())
    dim = int(next(iter(counts.dims))) if counts.dims else None
    spans = tuple(_span(span, parts[span.number], params, as_split) for span in window)
    is_weighted = params.weight is not None
    manifest = Manifest(params.content, dim, spans, tuple(rare_classes), is_weighted)
    write_manifest(manifest, output)
    not_read, read_again = unused_files(window, counts), splits.read_again(window)
    return figures_of(counts, rare_classes, not_read, read_again) | {
        "num_files": sum(span.num_files for span in spans),
        "spans": [span.number for span in window],
        "num_spans_read": len(reader.numbers_read),
        "ignored_splits": sources.unused_splits(window[0], params),
        "cut_splits": [split for split in features.SPLITS if split in as_split.cut],
    }


@dataclass(frozen=True)
class SpanPart:
    """An ingested span.

    Attributes:
        key: The span's.
        path: Its finished folder in the span cache.
        counts: Its rows, without what only the sum of a window is asked for.
    """

    key: str
    path: Path
    counts: RowCounts


class WindowReader:
    """Reads the spans of a window, each once for each decision about it.

    Attributes:
        numbers_read: Spans that were read, because the span cache did not have them.
    """

    def __init__(
        self,
        window: Sequence[SourceSpan],
        params: ExampleGenParams,
        span_cache: SpanCache,
        analyses: Mapping[str, Callable[..., Any]],
        beam_args: Sequence[str],
        digest_cache: Path,
    ) -> None:
        self.window = window
        self.params = params
        self.span_cache = span_cache
        self.analyses = analyses
        self.beam_args = beam_args
        self.digest_cache = digest_cache
        self.numbers_read: set[int] = set()

    def read(self, decisions: Mapping[int, Decision]) -> tuple[dict[int, SpanPart], RowCounts]:
        """Makes the parts of spans that are missing.

        Returns:
            The parts of all spans, by their numbers, and the rows of all of them together.

        Raises:
            DataError: The source's files changed while they were read, or hold rows that no run
                can use.
            UserError: A file has no such column or feature.
        """
        keys = {
            span.number: span_key(span, self.params, decisions[span.number]) for span in self.window
        }
        paths = {number: self.span_cache.path(span=key) for number, key in keys.items()}
        with ExitStack() as stack:
            folders = stack.enter_context(self.span_cache.making(paths, in_place=True))
            missing = [span for span in self.window if span.number in folders]
            self.numbers_read |= set(folders)
            params = with_dim(missing, self.params)
            transforms = self._transforms(stack, missing, keys, params)

            if missing:
                read_spans(
                    missing,
                    params,
                    folders,
                    transforms,
                    self.beam_args,
                    decisions,
                    self.span_cache.list_folder(),
                )
                if sources.window(self.params, self.digest_cache) != self.window:
                    raise DataError(
                        f"The files of {params.source!r} changed while they were read; "
                        "nothing was kept. Run again."
                    )

            parts = {}
            whole = RowCounts()
            for number, path in paths.items():
                counts = read_counts(folders.get(number, path))
                if number in folders:
                    check_files(folders[number], counts)
                whole.merge(counts)
                # A place and a content for each class of each span would add up.
                counts.places, counts.nearest = {}, {}
                parts[number] = SpanPart(keys[number], path, counts)

            # Nothing is kept of rows that no run can use.
            validate_rows(whole, self.params)
        return parts, whole

    def _transforms(
        self,
        stack: ExitStack,
        missing: Sequence[SourceSpan],
        keys: Mapping[int, str],
        params: ExampleGenParams,
    ) -> dict[str, beam.PTransform]:
        """The transforms that later stages apply to the Examples of the missing spans.

        Their own parts are finished when the stack ends.
        """
        asked = {
            "spans": {span.number: keys[span.number] for span in missing},
            "content": params.content,
            "dim": params.dim,
        }

        transforms = {
            name: stack.enter_context(analyze(**asked)) for name, analyze in self.analyses.items()
        }
        return {name: transform for name, transform in transforms.items() if transform is not None}


def with_dim(spans: Iterable[SourceSpan], params: ExampleGenParams) -> ExampleGenParams:
    """The params with the dim of the first usable row, for sequences whose dim is not given."""
    if params.content != features.SEQUENCE or params.dim is not None:
        return params
    for span in spans:
        for shard in sources.shards(span, params)[0]:
            for row in sources.read(shard, params):
                if isinstance(row, Row):
                    return params.model_copy(update={"dim": row.content.shape[1]})
    return params


def span_key(span: SourceSpan, params: ExampleGenParams, decision: Decision = NO_DECISION) -> str:
    """The digest of all that shapes a span's shards.

    That is its number (which is in their names), its content, how rows are read, and what was
    decided for the window.
    """
    how = {name: value for name, value in params.key_fields().items() if name not in NOT_OF_A_SPAN}
    decided = [] if decision.is_empty else [decision.key(params)]
    return digest([span.number, span.version, span.digest, how, *decided])


def _span(span: SourceSpan, part: SpanPart, params: ExampleGenParams, as_split: Decision) -> Span:
    """The span's entry in the manifest.

    Args:
        span: The span.
        part: Its part.
        params: How it was read.
        as_split: The decision before anything was decided about rare classes.
    """
    counts = part.counts
    num_rows = {
        split: dict(sorted(counts.num_rows[split].items()))
        for split in features.SPLITS
        if split in counts.num_rows
    }

    num_left_out = {
        split: dict(sorted(labels.items())) for split, labels in sorted(counts.left_out.items())
    }
    return Span(
        number=span.number,
        key=part.key,
        version=span.version,
        num_read=counts.num_read,
        num_rows=num_rows,
        num_bad=dict(sorted(counts.num_bad.items())),
        num_left_out=num_left_out,
        key_as_read=span_key(span, params),
        key_as_split="" if as_split.is_empty else span_key(span, params, as_split),
        num_files=len(span.files) - counts.num_empty_files,
        unused_files=[asdict(record) for record in unused_files([span], counts)],
        num_normalized=counts.num_normalized,
        written=counts.written,
        num_swallowed=counts.num_swallowed,
        swallowing=counts.swallowing,
    )


def read_spans(
    spans: Sequence[SourceSpan],
    params: ExampleGenParams,
    folders: Mapping[int, Path],
    transforms: Mapping[str, beam.PTransform],
    beam_args: Sequence[str],
    decisions: Mapping[int, Decision],
    list_folder: Path,
) -> None:
    """Writes the parts of spans, and applies the transforms of later stages.

    Args:
        spans: Those to read.
        params: How they are read.
        folders: Number of a span -> the folder of its part.
        transforms: Name of a later stage -> its transform of the ExampleShards.
        beam_args: Where the job runs.
        decisions: Number of a span -> what was decided for it.
        list_folder: See `elements`.

    Raises:
        DataError: A file cannot be read to its end.
        UserError: A file has no such column or feature.
    """
    jobs: list[ShardJob] = []
    fractions = {}
    for span in spans:
        shards, _ = sources.shards(span, params)
        # The files of a split may be empty in one span: it takes no row of another split then.
        source_splits = {part.split for part in span.parts} or {shard.split for shard in shards}
        if params.split is not None:
            cut = decisions[span.number].cut
            source_splits = {split for split in features.SPLITS if split not in cut}
        fractions[span.number] = split_fractions(source_splits, params)
        jobs += [(span.number, number, shard) for number, shard in enumerate(shards)]
        for name in FOLDERS:
            (folders[span.number] / name).mkdir()

    places = {number: str(folder) for number, folder in folders.items()}
    _begin_progress(spans, len(jobs))
    read_shard = ReadShard(params, fractions, places, decisions)

    with elements(jobs, list_folder) as source, job(beam_args) as pipeline:
        outputs = (
            pipeline
            | "Shards" >> source
            | "Read" >> beam.ParDo(read_shard).with_outputs(COUNTS, main="examples")
        )

        _ = outputs.examples | "Write" >> beam.ParDo(WriteShard(places, params.content))
        for name, transform in transforms.items():
            _ = outputs.examples | f"Analyze[{name}]" >> transform

        _ = (
            outputs[COUNTS]
            | "SumCounts" >> beam.CombinePerKey(SumShards())
            | "WriteCounts" >> beam.MapTuple(partial(write_counts, folders=places))
        )

    for number, folder in folders.items():
        if not (folder / SPAN_COUNTS).exists():  # a span without a shard
            write_counts(number, RowCounts(), places)
        for message, exit_code in read_counts(folder).errors:
            raise UserError(message) if exit_code == UserError.exit_code else DataError(message)


def _begin_progress(spans: Sequence[SourceSpan], num_shards: int) -> None:
    num_bytes = sum(file.size for span in spans for file in span.files)
    if num_bytes:
        progress.begin("reading", num_bytes, "bytes")
    else:  # a TFDS data set
        progress.begin("reading", num_shards, "shards")
