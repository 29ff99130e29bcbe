"""The Beam job: shards to chunks of rows, chunks to answers, answers to files.

An element is a chunk. Its predictions appear by a rename, and the note that they are there after
them: a bundle that is tried again rewrites both with the same bytes, and a run that was killed
leaves out the chunks that have their note.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import RunInference

from components.bulk_inferrer import BulkInferrerParams, folder, predictions
from components.bulk_inferrer.chunks import Chunk, cut
from components.bulk_inferrer.folder import Task
from components.bulk_inferrer.model import Answered, SavedModelHandler, read_signature
from components.bulk_inferrer.source import row_format
from seqline.component import Figures
from seqline.data.examples import write_records
from seqline.host import progress
from seqline.jobs.beam import job
from seqline.rows.read import cut as cut_files
from seqline.rows.read import read
from seqline.rows.row import RowFormat
from seqline.rows.shards import Shard
from seqline.storage.staging import path_of, writing

log = logging.getLogger("seqline.bulk_inferrer")

NAMESPACE = "seqline.bulk_inferrer"

# Number of the shard, the shard, and its chunks that are there already.
Job = tuple[int, Shard, frozenset[int]]


def infer(task: Task, params: BulkInferrerParams, beam_args: Iterable[str] = ()) -> Figures:
    """Writes the predictions that are missing.

    See `components.bulk_inferrer.run` for what it raises.
    """
    if figures := folder.finished(task.folder):
        folder.validate(folder.summary(task.folder), params)
        return figures
    asked = read_signature(task.model, params.signature)
    shards = list(cut_files(task.kind, task.files))
    jobs: list[Job] = []
    there = folder.done(task.folder)
    for number, shard in enumerate(shards):
        chunks, whole = there.get(number, (frozenset[int](), False))
        if not whole:
            jobs.append((number, shard, chunks))
    is_new = len(jobs) == len(shards) and not any(chunks for _, _, chunks in jobs)
    if not is_new:
        log.info(
            "%d of %d shards are there, and %d chunks of others",
            len(shards) - len(jobs),
            len(shards),
            sum(len(j[2]) for j in jobs),
        )
    if jobs:
        progress.begin(
            "predicting",
            unit="rows",
            num_bytes=sum(file.size for file in task.files) if is_new else None,
        )
        with job([*beam_args]) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create(jobs)
                | "Spread" >> beam.Reshuffle()
                | "Read" >> beam.ParDo(ReadChunks(row_format(params, asked.content, asked.dim)))
                | "Ask" >> RunInference(SavedModelHandler(str(task.model), params.signature, asked))
                | "Write"
                >> beam.ParDo(WriteChunk(str(task.folder), len(shards), asked.content, params))
            )
    progress.tell("checking that all is there")
    return folder.finish(task, params, asked.labels)


class ReadChunks(beam.DoFn):
    """Job -> lists of one Chunk.

    The runner hands each on before the next is read, so that one or two are in memory.
    """

    def __init__(self, format_: RowFormat) -> None:
        self.format = format_

    def process(self, job: Job) -> Iterator[list[Chunk]]:
        number, shard, done = job
        for chunk in cut(read(shard, self.format), number, done):
            progress.expect(len(chunk.rows) + len(chunk.bad))
            yield [chunk]


class WriteChunk(beam.DoFn):
    """Answered -> its file, and then its note."""

    def __init__(
        self, output: str, num_shards: int, content: str, params: BulkInferrerParams
    ) -> None:
        self.output = output
        self.num_shards = num_shards
        self.content = content if params.with_content else None
        self.format = params.format
        self.keep = params.keep

    def process(self, answered: Answered) -> Iterator[None]:
        chunk = answered.chunk
        name = f"predictions-{chunk.shard:05d}-of-{self.num_shards:05d}-{chunk.number:05d}{predictions.SUFFIXES[self.format]}"
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
        _replace(
            folder.chunk_path(path_of(self.output), chunk.shard, chunk.number),
            [json.dumps(note).encode()],
        )
        Metrics.counter(NAMESPACE, "rows").inc(len(chunk.rows))
        Metrics.counter(NAMESPACE, "bad_rows").inc(len(chunk.bad))
        Metrics.counter(NAMESPACE, "chunks").inc()
        if chunk.rows:
            log.info("predicted up to %s:%d", chunk.rows[-1].file, chunk.rows[-1].line)
        yield from ()

    def _write(self, answered: Answered, path: Path) -> None:
        if self.format == "tfrecord":
            write_records(path, predictions.tf_examples(answered, self.content, self.keep))
        else:
            _replace(path, predictions.json_lines(answered, self.content, self.keep))


def _replace(path: Path, lines: Iterable[bytes]) -> None:
    """A file that appears whole or not at all."""
    with writing(path) as name, open(name, "wb") as file:
        file.writelines(lines)
