"""The first pass: tokenised shards, and counts of which one bucket is in memory."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.transform import TransformParams, vocabulary
from components.transform.analysis import COUNTS, TokenizeShard, buckets_of, write_sum
from components.transform.text import normalize, tokenize
from seqline.data import counts
from seqline.data.buckets import NUM_BUCKETS
from seqline.data.examples import ExampleShard
from seqline.data.features import TRAIN
from seqline.data.table_merge import shard_path

BATCH = [tf.TensorSpec([None], tf.string)]
compiled_lower = tf.function(lambda text: normalize(text, True), input_signature=BATCH)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(
        st.text(st.sampled_from("aB \t\u0085é!.'\u0300İ\u200b漢"), max_size=12),
        min_size=1,
        max_size=8,
    ),
    tokens=st.sampled_from(["word", "char"]),
)
def test_tokenised_shards_hold_the_graphs_tokens(texts: list[str], tokens: str) -> None:
    tokenizer = TokenizeShard({}, "text", TransformParams(tokens=tokens))
    tokenizer.setup()
    shard = tokenizer.tokenize(
        ExampleShard(0, TRAIN, "x", [text.encode() for text in texts], [b"a"] * len(texts))
    )
    ends = np.cumsum(shard.lengths)
    tokens_written = [
        [shard.tokens[index] for index in shard.indices[end - length : end]]
        for end, length in zip(ends, shard.lengths, strict=True)
    ]

    normalized = compiled_lower(tf.constant([text.encode() for text in texts]))
    assert tokens_written == tokenize(normalized, tokens).to_list()
    assert len(set(shard.tokens)) == len(shard.tokens)


def test_the_sum_of_tables_holds_one_bucket_at_a_time(tmp_path: Path) -> None:
    tables = []
    for number in range(3):
        tables.append(shard_path(str(tmp_path), COUNTS, str(number)))
        # A third of the entries is in all tables.
        entries = [
            f"{'' if entry % 3 else number}token {entry}".encode() for entry in range(60_000)
        ]
        counts.write(tables[-1], counts.split(dict.fromkeys(entries, number + 1)))
    (tmp_path / COUNTS).mkdir()

    def peak_of(work: Callable[[], object]) -> int:
        gc.collect()
        tracemalloc.start()
        kept = work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        del kept
        return peak

    def whole() -> dict[bytes, int]:
        return {
            entry: count
            for bucket in range(NUM_BUCKETS)
            for entry, count in counts.sum_bucket([(table, bucket) for table in tables]).items()
        }

    def streamed() -> tuple:
        buckets = ([(table, bucket) for table in tables] for bucket in range(NUM_BUCKETS))
        write_sum(COUNTS, buckets, str(tmp_path / COUNTS / "00000.arrow"))
        return vocabulary.rank(
            buckets_of([tmp_path]), TransformParams(vocab_size=10, min_frequency=1)
        )

    tokens, figures, _ = streamed()
    assert figures["num_distinct_tokens"] == 100_000 == len(whole())
    # Counted 1 + 2 + 3 times, as 39,999 others; it is the last of them in the order of bytes.
    assert tokens[0] == b"token 9998"
    assert peak_of(streamed) < peak_of(whole) / 8
