"""The stage in a pipeline, its key, and `seqline infer`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.bulk_inferrer import (
    BulkInferrerParams,
    external_digest,
    gate,
    run,
)
from pipeline.cli.app import app
from pipeline.config import load
from pipeline.definition import define
from pipeline.runner.plan import Pipeline
from seqline.errors import NotBlessedError, UserError
from tests.support import CHECKOUT
from tests.support.bulk import answers, contents, infer, write_texts
from tests.support.evaluations import write_evaluation
from tests.support.models import fake_model


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
