"""The bulk inferrer.

The answers are `seqline predict`'s, in the input's order, whatever a source is and whenever a run
is killed.
"""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.bulk_inferrer import (
    BULK_INFERRER,
    BulkInferrerParams,
    chunks,
    external_digest,
    folder,
    gate,
    job,
    predictions,
    run,
)
from components.bulk_inferrer.chunks import cut
from components.bulk_inferrer.model import BATCH_CELLS, BATCH_ROWS, batches
from components.example_gen import ExampleGenParams
from components.example_gen.rows import read as read_rows
from components.example_gen.sources import shards as shards_of
from components.example_gen.sources import window
from pipeline.cli.app import app
from pipeline.config import load
from pipeline.definition import define
from pipeline.runner.plan import Pipeline
from seqline.component import Figures
from seqline.errors import DataError, NotBlessedError, UserError
from seqline.rows import shards
from seqline.rows.row import BadRow, Row
from serving.predict import predict
from tests.components.evaluator.test_evaluator import fake_model
from tests.conftest import corpus_rows, write_jsonl
from tests.seqline.rows.test_rows import example, write_tfrecord
from tests.support import CHECKOUT

RESULTS = ("predictions", "bad_rows")


@pytest.fixture
def served(saved_model: Path) -> Path:
    return saved_model / "saved_model"


def infer(
    output: Path, model: Path, source: Path | str, force: bool = False, **fields: Any
) -> Figures:
    params = BulkInferrerParams(source=str(source), **fields)
    with folder.opened(output, model, params, force) as task:
        return job.infer(task, params)


def answers(output: Path) -> list[dict[str, Any]]:
    paths = sorted(output.glob("predictions-*.jsonl"))
    return [
        json.loads(line)
        for path in paths
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]
    ]


def contents(output: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in output.iterdir() if path.name.startswith(RESULTS)
    }


def write_texts(path: Path, texts: list[str]) -> Path:
    return write_jsonl(
        path, [{"id": f"row {number}", "text": text} for number, text in enumerate(texts)]
    )


# What is answered


def test_the_answers_are_those_of_predict(tmp_path: Path, served: Path) -> None:
    texts = [row["text"] for row in corpus_rows(40)]
    texts[3:5] = ["", " \t\u2028"]  # as the server answers them, too
    texts[7] = "caf\u00e9 \U0001f600 and gold " * 300
    source = write_texts(tmp_path / "a.jsonl", texts)
    assert infer(tmp_path / "out", served, source, keep=["id"])["num_rows"] == 40
    manifest = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert manifest["labels"] == ["animals", "fruit", "metals"]
    found = answers(tmp_path / "out")
    for number, (mine, asked) in enumerate(zip(found, predict(served, texts), strict=True)):
        assert list(mine) == ["file", "line", "id", "text", "label", "class_id", "probabilities"]
        assert (mine["file"], mine["line"], mine["id"], mine["text"]) == (
            str(source),
            number + 1,
            f"row {number}",
            texts[number],
        )
        assert mine["label"] == asked["label"] == manifest["labels"][mine["class_id"]]
        named = dict(zip(manifest["labels"], mine["probabilities"], strict=True))
        assert named == pytest.approx(asked["probabilities"], abs=2e-6)
    assert manifest["num_labels"] == {
        label: sum(row["label"] == label for row in found) for label in manifest["labels"]
    }


