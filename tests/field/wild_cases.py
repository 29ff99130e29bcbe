"""Text files as programs of all kinds write them: Excel, databases, R, and people."""

import gzip
import json
from pathlib import Path

from tests.field.case import Case, csv, jsonl, rows
from tests.field.text_cases import LINES, PLAIN, written

UTF_8_MARK = b"\xef\xbb\xbf"


def lines(header: str, row: str, *, end: str = "\n", odd: dict[int, str] | None = None) -> str:
    """A header, and `row` with {n}, {text} and {label} filled in; rows of some numbers are odd."""
    made = [header]
    for number, (text, label) in enumerate(rows()):
        pattern = (odd or {}).get(number, row)
        made.append(pattern.format(n=number, text=text, label=label))
    return end.join(made) + end


def shards(contents: dict[str, str | bytes], folder: Path, pattern: str = "*.csv") -> str:
    for name, content in contents.items():
        written(f"p/{name}", content, folder)
    return f"{folder}/p/{pattern}"


SPAM = {"text": "v2", "label": "v1"}

CASES: dict[str, Case] = {
    # Quotes
    "tsv, two quoted words": Case(
        4,
        lambda folder: written("d.tsv", lines("text\tlabel", '"{text}" and "so"\t{label}'), folder),
    ),
    "csv, lines in quotes as a whole": Case(
        4,
        lambda folder: written("d.csv", lines("text,label", '"{text},{label}"'), folder),
        num_rows=None,
        says=("d.csv:2", "in quotes as a whole"),
    ),
    # Headers and columns
    "csv, the end of a text in a column without a name": Case(
        11,
        lambda folder: written(
            "spam.csv",
            lines("v1,v2,,,", "{label},{text},,,", end="\r\n", odd={7: "{label},{text}, so,,"}),
            folder,
        ),
        SPAM,
        num_rows=119,
        says=("spam.csv:9: ' so' is in a column without a name",),
    ),
    "csv, every text ends in a column without a name": Case(
        11,
        lambda folder: written("spam.csv", lines("v1,v2,", "{label},{text}, so"), folder),
        SPAM,
        num_rows=None,
        says=("name the column",),
    ),
    "csv, three empty columns more than the header": Case(
        11, lambda folder: written("d.csv", lines("text,label", "{text},{label},,,"), folder)
    ),
    "csv, three empty columns in the header alone": Case(
        11, lambda folder: written("d.csv", lines("text,label,,,", "{text},{label}"), folder)
    ),
    "csv, R's write.table": Case(
        11,
        lambda folder: written(
            "d.csv", lines('"text" "label"', '"{n}" "{text}" "{label}"'), folder
        ),
        num_rows=None,
        says=("blank ' '", "delimiter to ' '"),
    ),
    "csv, R's write.table by blanks as configured": Case(
        11,
        lambda folder: written(
            "d.csv", lines('"text" "label"', '"{n}" "{text}" "{label}"'), folder
        ),
        {"delimiter": " "},
        num_rows=None,
        says=("row.names = FALSE",),
    ),
    "csv, header in the first shard only": Case(
        11,
        lambda folder: shards(
            {"a.csv": csv(rows()[:60]), "b.csv": csv(rows()[60:], header=None)}, folder
        ),
        num_rows=None,
        says=("b.csv", "no header"),
    ),
    "csv, shards of three dialects and encodings": Case(
        11,
        lambda folder: shards(
            {
                "a.csv": b"",
                "b.csv": UTF_8_MARK + csv(rows()[:40], ";").encode(),
                "c.csv": csv(rows()[40:80], "\t").encode("utf-16"),
                "d.csv": gzip.compress(csv(rows()[80:]).encode()),
            },
            folder,
        ),
        says=("1 empty file",),
    ),
    # Encodings and NULLs
    "csv, two byte order marks": Case(
        11, lambda folder: written("d.csv", UTF_8_MARK * 2 + PLAIN, folder)
    ),
    "jsonl, two byte order marks": Case(
        11, lambda folder: written("d.jsonl", UTF_8_MARK * 2 + LINES, folder)
    ),
    "csv.gz of UTF-16": Case(
        11,
        lambda folder: written(
            "d.csv.gz", gzip.compress(csv(rows(), "\t").encode("utf-16")), folder
        ),
    ),
    "tsv, a text of NULL as MySQL writes it": Case(
        11,
        lambda folder: written(
            "d.tsv", lines("text\tlabel", "{text}\t{label}", odd={3: "\\N\t{label}"}), folder
        ),
        num_rows=119,
        says=(r"d.tsv:5: the text is \\N",),
    ),
    "tsv, a third of the labels NULL": Case(
        3,
        lambda folder: written(
            "d.tsv",
            lines("text\tlabel", "{text}\t{label}", odd=dict.fromkeys(range(40), "{text}\t\\N")),
            folder,
        ),
        num_rows=None,
        says=(r"40 of 120 rows", r"the label is \\N"),
    ),
    # JSON
    "csv named jsonl": Case(
        11,
        lambda folder: written("d.jsonl", PLAIN, folder),
        num_rows=None,
        says=("d.jsonl holds CSV", "Name it .csv"),
    ),
    "jsonl, marks where shards were put together": Case(
        11,
        lambda folder: written(
            "d.jsonl",
            b"".join(UTF_8_MARK + jsonl(rows()[n : n + 40]).encode() for n in (0, 40, 80)),
            folder,
        ),
    ),
    "two contents, one a number": Case(
        18,
        lambda folder: written(
            "d.jsonl",
            "".join(
                json.dumps({"title": n, "text": text, "label": label}) + "\n"
                for n, (text, label) in enumerate(rows())
            ),
            folder,
        ),
        {"text": ["title", "text"]},
        num_rows=None,
        says=("the content in 'title' is 0, not a string",),
    ),
}
