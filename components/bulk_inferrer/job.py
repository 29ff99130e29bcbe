"""The Beam job: shards to chunks of rows, chunks to answers, answers to files.

An element is a chunk. The file of its predictions appears by a rename, and then a note that it is
complete. A bundle that is tried again rewrites both with the same bytes. A run that continues a
killed one leaves out the chunks that have their note.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import RunInference

from components.bulk_inferrer import BulkInferrerParams, folder, predictions
from components.bulk_inferrer.chunks import Chunk, cut, most_rows
from components.bulk_inferrer.folder import InferTask
from components.bulk_inferrer.model import AnsweredChunk, SavedModelHandler
from components.bulk_inferrer.source import read_signature, row_format
from seqline.component import Figures
from seqline.data.elements import elements
from seqline.data.examples import write_records
from seqline.host import progress
from seqline.jobs.beam import job
from seqline.model.served import labels_of
from seqline.rows.read import cut as cut_files
from seqline.rows.read import read
from seqline.rows.row import RowFormat
from seqline.rows.shards import Shard
from seqline.storage.staging import path_of, writing

log = logging.getLogger("seqline.bulk_inferrer")

NAMESPACE = "seqline.bulk_inferrer"

# (the number of the shard, the shard, its chunks that are complete already)
Job = tuple[int, Shard, frozenset[int]]


def infer(
    task: InferTask,
    params: BulkInferrerParams,
    beam_args: Iterable[str] = (),
    chunk_rows: int | None = None,
    unverified: bool = False,
) -> Figures:
    """Writes the predictions that are missing.

    Args:
        task: The predictions to make.
        params: The settings.
        beam_args: Where Beam runs.
        chunk_rows: The greatest number of rows in a chunk; None: by the number of classes. All runs
            of a task need the same.
        unverified: Ask a pushed version even if its files are not those that were pushed.

    Raises:
        DataError: See `components.bulk_inferrer.run`.
    """
    if figures := folder.finished(task.folder):
        folder.validate(folder.totals_of(task.folder), params)
        return figures

    signature = read_signature(task.model, params.signature)
    format_ = row_format(params, signature.content, signature.dim)
    chunk_rows = chunk_rows or most_rows(len(labels_of(task.model)))
    shards = list(cut_files(task.kind, task.files))
    jobs = _missing(task, shards)
    is_new = len(jobs) == len(shards) and not any(chunks for _, _, chunks in jobs)
    if not is_new:
        log.info(
            "%d of %d shards are complete, and %d chunks of others",
            len(shards) - len(jobs),
            len(shards),
            sum(len(chunks) for _, _, chunks in jobs),
        )

    if jobs:
        progress.begin(
            "predicting",
            unit="rows",
            num_bytes=sum(file.size for file in task.files) if is_new else None,
        )

        handler = SavedModelHandler(str(task.model), params.signature, unverified)
        write = WriteChunk(str(task.folder), len(shards), signature.content, params)
        list_folder = task.folder / folder.CHUNKS / "elements"
        with elements(jobs, list_folder) as source, job([*beam_args]) as pipeline:
            _ = (
                pipeline
                | "Shards" >> source
                | "Read" >> beam.ParDo(ReadChunks(format_, chunk_rows))
                | "Ask" >> RunInference(handler)
                | "Write" >> beam.ParDo(write)
            )

    progress.tell("checking that all predictions are complete")
    return folder.finish(task, params, labels_of(task.model))


def _missing(task: InferTask, shards: Sequence[Shard]) -> list[Job]:
    """The shards that are not complete, with their chunks that are."""
    done = folder.done(task.folder)
    jobs: list[Job] = []
    for number, shard in enumerate(shards):
        chunks, is_whole = done.get(number, (frozenset[int](), False))
        if not is_whole:
            jobs.append((number, shard, chunks))
    return jobs


class ReadChunks(beam.DoFn):
    """Job -> lists of one Chunk.

    The runner hands each list on before the next is read, so that one or two are in memory.
    """

    def __init__(self, format_: RowFormat, chunk_rows: int) -> None:
        self.format = format_
        self.chunk_rows = chunk_rows

    def process(self, job: Job) -> Iterator[list[Chunk]]:
        number, shard, done = job
        for chunk in cut(read(shard, self.format), number, done, self.chunk_rows):
            progress.expect(len(chunk.rows) + len(chunk.bad))
            yield [chunk]


class WriteChunk(beam.DoFn):
    """Writes the file of an AnsweredChunk, and then its note."""

    def __init__(
        self, output: str, num_shards: int, content: str, params: BulkInferrerParams
    ) -> None:
        self.output = output
        self.num_shards = num_shards
        self.content = content if params.with_content else None
        self.format = params.format
        self.keep = params.keep

    def process(self, answered: AnsweredChunk) -> Iterator[None]:
        chunk = answered.chunk
        name = (
            f"predictions-{chunk.shard:05d}-of-{self.num_shards:05d}-{chunk.number:05d}"
            f"{predictions.SUFFIXES[self.format]}"
        )
        if chunk.rows:
            self._write(answered, path_of(self.output) / name)

        note = {
            "last": chunk.last,
            "name": name,
            "num_rows": len(chunk.rows),
            "first": f"{chunk.rows[0].file}:{chunk.rows[0].line}" if chunk.rows else None,
            "num_labels": predictions.counts(answered),
            "bad_rows": [row._asdict() for row in chunk.bad],
        }

        path = folder.chunk_path(path_of(self.output), chunk.shard, chunk.number)
        _replace(path, [json.dumps(note).encode()])

        Metrics.counter(NAMESPACE, "rows").inc(len(chunk.rows))
        Metrics.counter(NAMESPACE, "bad_rows").inc(len(chunk.bad))
        Metrics.counter(NAMESPACE, "chunks").inc()
        if chunk.rows:
            log.info("predicted up to %s:%d", chunk.rows[-1].file, chunk.rows[-1].line)
        yield from ()

    def _write(self, answered: AnsweredChunk, path: Path) -> None:
        if self.format == "tfrecord":
            write_records(path, predictions.tf_examples(answered, self.content, self.keep))
        else:
            _replace(path, predictions.json_lines(answered, self.content, self.keep))


def _replace(path: Path, lines: Iterable[bytes]) -> None:
    """Writes a file that appears whole or not at all."""
    with writing(path) as name, open(name, "wb") as file:
        file.writelines(lines)
