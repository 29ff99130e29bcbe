"""The second pass: tokens to ids, shard by shard, and sequences to standardised ones.

A shard of Features follows from its tokens (or numbers) and from the ids that they get. A shard for
which neither changed is linked from the span cache, where an earlier run kept it. Its n-grams
follow from its tokens and the table of n-grams, and are kept in the same way.
"""

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
from components.transform.ngram_rows import rows_of
from seqline.component import Figures
from seqline.data import examples as example_files
from seqline.data import features, ngrams, tf_example_writer
from seqline.data.elements import elements
from seqline.data.examples import span_of
from seqline.data.manifest import Manifest
from seqline.data.span_cache import SpanCache, link
from seqline.host import progress
from seqline.jobs.beam import job
from seqline.storage.staging import path_of

# The file of a part of the span cache.
SHARD = "features.gz"
NGRAMS = "ngrams.arrow"
# Names of counts; the others are names of splits.
CUT = "cut"
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
    """Writes `Split-*/` and `Ngrams-*/` under `output`.

    Each shard has the name of the shard that it comes from.

    Args:
        examples: the Examples.
        manifest: of the Examples.
        parameters: what the graph holds.
        params: of the transform, with a max_length.
        parts: span -> its part, which the first pass made.
        output: the artifact.
        span_cache: where shards of Features are kept.
        beam_args: the flags that say where Beam runs.

    Returns:
        num_rows by split; num_cut, the rows that are longer than max_length; num_made, the shards
        of `Split-*/` that no earlier run had made.
    """
    assert params.max_length, "max_length is known before the second pass"
    span_cache.root.mkdir(parents=True, exist_ok=True)

    has_ngrams = params.most_ngrams(manifest.content) > 0
    shards = []
    for split in manifest.splits:
        (output / f"Split-{split}").mkdir()
        if has_ngrams:
            ngrams.folder_of(output, split).mkdir()
        for path in features.shards(examples, split):
            tokens = parts[span_of(path)] / f"Split-{split}" / f"{path.name}.arrow"
            source = path if manifest.content == features.SEQUENCE else tokens
            shards.append((split, str(source), str(output / f"Split-{split}" / path.name)))

    progress.begin("transforming", len(shards), "shards")
    with elements(shards, span_cache.list_folder()) as source, job(beam_args) as pipeline:
        _ = (
            pipeline
            | "Shards" >> source
            | "Transform"
            >> beam.ParDo(
                TransformShard(
                    parameters, params.max_length, span_cache, manifest.is_weighted, has_ngrams
                )
            )
            | "Total" >> beam.CombineGlobally(total)
            | "WriteCounts" >> beam.Map(partial(write_counts, path=str(output / "counts")))
        )

    counts: Counter[str] = Counter()
    for line in (output / "counts").read_text().splitlines():
        key, count = line.split()
        counts[key] = int(count)

    (output / "counts").unlink()
    return {
        "num_rows": {split: counts[split] for split in manifest.splits},
        "num_cut": counts[CUT],
        "num_made": counts[MADE],
    }


