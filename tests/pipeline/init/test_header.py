"""Files without a header are recognised, and their columns named by their values."""

import csv
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.init import header
from pipeline.init.column import Column
from tests.pipeline.init.support import init, rows, write_csv


def write_rows(path: Path, content: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(content)


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        # A label that others have, too.
        (["good film", "pos"], [["bad film", "neg"], ["fine film", "pos"]], True),
        (["y", "good film"], [["n", "bad film"], ["y", "fine film"]], True),
        # A number where all have one, although it is another one.
        (["7", "good film"], [["8", "bad film"], ["9", "fine film"]], True),
        # Names.
        (["text", "label"], [["a b", "x"], ["c d", "y"]], False),
        (["text", "spam"], [["a b", "spam"], ["c d", "ham"]], False),
        (["id", "2024"], [["1", "10"], ["2", "20"]], False),
        # Questions of a survey, and the numbers that pandas takes for names.
        (["How was your stay with us, dear guest?", "Stars"], [["a b", "1"], ["c d", "2"]], False),
        (["0", "1"], [["a b", "1"], ["c d", "0"]], False),
        (["", "0", "1"], [["0", "a b", "1"], ["1", "c d", "0"]], False),
        # A header again, where files were put one after the other.
        (["review", "mark"], [["a b", "x"], ["review", "mark"], ["c d", "y"]], False),
        (["review", "mark"], [], False),
    ],
)
def test_whether_a_first_line_is_a_row(
    first: list[str], others: list[list[str]], expected: bool
) -> None:
    assert header.is_row(first, others) is expected


def test_names_by_values() -> None:
    texts = [f"a longer text of a body about {number}" for number in range(9)]
    titles = [f"Title number {number}" for number in range(9)]
    columns = [
        Column("column_1", [str(number) for number in range(9)]),
        Column("column_2", ["x", "y", "x"] * 3),
        Column("column_3", titles),
        Column("column_4", texts),
        Column("column_5", [text[:-9] + "b" for text in texts]),
    ]
    assert header.names_for(columns) == ["column_1", "label", "title", "text", "column_5"]
    assert header.names_for(columns[:1]) == ["column_1"]


def test_news_as_class_title_and_text(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "train.csv",
        [
            (str(number % 4 + 1), f"Title, {number} of news", f"{text}, and the body of the news")
            for number, (text, _) in enumerate(rows())
        ],
    )
    written = init("train.csv")
    assert written["example_gen"] == {
        "source": "train.csv",
        "text": "text",
        "label": "label",
        "columns": ["label", "title", "text"],
    }
    assert written["evaluator"]["min_accuracy"] == 0.25
    assert '# text = ["title", "text"]\ntext = "text"\n' in Path("my.toml").read_text()


def test_class_and_text_by_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f"{label}\t{text}\n" for text, label in rows()))
    written = init("a.tsv")
    assert written["example_gen"] == {
        "source": "a.tsv",
        "text": "text",
        "label": "label",
        "delimiter": "\t",
        "columns": ["label", "text"],
    }
    # All 60 rows count: 40 of them are bad.
    assert written["evaluator"]["min_accuracy"] == 0.66
    assert configuration.load("my.toml").example_gen.columns == ["label", "text"]


def test_a_survey_has_a_header(tmp_path: Path) -> None:
    question = "How was your stay with us, dear guest?"
    write_csv(
        tmp_path / "a.csv",
        [question, "Rating"],
        [(text, number % 5 + 1) for number, (text, _) in enumerate(rows())],
    )
    assert init("a.csv")["example_gen"] == {
        "source": "a.csv",
        "text": question,
        "label": "Rating",
    }
    assert (
        "# Note: The first line looks like a row and was taken for the header. If it is a row, name"
        " the 2\n# columns: columns = [...].\n"
    ) in Path("my.toml").read_text()
