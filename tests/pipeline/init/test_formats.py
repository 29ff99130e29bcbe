"""`seqline init` recognises files of every format, and their columns."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.init.support import init, rows, write_csv
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.source_files import example, write_tfrecord


def test_the_columns_of_a_csv_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = [
        (number, text, label, "en" if number % 3 else "de")
        for number, (text, label) in enumerate(rows())
    ]
    write_csv(tmp_path / "reviews.csv", ["id", "review", "stars", "lang"], content)

    written = init("reviews.csv")
    assert written["example_gen"] == {"source": "reviews.csv", "text": "review", "label": "stars"}
    assert written["evaluator"] == {
        "min_accuracy": 0.66,
        "min_gain_over_majority": 0.01,
        "min_macro_f1": 0.4,
        "max_cross_entropy": 0.7,
        "max_ece": 0.3,
        "min_slice_accuracy": 0.25,
        "max_loss_of_accuracy": 0.0,
        "min_gain_over_linear": -0.1,
    }
    assert written["infra_validator"] == {"max_p99_seconds": 2.0, "max_model_mb": 200.0}
    assert "transform" not in written

    out = capsys.readouterr().out.splitlines()
    assert out[0] == "data      reviews.csv: CSV, columns separated by ',', utf-8; 0.0 MB, 60 rows"
    assert out[1:5] == [
        "columns   id, review, stars, lang",
        "content   review: text, Latin script; median 9 tokens, 95th percentile 9",
        "label     stars: 2 classes: bad 40, good 20",
        "  or      lang: 2 classes: en 40, de 20",
    ]
    assert out[-2:] == [
        "  seqline plan my.toml   # what a run would do",
        "  seqline run my.toml    # train, test and publish",
    ]


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding", "expected"),
    [
        ("a.csv", ";", "utf-8", {"delimiter": ";"}),
        ("a.csv", "|", "utf-8", {"delimiter": "|"}),
        ("a.csv", "\t", "utf-8", {"delimiter": "\t"}),
        ("a.tsv", "\t", "utf-8", {"delimiter": "\t"}),
        ("a.csv", ",", "utf-8-sig", {}),
        ("a.csv", ",", "cp1252", {"encoding": "cp1252"}),
    ],
)
def test_delimiters_and_encodings(
    tmp_path: Path, name: str, delimiter: str, encoding: str, expected: dict[str, str]
) -> None:
    write_csv(
        tmp_path / name,
        ["text", "label"],
        [(f"caf\u00e9, {text}", label) for text, label in rows()],
        delimiter,
        encoding,
    )
    assert (
        init(name)["example_gen"] == {"source": name, "text": "text", "label": "label"} | expected
    )


def test_gzip_and_quoted_line_ends(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv",
        ["body", "topic"],
        [(f"{text}\nand, more", label) for text, label in rows()],
    )
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert init("a.csv.gz")["example_gen"] == {
        "source": "a.csv.gz",
        "text": "body",
        "label": "topic",
    }


def test_jsonl_of_text_tokens_and_sequences(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "text.jsonl",
        [{"title": "x", "article": text, "category": label} for text, label in rows()],
    )
    write_jsonl(
        tmp_path / "tokens.jsonl",
        [{"words": text.split(), "label": label} for text, label in rows()],
    )
    write_jsonl(
        tmp_path / "steps.jsonl",
        [{"series": [[0.5, 1.0]] * 9, "y": number % 3} for number in range(30)],
    )

    assert init("text.jsonl")["example_gen"] == {
        "source": "text.jsonl",
        "text": "article",
        "label": "category",
    }

    tokens = init("tokens.jsonl", "--force")["example_gen"]
    assert tokens == {
        "source": "tokens.jsonl",
        "text": "words",
        "label": "label",
        "content": "tokens",
    }

    steps = init("steps.jsonl", "--force")["example_gen"]
    assert steps == {"source": "steps.jsonl", "text": "series", "label": "y", "content": "sequence"}


def test_a_sequence_in_a_csv_file(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["steps", "class"],
        [(json.dumps([[1.0, 2.0], [3.0, number]]), number % 2) for number in range(40)],
    )
    assert init("a.csv")["example_gen"] == {
        "source": "a.csv",
        "text": "steps",
        "label": "class",
        "content": "sequence",
    }


def test_parquet(tmp_path: Path) -> None:
    texts, labels = zip(*rows(), strict=True)
    table = pa.table(
        {
            "rowid": list(range(60)),
            "comment": texts,
            "target": pa.array([label == "good" for label in labels]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")

    assert init("a.parquet")["example_gen"] == {
        "source": "a.parquet",
        "text": "comment",
        "label": "target",
    }


def test_tfrecord(tmp_path: Path) -> None:
    write_tfrecord(
        tmp_path / "a.tfrecord",
        [example(message=[text.encode()], intent=[label.encode()]) for text, label in rows()],
    )
    assert init("a.tfrecord")["example_gen"] == {
        "source": "a.tfrecord",
        "text": "message",
        "label": "intent",
    }


def test_a_folder_of_classes(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(rows()):
        (tmp_path / "news" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "news" / label / f"{number}.txt").write_text(text)
    written = init("news")
    assert written["example_gen"] == {"source": "news"}
    assert written["evaluator"]["min_accuracy"] == 0.66


@pytest.mark.parametrize(
    "arguments", [["train.jsonl", "test.jsonl"], ["train.jsonl", "--test", "test.jsonl"]]
)
def test_train_and_test(tmp_path: Path, arguments: list[str]) -> None:
    for name in ("train", "test"):
        write_jsonl(tmp_path / f"{name}.jsonl", corpus_rows(60))
    assert init(*arguments)["example_gen"]["source"] == {
        "train": "train.jsonl",
        "test": "test.jsonl",
    }


def test_files_by_a_glob_that_are_sorted_by_class(tmp_path: Path) -> None:
    for label in ("a", "b", "c"):
        write_csv(
            tmp_path / f"{label}.csv",
            ["text", "label"],
            [(f"some words {number}", label) for number in range(20)],
        )
    written = init("*.csv")
    assert written["example_gen"]["source"] == "*.csv"
    assert written["evaluator"]["min_accuracy"] == 0.33


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_json(tmp_path: Path, indent: int | None) -> None:
    content = [{"review": text, "stars": label} for text, label in rows()]
    (tmp_path / "a.json").write_text(json.dumps(content, indent=indent), encoding="utf-8")
    written = init("a.json")
    assert written["example_gen"] == {"source": "a.json", "text": "review", "label": "stars"}


def test_utf16_with_a_byte_order_mark(tmp_path: Path) -> None:
    content = "".join(f"{text}\t{label}\n" for text, label in rows())
    (tmp_path / "a.csv").write_text(f"review\tstars\n{content}", encoding="utf-16")
    assert init("a.csv")["example_gen"] == {
        "source": "a.csv",
        "text": "review",
        "label": "stars",
        "delimiter": "\t",
    }
