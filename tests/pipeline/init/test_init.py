"""`seqline init` chooses settings, refuses what it cannot read, and writes what runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.init import inspection
from seqline.errors import UserError
from tests.pipeline.init.support import init, rows, write_csv
from tests.support import CHECKOUT


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
    assert written["transform"] == {"tokens": "char"}
    assert written["example_gen"]["label"] == "language"
    assert init("ja.csv", "--force")["transform"] == {"tokens": "char"}


def test_long_texts(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["text", "label"],
        [("word " * (300 + number), number % 2) for number in range(40)],
    )
    # The default reads the first 256; more is proposed.
    assert init("a.csv")["transform"] == {}
    assert "# max_length = 384\n" in (tmp_path / "my.toml").read_text()


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
    table, _, settings = out.partition("\n\n")
    assert [line.split()[1] for line in table.splitlines()[1:]] == ["cached"] * 5, out
    assert settings.splitlines() == [
        "transform.tokens  word, as the texts are of a script with spaces",
        "transform.max_length  32, from the data",
    ]


def test_a_class_as_frequent_as_99_of_100_leaves_little_to_gain(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,label\n"
        + "".join(
            f"row number {n} of many,{'rare' if n % 100 == 0 else 'usual'}\n" for n in range(400)
        )
    )
    assert init("a.csv")["evaluator"]["min_gain_over_majority"] == 0.001


def test_several_columns_of_content_and_a_column_of_splits(tmp_path: Path) -> None:
    names = ["Train"] * 4 + ["dev", "test"]
    write_csv(
        tmp_path / "a.csv",
        ["title", "body", "label", "fold"],
        [
            (f"title {place}", text, label, names[place % 6])
            for place, (text, label) in enumerate(rows())
        ],
    )
    section = init("a.csv", "--text", "title", "--text", "body")["example_gen"]
    assert section["text"] == ["title", "body"]
    assert section["label"] == "label"
    assert section["split"] == "fold"

    # A file of its own for test says it.
    section = init("a.csv", "a.csv", "--force")["example_gen"]
    assert section["text"] == "body"
    assert "split" not in section


@pytest.mark.parametrize(
    "values",
    [
        # One split says nothing about the others, folds are numbers, and a value may be missing.
        ["train"],
        ["1", "2"],
        ["train", "test", ""],
        ["dev", "test"],
    ],
)
def test_columns_that_are_no_splits(tmp_path: Path, values: list[str]) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["text", "label", "fold"],
        [(text, label, values[place % len(values)]) for place, (text, label) in enumerate(rows())],
    )
    assert "split" not in init("a.csv")["example_gen"]
