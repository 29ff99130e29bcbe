"""The bulk inferrer: sources and bad rows."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.bulk_inferrer import (
    BULK_INFERRER,
    BulkInferrerParams,
    gate,
    job,
)
from components.example_gen import ExampleGenParams
from components.example_gen.sources import read as read_rows
from components.example_gen.sources import shards as shards_of
from components.example_gen.sources import window
from seqline.errors import DataError, UserError
from seqline.rows.row import Row
from tests.support.bulk import answers, infer, write_texts
from tests.support.models import fake_model


@pytest.mark.parametrize("content", ["text", "tokens", "sequence"])
def test_tfrecords_hold_the_same_and_can_be_trained_on(
    tmp_path: Path, served: Path, content: str
) -> None:
    rows = {
        "text": ["gold and tin", "fig"],
        "tokens": [["a"], ["b", "c"]],
        "sequence": [[[1, 2.5]], [[2, 0], [0, 1]]],
    }[content]

    model = served if content == "text" else fake_model(tmp_path / "model", content)
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    infer(tmp_path / "lines", model, source)
    infer(tmp_path / "records", model, source, format="tfrecord")
    [path] = (tmp_path / "records").glob("predictions-*")
    lines = answers(tmp_path / "lines")
    spec = {
        "file": tf.io.FixedLenFeature([], tf.string),
        "line": tf.io.FixedLenFeature([], tf.int64),
        "class_id": tf.io.FixedLenFeature([], tf.int64),
        "probabilities": tf.io.FixedLenFeature([len(lines[0]["probabilities"])], tf.float32),
    }

    parsed = tf.io.parse_example(list(tf.data.TFRecordDataset(str(path), "GZIP")), spec)
    assert parsed["file"].numpy().tolist() == [str(source).encode()] * 2
    assert parsed["line"].numpy().tolist() == [1, 2]
    assert parsed["class_id"].numpy().tolist() == [row["class_id"] for row in lines]
    np.testing.assert_allclose(
        parsed["probabilities"], [row["probabilities"] for row in lines], atol=1e-6
    )

    for fields in (
        {"source": str(path), "text": content},
        {"source": str(tmp_path / "lines" / "predictions-*.jsonl"), "text": content},
    ):
        params = ExampleGenParams(
            **fields, content=content, dim=2 if content == "sequence" else None
        )
        again = [
            row
            for span in window(params)
            for shard in shards_of(span, params)[0]
            for row in read_rows(shard, params)
        ]

        assert [row.label.decode() for row in again if isinstance(row, Row)] == [
            row["label"] for row in lines
        ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"source": "tfds:imdb_reviews"},
            "bulk_inferrer.source 'tfds:imdb_reviews': only files can be read",
        ),
        ({"source": "gone.csv"}, "bulk_inferrer.source 'gone.csv' matches no file under "),
        (
            {"source": "."},
            (
                "bulk_inferrer.source: the folder . holds files of several kinds, .csv, .jsonl"
                ' (a.csv, b.jsonl); name one kind by a glob, such as "./*.csv".'
            ),
        ),
        (
            {"source": "*"},
            (
                "bulk_inferrer.source '*' matches files of several kinds, ['.csv', '.jsonl']; name"
                " one kind."
            ),
        ),
        (
            {"text": "body"},
            (
                "a.csv has no column 'body' (bulk_inferrer.text); it has 'id', 'text'. Set"
                " bulk_inferrer.text to one of them."
            ),
        ),
        (
            {"keep": ["ids"]},
            (
                "a.csv has no column 'ids' (bulk_inferrer.keep); it has 'id', 'text'. Did you mean"
                " 'id'? Set bulk_inferrer."
            ),
        ),
        ({"keep": ["id", "id"]}, "bulk_inferrer.keep ['id', 'id'] names a column twice."),
        (
            {"encoding": "utf-9"},
            (
                "bulk_inferrer.encoding 'utf-9' is not an encoding that Python knows, such as"
                " utf-8, utf-16 or latin-1."
            ),
        ),
    ],
)
def test_a_source_that_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("id,text\n1,gold\n")
    Path("b.jsonl").write_text("{}\n")
    assert BULK_INFERRER.check
    with pytest.raises(UserError) as raised:
        BULK_INFERRER.check(BulkInferrerParams(**{"source": "a.csv"} | fields))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("name", ["serving_fats", "serving_top_k", "serving_examples", "classify"])
def test_a_signature_that_does_not_classify_rows(name: str, tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    with pytest.raises(
        UserError,
        match=(
            rf"has no signature '{name}' that reads rows and answers with probabilities, class_id,"
            r" label \(bulk_inferrer\.signature\); it has serving_default, serving_fast"
        ),
    ):
        infer(tmp_path / "out", served, source, signature=name)


def test_bad_rows_are_counted_and_listed(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(
        b'{"text": "gold"}\nno json\n{"texts": "x"}\n{"text": null}\n\n{"text": "\xff"}\n{"text":'
        b' "fig"}\n'
    )

    with pytest.raises(
        DataError,
        match=(
            r"^4 of 6 rows \(66\.67%\) cannot be used; bulk_inferrer\.max_bad_fraction 0\.5"
            r" allows 3: .*a\.jsonl:2: not JSON"
        ),
    ):
        infer(tmp_path / "out", served, source, max_bad_fraction=0.5)
    assert not (tmp_path / "out" / "predictions.json").exists()

    with monkeypatch.context() as patch:  # what was computed is kept
        patch.setattr(job, "job", lambda flags: pytest.fail("nothing is to be done"))
        figures = infer(tmp_path / "out", served, source, max_bad_fraction=0.7)

    assert (figures["num_rows"], figures["num_bad_rows"]) == (2, 4)
    assert [(row["line"], row["text"]) for row in answers(tmp_path / "out")] == [
        (1, "gold"),
        (7, "fig"),
    ]

    bad = [
        json.loads(line) for line in (tmp_path / "out" / "bad_rows.jsonl").read_text().splitlines()
    ]
    assert [(row["file"], row["line"], row["problem"]) for row in bad] == [
        (str(source), 2, "format"),
        (str(source), 3, "missing text"),
        (str(source), 4, "missing text"),
        (str(source), 6, "encoding"),
    ]
    assert BULK_INFERRER.describe(figures).endswith("; 4 bad rows skipped")
    with pytest.raises(DataError, match=r"^4 of 6 rows \(66.67%\) cannot be used"):
        infer(tmp_path / "out", served, source)
    with pytest.raises(DataError, match=r"^4 of 6 rows \(66.67%\) cannot be used"):
        gate(tmp_path / "out", BulkInferrerParams())


def test_bad_sequences_and_kept_values(tmp_path: Path) -> None:
    model = fake_model(tmp_path / "model", "sequence")
    source = tmp_path / "a.csv"
    source.write_bytes(b'id,text\n1,"[[1, 2]]"\n2,"[[1, 2, 3]]"\n3,[]\n\xff,"[[1, 2]]"\n')
    infer(tmp_path / "out", model, source, keep=["id"], max_bad_fraction=0.9)
    assert [row["id"] for row in answers(tmp_path / "out")] == ["1", {"b64": "/w=="}]

    bad = [
        json.loads(line)["reason"]
        for line in (tmp_path / "out" / "bad_rows.jsonl").read_text().splitlines()
    ]
    assert bad == [
        "a time step has 3 numbers, not the model's 2",
        "the sequence is empty",
    ]


def test_a_sequence_without_a_class_is_a_bad_row(tmp_path: Path) -> None:
    """The sum of its numbers is infinite, and the model's probabilities are NaN."""
    model = fake_model(tmp_path / "model", "sequence")
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": [[1, 2]]}\n{"text": [[3e38, 2], [3e38, 2]]}\n{"text": [[2, 2]]}\n')
    figures = infer(tmp_path / "out", model, source, max_bad_fraction=0.5)
    assert (figures["num_rows"], figures["num_bad_rows"]) == (2, 1)
    assert [(row["line"], row["label"]) for row in answers(tmp_path / "out")] == [
        (1, "odd"),
        (3, "even"),
    ]

    [bad] = map(json.loads, (tmp_path / "out" / "bad_rows.jsonl").read_text().splitlines())
    assert (bad["line"], bad["problem"]) == (2, "format")
    assert bad["reason"] == (
        "the model's probabilities for it are not finite: its numbers are too large"
    )
    with pytest.raises(DataError, match=r"1 of 3 rows \(33.33%\) cannot be used"):
        infer(tmp_path / "strict", model, source)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_the_numbers_of_a_sequence_are_written_as_the_source_has_them(
    suffix: str, tmp_path: Path
) -> None:
    """16,777,217 is no float32."""
    model = fake_model(tmp_path / "model", "sequence")
    source = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        source.write_text('text\n"[[16777217, 0.1]]"\n"[3, 0.1, 2, 0.2]"\n')
    else:
        source.write_text('{"text": [[16777217, 0.1]]}\n{"text": [3, 0.1, 2, 0.2]}\n')
    infer(tmp_path / "out", model, source)
    assert [row["sequence"] for row in answers(tmp_path / "out")] == [
        [[16777217, 0.1]],
        [[3, 0.1], [2, 0.2]],
    ]


def test_only_bad_rows_make_no_file(tmp_path: Path, served: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("1\n2\n")
    params = BulkInferrerParams(source=str(source), max_bad_fraction=0.99)
    with pytest.raises(DataError, match=r"2 of 2 rows \(100.00%\) cannot be used"):
        infer(tmp_path / "out", served, source, max_bad_fraction=params.max_bad_fraction)
    assert not list((tmp_path / "out").glob("predictions-*"))


def test_a_damaged_file_is_an_error_of_one_line(tmp_path: Path, served: Path) -> None:
    source = tmp_path / "a.jsonl.gz"
    source.write_bytes(gzip.compress(b'{"text": "gold and tin"}\n' * 1000)[:-9])
    with pytest.raises(DataError, match=r"^.*a\.jsonl\.gz is damaged after line \d+: "):
        infer(tmp_path / "out", served, source)