def test_tokens_and_sequences_of_any_length(tmp_path: Path) -> None:
    sizes = [number * 7 % 11 + 1 for number in range(700)]  # more than a batch
    for content, item in (("tokens", "a"), ("sequence", [1, -7.5])):
        model = fake_model(tmp_path / content, content)
        source = tmp_path / f"{content}.jsonl"
        source.write_text("".join(json.dumps({"text": [item] * size}) + "\n" for size in sizes))
        infer(tmp_path / f"{content} out", model, source)
        found = answers(tmp_path / f"{content} out")
        assert [row["label"] for row in found] == [["even", "odd"][size % 2] for size in sizes]
        assert [row[content] for row in found] == [[item] * size for size in sizes]
        assert all(
            row["probabilities"] == [[0.75, 0.25], [0.25, 0.75]][row["class_id"]] for row in found
        )


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl.gz", "tfrecord.gz", "parquet"])
def test_every_kind_of_file(tmp_path: Path, served: Path, kind: str) -> None:
    texts = ["a cat, and\na dog", "Iron \u00e9", "plum"]
    path = tmp_path / f"rows.{kind}"
    plain = path.with_suffix("") if kind.endswith(".gz") and "tfrecord" not in kind else path
    if "csv" in kind:
        with plain.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [("key", "body"), *((f"{number}", text) for number, text in enumerate(texts))]
            )
    elif "jsonl" in kind:
        plain.write_text(
            "".join(
                json.dumps({"body": text, "key": str(number)}) + "\n"
                for number, text in enumerate(texts)
            )
        )
    elif "tfrecord" in kind:
        write_tfrecord(
            path,
            [
                example(body=[text.encode()], key=[b"%d" % number])
                for number, text in enumerate(texts)
            ],
        )
    else:
        pq.write_table(pa.table({"key": ["0", "1", "2"], "body": texts}), path)
    if plain != path:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    infer(tmp_path / "out", served, path, text="body", keep=["key"])
    found = answers(tmp_path / "out")
    assert [(row["key"], row["text"]) for row in found] == [
        ("0", texts[0]),
        ("1", texts[1]),
        ("2", texts[2]),
    ]
    assert [row["line"] for row in found] == ([2, 4, 5] if "csv" in kind else [1, 2, 3])
    assert [row["label"] for row in found] == [asked["label"] for asked in predict(served, texts)]


def test_a_folder_of_texts_with_and_without_classes(tmp_path: Path, served: Path) -> None:
    for name, text in {
        "b.txt": "gold",
        "a.txt": "plum and fig",
        "class/c.txt": "goat",
        "notes.md": "no",
    }.items():
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_text(text)
    infer(tmp_path / "out", served, tmp_path / "texts")
    found = answers(tmp_path / "out")
    assert [(Path(row["file"]).name, row["text"]) for row in found] == [
        ("a.txt", "plum and fig"),
        ("b.txt", "gold"),
        ("c.txt", "goat"),
    ]


def test_what_is_kept_is_any_json_value_and_clashes_with_nothing(
    tmp_path: Path, served: Path
) -> None:
    rows = [
        {"text": "gold", "id": 7, "label": "x", "more": [1, {"a": None}]},
        {"text": "fig", "id": "\u00e9", "more": True},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    infer(
        tmp_path / "out", served, source, keep=["id", "label", "more", "text"], with_content=False
    )
    found = [
        {name: row[name] for name in ("id", "source_label", "more", "source_text")}
        for row in answers(tmp_path / "out")
    ]
    assert found == [
        {"id": 7, "source_label": "x", "more": [1, {"a": None}], "source_text": "gold"},
        {"id": "\u00e9", "source_label": None, "more": True, "source_text": "fig"},
    ]
    infer(tmp_path / "records", served, source, keep=["id", "label", "more"], format="tfrecord")
    strings = {name: tf.io.VarLenFeature(tf.string) for name in ("id", "source_label", "more")}
    [path] = (tmp_path / "records").glob("predictions-*")
    records = list(tf.data.TFRecordDataset(str(path), "GZIP"))
    parsed = [
        {
            name: value.values.numpy().tolist()
            for name, value in tf.io.parse_single_example(each, strings).items()
        }
        for each in records
    ]
    assert parsed == [
        {"id": [b"7"], "source_label": [b"x"], "more": [b'[1, {"a": null}]']},
        {"id": ["\u00e9".encode()], "source_label": [], "more": [b"true"]},
    ]


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


# Batches and chunks


@given(st.lists(st.integers(0, 3000), max_size=1500), st.integers(1, 100))
def test_a_batch_holds_rows_of_similar_length_and_each_row_is_in_one(
    lengths: list[int], width: int
) -> None:
    found = batches(lengths, width)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    assert all(found)
    for batch in found:
        assert len(batch) <= BATCH_ROWS
        assert (
            len(batch) == 1
            or len(batch) * max(lengths[row] for row in batch) * width <= BATCH_CELLS
        )
    for one, next_one in pairwise(found):
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ROWS", 7)
        patch.setattr(chunks, "CHUNK_BYTES", 500)
        whole = list(cut(rows, 3))
        rest = list(cut(rows, 3, done))
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


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several shards of several chunks from a small file."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 2000)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 9)


@pytest.mark.usefixtures("small")
def test_many_shards_and_chunks_keep_the_order(tmp_path: Path, served: Path) -> None:
    texts = [row["text"] for row in corpus_rows(120)]
    source = write_texts(tmp_path / "a.jsonl", texts)
    write_texts(tmp_path / "b.jsonl", texts[:2])
    figures = infer(tmp_path / "out", served, tmp_path / "*.jsonl", keep=["id"])
    found = answers(tmp_path / "out")
    assert [row["text"] for row in found] == [*texts, *texts[:2]]
    assert [(row["file"], row["line"]) for row in found[:120]] == [
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


# Going on


def is_of_a_chunk(path: Path) -> bool:
    """Whether a file holds a chunk's predictions, or notes that they are there."""
    return re.match(r"predictions-0|[0-9]{5}-", Path(path).name) is not None


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("broken", [1, 2, 17])
def test_what_broke_anywhere_goes_on_with_the_same_bytes(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    source = write_texts(tmp_path / "a.jsonl", [row["text"] for row in corpus_rows(90)])
    infer(tmp_path / "whole", served, source)
    replace, count = os.replace, 0

    def replace_or_break(*paths: Path) -> None:
        nonlocal count
        count += is_of_a_chunk(paths[1])
        if count == broken and is_of_a_chunk(paths[1]):
            raise KeyError("broken")
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_break)
        with pytest.raises(Exception, match="broken"):
            infer(tmp_path / "out", served, source)
    assert not (tmp_path / "out" / "predictions.json").exists()
    kept = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "chunks").glob("*-*.json")
    }
    assert len(kept) == (broken - 1) // 2
    predicted = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("predictions-*.jsonl")
    }
    asked: list[int] = []
    write = job.WriteChunk.process
    monkeypatch.setattr(
        job.WriteChunk,
        "process",
        lambda self, each: asked.append(each.chunk.number) or write(self, each),
    )
    infer(tmp_path / "out", served, source)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not list((tmp_path / "out").glob("*.part"))
    total = len(list((tmp_path / "out").glob("predictions-*.jsonl")))
    assert len(asked) == total - len(kept)
    untouched = [path for path, changed in predicted.items() if path.stat().st_mtime_ns == changed]
    assert len(untouched) == len(kept)


