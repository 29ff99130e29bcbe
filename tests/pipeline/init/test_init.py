"""`seqline init`: what it sees in files of every kind.

What it writes is a configuration that `run` and `retrain` take.
"""

import csv
import gzip
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from components import example_gen
from pipeline import config as configuration
from pipeline.cli.app import app
from pipeline.init import choose, inspection
from pipeline.retrain import thresholds
from seqline.errors import UserError
from tests.support import CHECKOUT
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.source_files import example, write_tfrecord

TEXTS = [
    ("a fine film with a good plot", "good"),
    ("a dull film and a bad plot", "bad"),
    ("nothing good in this one", "bad"),
]


def rows(num: int = 60) -> list[tuple[str, str]]:
    return [
        (f"{text} number {number}", label)
        for number, (text, label) in zip(range(num), TEXTS * num, strict=False)
    ]


def write_csv(
    path: Path,
    header: Sequence[str],
    content: Sequence[Sequence[Any]],
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(content)
    return path


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def init(*arguments: str) -> Mapping[str, Any]:
    """Calls `seqline init ... -o my.toml`, checks what holds for every such file, and reads it."""
    group: Any = typer.main.get_command(app)
    group(["init", *arguments, "-o", "my.toml"], standalone_mode=False)
    loaded = configuration.load("my.toml")
    thresholds.check(loaded)
    example_gen.check(loaded.example_gen)
    text = Path("my.toml").read_text(encoding="utf-8")
    for above, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if " = " in line and not line.startswith("#"):
            assert above.startswith("#"), line
    assert tomllib.loads(text)["name"] == "my"
    return tomllib.loads(text)


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
    assert (written["example_gen"], written["evaluator"]["min_accuracy"]) == (
        {"source": "news"},
        0.66,
    )


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
    assert (written["example_gen"]["source"], written["evaluator"]["min_accuracy"]) == (
        "*.csv",
        0.33,
    )


def test_characters_where_there_are_no_words(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "names.csv",
        ["name", "language"],
        [(f"Smith{number}", "x" if number % 2 else "y") for number in range(40)],
    )

    write_csv(
        tmp_path / "ja.csv",
        ["text", "label"],
        [("これは良い映画です" * 3 + str(number), number % 2) for number in range(40)],
    )

    written = init("names.csv", "--text", "name", "--label", "language")
    assert (written["transform"], written["example_gen"]["label"]) == (
        {"tokens": "char"},
        "language",
    )
    assert init("ja.csv", "--force")["transform"] == {"tokens": "char"}


def test_long_texts(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["text", "label"],
        [("word " * (300 + number), number % 2) for number in range(40)],
    )
    assert init("a.csv")["transform"] == {"max_length": 384}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["a.csv", "--text", "txt"],
            "--text 'txt': a.csv has no such column; it has 'text', 'label'. Did you mean 'text'?",
        ),
        (["b.csv"], "There is no file 'b.csv' in {folder}. Did you mean 'a.csv'?"),
        (
            ["other.toml"],
            (
                "other.toml is a configuration already; seqline init takes data. `seqline run"
                " other.toml` runs it."
            ),
        ),
        (
            ["a.csv", "a.csv", "a.csv"],
            (
                "seqline init takes the train data and the test data, not 3 names; quote a glob:"
                " 'reviews/*.csv'."
            ),
        ),
        (
            ["ids.csv"],
            "No column of ids.csv looks like the label; name it with --label. It has 'text', 'id'.",
        ),
    ],
)
def test_what_init_cannot_do(tmp_path: Path, arguments: list[str], line: str) -> None:
    write_csv(tmp_path / "a.csv", ["text", "label"], rows())
    write_csv(
        tmp_path / "ids.csv",
        ["text", "id"],
        [(f"{text}", number) for number, (text, _) in enumerate(rows())],
    )
    with pytest.raises(UserError) as raised:
        init(*arguments)
    assert str(raised.value) == line.format(folder=tmp_path)
    assert not (tmp_path / "my.toml").exists()


def test_a_file_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["text", "label"], rows())
    (tmp_path / "my.toml").write_text("mine")
    with pytest.raises(
        UserError,
        match=r"^my\.toml exists already: name another file with -o, or replace it with --force\.$",
    ):
        init("a.csv")
    assert (tmp_path / "my.toml").read_text() == "mine"
    init("a.csv", "--force")


def test_a_large_file_is_looked_at_in_part(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("w") as file:
        for number in range(150_000):
            file.write(
                json.dumps({"text": f"row number {number}", "label": str(number % 4)}) + "\n"
            )
    inspected = inspection.inspect("a.jsonl")
    assert (inspected.num_rows, inspected.whole) == (inspection.MAX_ROWS, False)
    assert init("a.jsonl")["evaluator"]["min_accuracy"] == 0.25


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("good film", "LATIN"),
        ("хороший фильм", "CYRILLIC"),
        ("好电影", "CJK"),
        ("これはひどい", "HIRAGANA"),
        ("فيلم جيد", "ARABIC"),
        ("123", ""),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert choose.script_of([text]) == script


def test_neither_tensorflow_nor_beam(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["text", "label"], rows())
    code = (
        "import sys\nfrom pipeline.cli import app as cli\nsys.argv = ['seqline', 'init', 'a.csv']\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'tensorflow', 'apache_beam'} & {*sys.modules}"
    )
    environment = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}

    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
    )

    assert (tmp_path / "a.toml").is_file()


@pytest.mark.slow
def test_what_init_writes_runs_and_retrains(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    good, bad, both = (
        ["good", "great", "fine", "lovely"],
        ["bad", "awful", "poor", "dull"],
        ["the", "film", "plot", "actor", "scene", "was"],
    )

    content = []
    for number in range(400):
        words = [*random.choice(both, 6), *random.choice(good if number % 2 else bad, 3)]
        content.append((" ".join(random.permutation(words)), "yes" if number % 2 else "no"))
    write_csv(tmp_path / "reviews.csv", ["review", "stars"], content, ";")

    def seqline(*arguments: str) -> tuple[int, str]:
        environment = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        command = [sys.executable, "-m", "seqline", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
        )
        return done.returncode, done.stdout + done.stderr

    assert seqline("init", "reviews.csv")[0] == 0
    assert seqline("plan", "reviews.toml")[0] == 0

    code, out = seqline(
        "retrain", "reviews.toml", "--bootstrap", "--root", "first", "--serving-dir", "served"
    )
    assert (code, "REFUSED" in out) == (0, False), out
    code, out = seqline(
        "run", "reviews.csv", "--text", "review", "--label", "stars", "--to", "transform"
    )
    assert code == 0, out
    run = next((tmp_path / "artifacts" / "runs").iterdir())
    code, out = seqline("plan", str(run / "config.toml"), "--to", "transform")
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["cached"] * 5, out


def test_a_class_as_frequent_as_99_of_100_leaves_little_to_gain(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,label\n"
        + "".join(
            f"row number {n} of many,{'rare' if n % 100 == 0 else 'usual'}\n" for n in range(400)
        )
    )
    assert init("a.csv")["evaluator"]["min_gain_over_majority"] == 0.001