class TransformShard(beam.DoFn):
    """Makes a shard of Features, or links one that an earlier run made.

    (split, path of a tokenised shard or of Examples, path of Features) -> counts: rows by split,
    rows that are cut, shards made.
    """

    def __init__(
        self,
        parameters: Parameters,
        max_length: int,
        span_cache: SpanCache,
        is_weighted: bool,
        has_ngrams: bool,
    ) -> None:
        self.content = parameters.content
        self.folder = str(parameters.folder)
        self.standardization = (parameters.dim, parameters.mean, parameters.scale)
        self.max_length = max_length
        self.span_cache = span_cache
        self.is_weighted = is_weighted
        self.has_ngrams = has_ngrams

    def setup(self) -> None:
        # Not a property: Beam looks at all attributes when the job is put together.
        if not self.has_ngrams:
            return

        self.table = ngrams.Table.read(path_of(self.folder).parent / ngrams.TABLE)
        arrays = [
            np.array([len(self.table.tokens)]),
            self.table.orders,
            self.table.bounded,
            self.table.sequence_keys,
            self.table.character_keys,
        ]
        self.table_digest = _digest("table", arrays)

    @cached_property
    def vocabularies(self) -> dict[str, dict[bytes, int]]:
        """name -> entry -> rank from 0. Every worker reads them once."""
        vocabularies = {}
        for name in (features.TOKENS_VOCABULARY, features.LABELS_VOCABULARY):
            path = path_of(self.folder) / name
            if path.exists():
                entries = path.read_bytes().split(b"\n")[:-1]
                vocabularies[name] = {entry: rank for rank, entry in enumerate(entries)}
        return vocabularies

    def process(self, shard: tuple[str, str, str]) -> Iterator[Counter[str]]:
        split, source, target = shard
        read = self._sequences if self.content == features.SEQUENCE else self._tokens
        digest, columns, lengths = read(source)

        num_cut = int((lengths > self.max_length).sum())
        counts = Counter({split: len(lengths), CUT: num_cut, MADE: 0})
        part = self.span_cache.path(features=digest)
        with self.span_cache.making({0: part}) as folders:
            for folder in folders.values():
                example_files.write_records(folder / SHARD, tf_example_writer.examples(columns()))
                counts[MADE] = 1

        link(part / SHARD, path_of(target))
        if self.has_ngrams:
            self._write_ngrams(split, source, path_of(target))
        progress.advance()
        yield counts

    def _labels(self, labels: Sequence[bytes]) -> np.ndarray:
        known = self.vocabularies[features.LABELS_VOCABULARY]
        return np.array([known[label] for label in labels], np.int64)

    def _tokens(self, source: str) -> tuple[str, Any, np.ndarray]:
        """Reads a tokenised shard.

        Returns:
            The digest of its Features, a function that makes their columns, and the rows' lengths
            before they are cut (int32 [n]).
        """
        shard = TokenShard.read(source)
        id_of = self._ids_of(shard.tokens)
        label = self._labels(shard.labels)
        weights = [] if shard.weights is None else [shard.weights]
        length = np.minimum(shard.lengths, self.max_length).astype(np.int64)

        def columns() -> list[list[bytes]]:
            starts = np.cumsum(shard.lengths, dtype=np.int64) - shard.lengths  # [n]
            # Each token's place in its row: [tokens of all rows].
            position = np.arange(len(shard.indices)) - np.repeat(starts, shard.lengths)
            ids = id_of[shard.indices[position < self.max_length]]
            return [
                tf_example_writer.int_lists(features.IDS, ids, length),
                tf_example_writer.few_int_features(features.LABEL, label),
                tf_example_writer.few_int_features(features.LENGTH, length),
                *_columns_of(weights),
            ]

        arrays = [id_of, shard.indices, shard.lengths, length, label, *weights]
        return _digest(self.content, arrays), columns, shard.lengths

    def _write_ngrams(self, split: str, source: str, target: Path) -> None:
        """Makes or links the n-grams of a shard of Features."""
        shard = TokenShard.read(source)
        ids = self._ids_of(shard.tokens)
        labels = self._labels(shard.labels)
        arrays: list[np.ndarray] = [
            np.frombuffer(b"".join(shard.tokens), np.uint8),
            np.array([len(token) for token in shard.tokens], np.int64),
            *(ids, shard.indices, shard.lengths, labels),
            *([] if shard.weights is None else [shard.weights]),
        ]
        part = self.span_cache.path(ngrams=_digest(self.table_digest, arrays))
        with self.span_cache.making({0: part}) as folders:
            for folder in folders.values():
                rows = rows_of(
                    shard.tokens,
                    shard.indices,
                    shard.lengths,
                    ids,
                    self.table,
                    labels,
                    shard.weights,
                )
                rows.write(folder / NGRAMS)

        output = target.parent.parent
        link(part / NGRAMS, ngrams.folder_of(output, split) / f"{target.name}.arrow")

    def _ids_of(self, tokens: Sequence[bytes]) -> np.ndarray:
        # Ranks count from 0, ids from 1: 0 is PAD.
        known = self.vocabularies[features.TOKENS_VOCABULARY]
        oov = features.oov_id(len(known))
        return np.array([known.get(token, oov - 1) + 1 for token in tokens], np.uint32)

    def _sequences(self, source: str) -> tuple[str, Any, np.ndarray]:
        """Reads a shard of Examples; otherwise as `_tokens`."""
        dim, mean, scale = self.standardization
        assert dim, "a sequence has a dimension"
        shard = example_files.read(source, "sequence", dim, self.is_weighted)
        label = self._labels(shard.labels)
        weights = [] if shard.weights is None else [np.array(shard.weights, np.float32)]
        lengths = np.array([len(row) for row in shard.contents], np.int64)
        length = np.minimum(lengths, self.max_length)

        # [time of all rows, dim]
        steps = np.concatenate([row[: self.max_length] for row in shard.contents])

        def columns() -> list[list[bytes]]:
            values = ((steps - mean) * scale).ravel()
            return [
                tf_example_writer.few_int_features(features.LABEL, label),
                tf_example_writer.few_int_features(features.LENGTH, length),
                tf_example_writer.float_lists(features.VALUES, values, length * dim),
                *_columns_of(weights),
            ]

        # Not of max_length itself: where another one cuts the same, the Features are the same.
        arrays = [steps, mean, scale, length, label, *weights]
        return _digest(self.content, arrays), columns, lengths


def _digest(how: str, arrays: Iterable[np.ndarray]) -> str:
    digest = blake2b(how.encode(), digest_size=16)
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _columns_of(weights: Sequence[np.ndarray]) -> list[list[bytes]]:
    """The column of the weights, after all others; none where rows have no weights."""
    return [tf_example_writer.single_floats(features.WEIGHT, weight) for weight in weights]


def total(counts: Iterable[Counter[str]]) -> Counter[str]:
    """The sum of counters."""
    return sum(counts, Counter())


def write_counts(counts: Counter[str], path: str) -> None:
    """Writes counts, one `name count` a line."""
    path_of(path).write_text("".join(f"{name} {count}\n" for name, count in sorted(counts.items())))
