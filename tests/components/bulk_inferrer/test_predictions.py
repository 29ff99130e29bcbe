"""The answers are those of `seqline predict`, in the order of the input, for any source."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.bulk_inferrer import (
    predictions,
)
from serving.predict import predict
from tests.support.bulk import answers, infer, write_texts
from tests.support.corpus import corpus_rows
from tests.support.models import fake_model
from tests.support.source_files import example, write_tfrecord


def test_the_answers_are_those_of_predict(tmp_path: Path, served: Path) -> None:
    texts = [row["text"] for row in corpus_rows(40)]
    texts[3:5] = ["", " \t\u2028"]  # as the server answers them, too
    texts[7] = "caf\u00e9 \U0001f600 and gold " * 300
    source = write_texts(tmp_path / "a.jsonl", texts)
    assert infer(tmp_path / "out", served, source, keep=["id"])["num_rows"] == 40
    manifest = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert manifest["labels"] == ["animals", "fruit", "metals"]

    answered = answers(tmp_path / "out")
    for number, (mine, asked) in enumerate(zip(answered, predict(served, texts), strict=True)):
        assert list(mine) == ["file", "line", "id", "text", "label", "class_id", "probabilities"]
        assert mine["file"] == str(source)
        assert mine["line"] == number + 1
        assert mine["id"] == f"row {number}"
        assert mine["text"] == texts[number]
        assert mine["label"] == asked["label"] == manifest["labels"][mine["class_id"]]

        named = dict(zip(manifest["labels"], mine["probabilities"], strict=True))
        assert named == pytest.approx(asked["probabilities"], abs=2e-6)

    assert manifest["num_labels"] == {
        label: sum(row["label"] == label for row in answered) for label in manifest["labels"]
    }


def test_tokens_and_sequences_of_any_length(tmp_path: Path) -> None:
    sizes = [number * 7 % 11 + 1 for number in range(700)]  # more than a batch
    for content, item in (("tokens", "a"), ("sequence", [1, -7.5])):
        model = fake_model(tmp_path / content, content)
        source = tmp_path / f"{content}.jsonl"
        source.write_text("".join(json.dumps({"text": [item] * size}) + "\n" for size in sizes))
        infer(tmp_path / f"{content} out", model, source)

        predictions = answers(tmp_path / f"{content} out")
        assert [row["label"] for row in predictions] == [
            ["even", "odd"][size % 2] for size in sizes
        ]
        assert [row[content] for row in predictions] == [[item] * size for size in sizes]
        assert all(
            row["probabilities"] == [[0.75, 0.25], [0.25, 0.75]][row["class_id"]]
            for row in predictions
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

    predictions = answers(tmp_path / "out")
    assert [(row["key"], row["text"]) for row in predictions] == [
        ("0", texts[0]),
        ("1", texts[1]),
        ("2", texts[2]),
    ]
    assert [row["line"] for row in predictions] == ([2, 4, 5] if "csv" in kind else [1, 2, 3])
    assert [row["label"] for row in predictions] == [
        asked["label"] for asked in predict(served, texts)
    ]


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
    predictions = answers(tmp_path / "out")
    assert [(Path(row["file"]).name, row["text"]) for row in predictions] == [
        ("a.txt", "plum and fig"),
        ("b.txt", "gold"),
        ("c.txt", "goat"),
    ]
    manifest = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert manifest["source"]["unused_files"] == [
        {"reason": "other suffix", "count": 1, "names": [f"{tmp_path}/texts/notes.md"]}
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

    kept = [
        {name: row[name] for name in ("id", "source_label", "more", "source_text")}
        for row in answers(tmp_path / "out")
    ]
    assert kept == [
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
            for name, value in tf.io.parse_single_example(record, strings).items()
        }
        for record in records
    ]

    assert parsed == [
        {"id": [b"7"], "source_label": [b"x"], "more": [b'[1, {"a": null}]']},
        {"id": ["\u00e9".encode()], "source_label": [], "more": [b"true"]},
    ]


def test_names_that_are_taken() -> None:
    assert predictions.kept_names(["id", "label", "file", "tokens"]) == [
        "id",
        "source_label",
        "source_file",
        "source_tokens",
    ]
    assert predictions.kept_names(["label", "source_label", "source_source_label"]) == [
        "source_source_source_label",
        "source_label",
        "source_source_label",
    ]


@given(
    st.lists(
        st.builds("".join, st.lists(st.sampled_from(["source_", "label", "line", "id"]))),
        unique=True,
    )
)
def test_no_name_is_lost(keep: list[str]) -> None:
    names = predictions.kept_names(keep)
    assert len(set(names)) == len(keep)
    assert not set(names) & {"label", "line"}
