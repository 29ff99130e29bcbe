"""Batches and chunks."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.bulk_inferrer.chunks import cut, most_rows
from components.bulk_inferrer.model import BATCH_CELLS, BATCH_ROWS, batches
from seqline.rows.row import BadRow, Row
from tests.support.bulk import answers, infer, write_texts
from tests.support.corpus import corpus_rows


@given(st.lists(st.integers(0, 3000), max_size=1500), st.integers(1, 100))
def test_a_batch_holds_rows_of_similar_length_and_each_row_is_in_one(
    lengths: list[int], width: int
) -> None:
    cut_batches = batches(lengths, width)
    assert sorted(row for batch in cut_batches for row in batch) == list(range(len(lengths)))
    assert all(cut_batches)
    for batch in cut_batches:
        assert len(batch) <= BATCH_ROWS
        assert (
            len(batch) == 1
            or len(batch) * max(lengths[row] for row in batch) * width <= BATCH_CELLS
        )
    for one, next_one in pairwise(cut_batches):
        assert max(lengths[row] for row in one) <= min(lengths[row] for row in next_one)


@given(
    st.lists(st.one_of(st.integers(0, 100), st.none()), max_size=60), st.sets(st.integers(0, 12))
)
def test_chunks_are_the_rows_in_their_order_whichever_are_left_out(
    sizes: list[int | None], done: set[int]
) -> None:
    rows = [
        BadRow("f", line, "", "type") if size is None else Row(b"x" * size, b"", "f", line)
        for line, size in enumerate(sizes)
    ]
    whole = list(cut(rows, 3, max_rows=7, max_bytes=500))
    rest = list(cut(rows, 3, done, max_rows=7, max_bytes=500))

    assert [
        row.line
        for chunk in whole
        for row in sorted([*chunk.rows, *chunk.bad], key=lambda row: row.line)
    ] == list(range(len(sizes)))
    assert [(chunk.shard, chunk.number, chunk.last) for chunk in whole] == [
        (3, n, n == len(whole) - 1) for n in range(len(whole))
    ]
    assert all(len(chunk.rows) + len(chunk.bad) <= 7 for chunk in whole)
    assert rest == [chunk for chunk in whole if chunk.number not in done]


def test_chunks_and_batches_of_many_classes_have_fewer_rows() -> None:
    # At most 2**24 probabilities, which are 64 MiB.
    assert batches([3, 1, 2, 1, 1], most_rows=2) == [[1, 3], [4, 2], [0]]
    assert [most_rows(num) for num in (2, 1024, 1025, 10_000, 2**25)] == [
        *(16_384, 16_384, 16_368, 1677),
        1,
    ]


@pytest.mark.usefixtures("small")
def test_many_shards_and_chunks_keep_the_order(tmp_path: Path, served: Path) -> None:
    texts = [row["text"] for row in corpus_rows(120)]
    source = write_texts(tmp_path / "a.jsonl", texts)
    write_texts(tmp_path / "b.jsonl", texts[:2])
    figures = infer(tmp_path / "out", served, tmp_path / "*.jsonl", chunk_rows=9, keep=["id"])

    predictions = answers(tmp_path / "out")
    assert [row["text"] for row in predictions] == [*texts, *texts[:2]]
    assert [(row["file"], row["line"]) for row in predictions[:120]] == [
        (str(source), number + 1) for number in range(120)
    ]

    files = json.loads((tmp_path / "out" / "predictions.json").read_text())["files"]
    assert [file["name"] for file in files] == sorted(
        path.name for path in (tmp_path / "out").glob("predictions-*")
    )
    assert len(files) > 14
    assert len({file["name"].partition("-of-")[0] for file in files}) > 4
    assert sum(file["num_rows"] for file in files) == figures["num_rows"] == 122
    assert sorted(
        path.name
        for path in (tmp_path / "out").iterdir()
        if not path.name.startswith("predictions-")
    ) == [
        ".lock",
        "predictions.json",
        "task.json",
    ]