KILLED = """
import os, re, signal, sys
from pathlib import Path
from components.bulk_inferrer import chunks, folder, job, BulkInferrerParams
from components.rows import shards
shards.SHARD_BYTES, chunks.CHUNK_ROWS = 2000, 9
replace, count = os.replace, 0
def replace_or_die(*paths):
    global count
    count += bool(re.match(r"predictions-0|[0-9]{5}-", Path(paths[1]).name))
    if count == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
os.replace = replace_or_die
params = BulkInferrerParams(source=sys.argv[1])
with folder.opened(Path(sys.argv[2]), Path(sys.argv[3]), params) as task:
    job.infer(task, params)
"""


@pytest.mark.usefixtures("small")
def test_kill_9_between_predictions_and_their_note(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", [row["text"] for row in corpus_rows(60)])
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "out"), str(served)]
    killed = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, timeout=400
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "out" / "chunks").glob("*-*.json"))) == 2
    assert len(list((tmp_path / "out").glob("predictions-*.jsonl"))) == 3
    infer(tmp_path / "out", served, source)
    infer(tmp_path / "whole", served, source)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_what_is_finished_is_not_done_again(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold", "fig"])
    first = infer(tmp_path / "out", served, source)
    monkeypatch.setattr(job, "job", lambda flags: pytest.fail("nothing is to be done"))
    assert infer(tmp_path / "out", served, source) == first
    assert not (tmp_path / "out" / "chunks").exists()


# Refused


def test_predictions_of_another_task_are_never_mixed(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold", "fig"])
    out = tmp_path / "out"
    infer(out, served, source)
    before = contents(out)
    other = fake_model(tmp_path / "other", "tokens")
    way_out = r"Name another folder, or replace them with --force\.$"
    with pytest.raises(
        UserError,
        match=rf"out holds predictions of another model \(.{{8}}, not .{{8}}\)\. {way_out}",
    ):
        infer(out, other, source)
    with pytest.raises(UserError, match=rf"other settings \(keep \[\], not \['id'\]\)\. {way_out}"):
        infer(out, served, source, keep=["id"])
    write_texts(source, ["gold", "plum"])
    with pytest.raises(UserError, match=rf"another source \(.{{8}}, not .{{8}}\)\. {way_out}"):
        infer(out, served, source)
    assert contents(out) == before
    infer(out, served, source, force=True, format="tfrecord")
    assert [path.name for path in sorted(out.glob("predictions-*"))] == [
        "predictions-00000-of-00001-00000.tfrecord.gz"
    ]


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(
            UserError,
            match=(
                r"out is not empty \(mine\.txt\) and holds no predictions\. Name a new or an empty"
                r" folder\."
            ),
        ):
            infer(tmp_path / "out", served, source, force)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    with pytest.raises(UserError, match=r"a\.jsonl cannot be written: .* Name another folder\."):
        infer(source, served, source)


def test_two_runs_into_one_folder(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    params = BulkInferrerParams(source=str(source))
    with (
        folder.opened(tmp_path / "out", served, params),
        pytest.raises(
            UserError,
            match=r"process \d+ on .* is writing predictions into .*out \(its lock is .*\)",
        ),
    ):
        infer(tmp_path / "out", served, source)


def test_a_file_that_changes_meanwhile(
    tmp_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    write = job.WriteChunk.process
    monkeypatch.setattr(
        job.WriteChunk,
        "process",
        lambda self, each: (write_texts(source, ["gold", "fig"]), write(self, each))[1],
    )
    with pytest.raises(
        DataError,
        match=(
            r"a\.jsonl' changed while they were read; the predictions are not complete\. Run again"
            r" with --force"
        ),
    ):
        infer(tmp_path / "out", served, source)
    assert not (tmp_path / "out" / "predictions.json").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"source": "tfds:imdb_reviews"},
            "bulk_inferrer.source 'tfds:imdb_reviews': only local files and gs:// can be read",
        ),
        ({"source": "gone.csv"}, "bulk_inferrer.source 'gone.csv' matches no file under "),
        (
            {"source": "."},
            (
                "bulk_inferrer.source '.' is a folder without .txt files; name other files by a"
                " glob, such as ./*.jsonl."
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
                "bulk_inferrer.encoding 'utf-9' is not an encoding that Python knows, such as utf-8"
                " or latin-1."
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


def test_a_signature_that_is_not_there(tmp_path: Path, served: Path) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold"])
    with pytest.raises(
        UserError,
        match=(
            r"has no signature 'serving_fats' that reads rows \(bulk_inferrer\.signature\); it has"
            r" .*serving_default"
        ),
    ):
        infer(tmp_path / "out", served, source, signature="serving_fats")


# Bad rows


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
            r"^4 of 6 rows cannot be used; bulk_inferrer\.max_bad_fraction 0\.5 allows 3:"
            r" .*a\.jsonl:2: not JSON"
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
    with pytest.raises(DataError, match=r"^4 of 6 rows cannot be used"):
        infer(tmp_path / "out", served, source)
    with pytest.raises(DataError, match=r"^4 of 6 rows cannot be used"):
        gate(tmp_path / "out", BulkInferrerParams())


def test_bad_sequences_and_kept_values(tmp_path: Path) -> None:
    model = fake_model(tmp_path / "model", "sequence")
    source = tmp_path / "a.csv"
    source.write_bytes(b'id,text\n1,"[[1, 2]]"\n2,"[[1, 2, 3]]"\n3,[]\n\xff,"[[1, 2]]"\n')
    infer(tmp_path / "out", model, source, keep=["id"], max_bad_fraction=0.9)
    assert [row["id"] for row in answers(tmp_path / "out")] == ["1"]
    bad = [
        json.loads(line)["reason"]
        for line in (tmp_path / "out" / "bad_rows.jsonl").read_text().splitlines()
    ]
    assert bad == [
        "a time step has 3 numbers, not the model's 2",
        "the sequence is empty",
        "a value to keep is not valid in the source's encoding: '\\udcff'",
    ]


def test_only_bad_rows_make_no_file(tmp_path: Path, served: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("1\n2\n")
    params = BulkInferrerParams(source=str(source), max_bad_fraction=0.99)
    with pytest.raises(DataError, match="2 of 2 rows cannot be used"):
        infer(tmp_path / "out", served, source, max_bad_fraction=params.max_bad_fraction)
    assert not list((tmp_path / "out").glob("predictions-*"))


def test_a_damaged_file_is_an_error_of_one_line(tmp_path: Path, served: Path) -> None:
    source = tmp_path / "a.jsonl.gz"
    source.write_bytes(gzip.compress(b'{"text": "gold and tin"}\n' * 1000)[:-9])
    with pytest.raises(DataError, match=r"^.*a\.jsonl\.gz is damaged after line \d+: "):
        infer(tmp_path / "out", served, source)


# As a stage, and as a command


def test_the_stage_is_there_only_where_it_has_a_source(tmp_path: Path) -> None:
    def names(*settings: str) -> list[str]:
        pipe = Pipeline()
        define(pipe, load("bbc_news", settings))
        return [stage.name for stage in pipe.stages]

    assert names()[-1] == "pusher"
    assert names("bulk_inferrer.source=new.csv")[-2:] == ["pusher", "bulk_inferrer"]
    pipe = Pipeline()
    define(
        pipe,
        load(
            "bbc_news",
            [
                "bulk_inferrer.source=a",
                "example_gen.text=body",
                "example_gen.delimiter=;",
                "bulk_inferrer.delimiter=|",
            ],
        ),
    )
    params = pipe.stages[-1].params
    assert isinstance(params, BulkInferrerParams)
    assert (params.text, params.delimiter, params.encoding) == ("body", "|", "utf-8")


def test_as_a_stage(
    tmp_path: Path, saved_model: Path, evaluation: Path, make: Callable[..., Path]
) -> None:
    source = write_texts(tmp_path / "a.jsonl", ["gold and tin", "fig"])
    params = BulkInferrerParams(source=str(source))
    work, output = tmp_path / "work", tmp_path / "output"
    output.mkdir()
    figures = run(
        saved_model=saved_model, evaluation=evaluation, params=params, output=output, work=work
    )
    assert figures["num_rows"] == 2
    infer(tmp_path / "same", saved_model / "saved_model", source)
    assert contents(output) == contents(tmp_path / "same")
    assert (
        run(saved_model=saved_model, evaluation=evaluation, params=params, output=output, work=work)
        == figures
    )
    gate(output, params)
    refused = tmp_path / "refused"
    refused.mkdir()
    (refused / "evaluation.json").write_text(
        '{"blessed": false, "refusals": ["accuracy 0.1 is under min_accuracy 0.5"]}'
    )
    with pytest.raises(
        NotBlessedError,
        match=r"^The model is not blessed and was not asked: accuracy 0\.1 is under",
    ):
        run(saved_model=saved_model, evaluation=refused, params=params, output=tmp_path / "none")


def test_the_key_follows_the_content_and_what_is_written(tmp_path: Path) -> None:
    one, other = (
        write_texts(tmp_path / "a.jsonl", ["gold"]),
        write_texts(tmp_path / "b.jsonl", ["gold"]),
    )
    assert external_digest(BulkInferrerParams(source=str(one))) == external_digest(
        BulkInferrerParams(source=str(other))
    )
    write_texts(other, ["tin"])
    assert external_digest(BulkInferrerParams(source=str(one))) != external_digest(
        BulkInferrerParams(source=str(other))
    )
    left_out = set(BulkInferrerParams.model_fields) - set(
        BulkInferrerParams(source="a").key_fields()
    )
    assert left_out == {"source", "max_bad_fraction"}


def test_the_command(tmp_path: Path, served: Path) -> None:
    versions = tmp_path / "serving"
    versions.mkdir()
    (versions / "3").symlink_to(served)
    source = write_texts(tmp_path / "a.jsonl", ["gold and tin", "fig"])
    command = [
        "infer",
        str(source),
        "--output",
        str(tmp_path / "out"),
        "--model",
        str(versions),
        "--keep",
        "id",
    ]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    beam_flags = ["--", "--direct_num_workers=1"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *command, *beam_flags],
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bulk_inferrer     started\n")
    assert "\n2 rows: 1 " in done.stdout
    assert done.stdout.endswith(f"predictions    {tmp_path / 'out'}/predictions.json\n")
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["model"]["version"] == 3
    assert [row["id"] for row in answers(tmp_path / "out")] == ["row 0", "row 1"]
    assert (tmp_path / "out" / "log.txt").exists()
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, again.stdout.splitlines()[1]) == (
        0,
        f"predictions    {tmp_path / 'out'}/predictions.json",
    )
    other = CliRunner().invoke(app, [*command, "--format", "tfrecord"])
    assert isinstance(other.exception, UserError)
    assert "holds predictions of other settings (format 'jsonl', not 'tfrecord')" in str(
        other.exception
    )


def test_names_that_are_taken() -> None:
    assert predictions.kept_names(["id", "label", "file", "tokens"]) == [
        "id",
        "source_label",
        "source_file",
        "source_tokens",
    ]
