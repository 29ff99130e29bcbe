"""The second pass: tokens to ids, shard by shard, and sequences to standardised ones.

What a shard of Features holds follows from its tokens (or numbers) and from the ids that they get;
a shard for which neither changed is taken from the part that an earlier run kept.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from components.transform import TransformParams
from components.transform.analysis import TokenShard
from components.transform.graph import Parameters
from seqline.component import Figures
from seqline.data import examples as example_files
from seqline.data import features, tf_example_writer
from seqline.data.examples import Manifest, span_of
from seqline.data.span_cache import SpanCache, link
from seqline.host import progress
from seqline.jobs.beam import job
from seqline.storage.staging import path_of

# A shard is written in seconds; what is that old is written by nobody.
LEFT_OVER_SECONDS = 3600
# Counts beside those by split.
AT_MAX_LENGTH = "at_max_length"
MADE = "made"


def materialize(
    examples: Path,
    manifest: Manifest,
    parameters: Parameters,
    params: TransformParams,
    parts: Mapping[int, Path],
    output: Path,
    span_cache: SpanCache,
    beam_args: Sequence[str],
) -> Figures:
    """Writes `Split-*/` under `output`, each shard under the name of the shard that it comes from.

    parts: of the first pass, by span. Returns num_rows by split; num_at_max_length, the rows that
    fill max_length and may have been cut; num_made, the shards that no earlier run had made.
    """
    span_cache.root.mkdir(parents=True, exist_ok=True)
    for left_over in span_cache.root.glob("*.part"):  # of a run that was killed
        if time.time() - left_over.stat().st_mtime > LEFT_OVER_SECONDS:
            left_over.unlink(missing_ok=True)
    jobs = []
    for split in manifest.splits:
        (output / f"Split-{split}").mkdir()
        for path in features.shards(examples, split):
            tokens = parts[span_of(path)] / f"Split-{split}" / f"{path.name}.arrow"
            source = path if manifest.content == features.SEQUENCE else tokens
            jobs.append((split, str(source), str(output / f"Split-{split}" / path.name)))
    progress.begin("transforming", len(jobs), "shards")
    with job(beam_args) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(jobs)
            | "Spread" >> beam.Reshuffle()
            | "Transform" >> beam.ParDo(TransformShard(parameters, params.max_length, span_cache))
            | "Total" >> beam.CombineGlobally(total)
            | "WriteCounts" >> beam.Map(partial(write_counts, path=str(output / "counts")))
        )
    counts = Counter(
        {
            key: int(count)
            for key, count in map(str.split, (output / "counts").read_text().splitlines())
        }
    )
    (output / "counts").unlink()
    return {
        "num_rows": {split: counts[split] for split in manifest.splits},
        "num_at_max_length": counts[AT_MAX_LENGTH],
        "num_made": counts[MADE],
    }


class TransformShard(beam.DoFn):
    """(split, path of a tokenised shard or of Examples, path of Features) -> rows by split, rows at
    max_length, shards made.
    """

    def __init__(self, parameters: Parameters, max_length: int, span_cache: SpanCache) -> None:
        self.content = parameters.content
        self.folder = str(parameters.folder)
        self.standardization = (parameters.dim, parameters.mean, parameters.scale)
        self.max_length = max_length
        self.span_cache = span_cache

    @cached_property
    def vocabularies(self) -> dict[str, dict[bytes, int]]:
        """name -> entry -> rank, read once by every worker."""
        found = {}
        for name in (features.TOKENS_VOCABULARY, features.LABELS_VOCABULARY):
            path = path_of(self.folder) / name
            if path.exists():
                found[name] = {
                    entry: rank for rank, entry in enumerate(path.read_bytes().split(b"\n")[:-1])
                }
        return found

    def process(self, shard: tuple[str, str, str]) -> Iterator[Counter[str]]:
        split, source, target = shard
        name, columns, length = (
            self._sequences if self.content == features.SEQUENCE else self._tokens
        )(source)
        piece = self.span_cache.path(features=name)
        counts = Counter(
            {split: len(length), AT_MAX_LENGTH: int((length == self.max_length).sum()), MADE: 0}
        )
        if not piece.exists():
            example_files.write_records(piece, tf_example_writer.examples(columns()))
            counts[MADE] = 1
        link(piece, path_of(target))
        progress.advance()
        yield counts

    def _labels(self, labels: Sequence[bytes]) -> np.ndarray:
        known = self.vocabularies[features.LABELS_VOCABULARY]
        return np.array([known[label] for label in labels], np.int64)

    def _tokens(self, source: str) -> tuple[str, Any, np.ndarray]:
        """(digest of the result, what makes its columns, the rows' lengths)."""
        shard = TokenShard.read(source)
        known = self.vocabularies[features.TOKENS_VOCABULARY]
        oov = features.oov_id(len(known))
        # Ranks count from 0, ids from 1: 0 is PAD.
        id_of = np.array([known.get(token, oov - 1) + 1 for token in shard.tokens], np.uint32)
        label = self._labels(shard.labels)
        length = np.minimum(shard.lengths, self.max_length).astype(np.int64)

        def columns() -> list[list[bytes]]:
            ends = np.cumsum(shard.lengths, dtype=np.int64)
            position = np.arange(len(shard.indices)) - np.repeat(
                ends - shard.lengths, shard.lengths
            )
            ids = id_of[shard.indices[position < self.max_length]]
            return [
                tf_example_writer.int_lists(features.IDS, ids, length),
                tf_example_writer.few_int_features(features.LABEL, label),
                tf_example_writer.few_int_features(features.LENGTH, length),
            ]

        return self._digest([id_of, shard.indices, shard.lengths, label]), columns, length

    def _sequences(self, source: str) -> tuple[str, Any, np.ndarray]:
        dim, mean, scale = self.standardization
        assert dim, "a sequence has a dimension"
        shard = example_files.read(source, "sequence", dim)
        label = self._labels(shard.labels)
        length = np.array([min(len(row), self.max_length) for row in shard.contents], np.int64)
        steps = np.concatenate(
            [row[: self.max_length] for row in shard.contents]
        )  # [time of all rows, dim]

        def columns() -> list[list[bytes]]:
            return [
                tf_example_writer.few_int_features(features.LABEL, label),
                tf_example_writer.few_int_features(features.LENGTH, length),
                tf_example_writer.float_lists(
                    features.VALUES, ((steps - mean) * scale).ravel(), length * dim
                ),
            ]

        return self._digest([steps, mean, scale, length, label]), columns, length

    def _digest(self, arrays: Iterable[np.ndarray]) -> str:
        whole = blake2b(f"{self.content} {self.max_length}".encode(), digest_size=16)
        for array in arrays:
            whole.update(str(array.shape).encode())
            whole.update(np.ascontiguousarray(array).data)
        return whole.hexdigest()


def total(counts: Iterable[Counter[str]]) -> Counter[str]:
    """The sum of counters."""
    return sum(counts, Counter())


def write_counts(counts: Counter[str], path: str) -> None:
    """One `name count` a line."""
    path_of(path).write_text("".join(f"{name} {count}\n" for name, count in sorted(counts.items())))
