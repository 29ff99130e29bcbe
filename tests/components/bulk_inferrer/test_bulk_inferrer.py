"""The bulk inferrer: sources and bad rows, the stage and the command."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from components.bulk_inferrer import (
    BULK_INFERRER,
    BulkInferrerParams,
    external_digest,
    gate,
    job,
    run,
)
from components.example_gen import ExampleGenParams
from components.example_gen.sources import read as read_rows
from components.example_gen.sources import shards as shards_of
from components.example_gen.sources import window
from pipeline.cli.app import app
from pipeline.config import load
from pipeline.definition import define
from pipeline.runner.plan import Pipeline
from seqline.errors import DataError, NotBlessedError, UserError
from seqline.rows.row import Row
from tests.support import CHECKOUT
from tests.support.bulk import answers, contents, infer, write_texts
from tests.support.evaluations import write_evaluation
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
            "bulk_inferrer.source 'tfds:imdb_reviews': only local files and gs:// can be read",
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
    write_evaluation(refused, ["accuracy 0.1 is under min_accuracy 0.5"])

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
    assert again.exit_code == 0
    assert again.stdout.splitlines()[1] == f"predictions    {tmp_path / 'out'}/predictions.json"

    other = CliRunner().invoke(app, [*command, "--format", "tfrecord"])
    assert isinstance(other.exception, UserError)
    assert "holds predictions of other settings (format 'jsonl', not 'tfrecord')" in str(
        other.exception
    )


def test_contents_of_several_columns_are_joined(tmp_path: Path, served: Path) -> None:
    rows = [
        {"title": "gold", "body": "and tin"},
        {"title": None, "body": "gold and tin"},
        {"title": "", "body": ""},
    ]
    several = tmp_path / "several.jsonl"
    several.write_text("".join(json.dumps(row) + "\n" for row in rows))
    infer(tmp_path / "several", served, several, text=["title", "body"])
    one = write_texts(tmp_path / "one.jsonl", ["gold and tin", "gold and tin", ""])
    infer(tmp_path / "one", served, one)

    of_one = [row["probabilities"] for row in answers(tmp_path / "one")]
    assert [row["probabilities"] for row in answers(tmp_path / "several")] == of_one


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            ["a", "b"],
            "bulk_inferrer.text ['a', 'b'] names several columns, and the model reads sequences of"
            " numbers, which cannot be joined. Name one.",
        ),
        (["a", "a"], "bulk_inferrer.text ['a', 'a'] names a column twice. Name it once."),
    ],
)
def test_columns_that_cannot_be_joined(tmp_path: Path, text: list[str], reason: str) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"a": [[1, 2]], "b": [[3, 4]]}\n')
    content = "sequence" if text == ["a", "b"] else "tokens"
    with pytest.raises(UserError) as raised:
        infer(tmp_path / "output", fake_model(tmp_path / "model", content), source, text=text)
    assert str(raised.value) == reason
