"""Text files as users have them: delimiters, quotes, headers, encodings, compression, JSON."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

from tests.field.case import Case, csv, jsonl, rows


def written(name: str, content: str | bytes, folder: Path) -> str:
    """Writes a file of the case. Returns its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def zstd(content: bytes) -> bytes:
    """Two frames, as parallel writers make them."""
    import pyarrow as pa

    half = len(content) // 2
    codec = pa.Codec("zstd")
    return b"".join(codec.compress(part, asbytes=True) for part in (content[:half], content[half:]))


PLAIN = csv(rows()).encode()
LINES = jsonl(rows()).encode()

# A title, a body and a label in nested objects.
NESTED = "".join(
    json.dumps({"review": {"text": text, "title": "T"}, "meta": {"label": label}}) + "\n"
    for text, label in rows()
)


def quotes_that_swallow(folder: Path) -> str:
    """Every third text begins with a quote that is never closed within its field."""
    made = [(f'"{text}' if n % 3 == 0 else text, label) for n, (text, label) in enumerate(rows())]
    return written("d.tsv", csv(made, "\t"), folder)


def swallowed_in_a_csv(folder: Path) -> str:
    """A quote opens in every sixth row, and closes three rows later: a text of four rows."""
    lines = ["text,label"]
    for number, (text, label) in enumerate(rows()):
        opens, closes = '"' * (number % 6 == 0), '"' * (number % 6 == 3)
        lines.append(f"{opens}{text}{closes},{label}")
    return written("d.csv", "\n".join(lines) + "\n", folder)


def proper_quotes(folder: Path) -> str:
    """Tab-separated with quotes that pair: a text holds tabs and line ends."""
    lines = ["text\tlabel"] + [f'"{text}\tand\nmore ""so"""\t{label}' for text, label in rows()]
    return written("d.tsv", "\n".join(lines) + "\n", folder)


def headerless_amazon(folder: Path) -> str:
    """Label, title, text, and no header, as the Amazon and Yelp sets are published."""
    lines = [f'"{1 + n % 2}","title {n}","{text}"' for n, (text, _) in enumerate(rows())]
    return written("train.csv", "\n".join(lines) + "\n", folder)


def column_oriented(folder: Path) -> str:
    """What pandas writes without orient: a column after the other."""
    made = rows()
    columns = {
        "text": {str(n): text for n, (text, _) in enumerate(made)},
        "label": {str(n): label for n, (_, label) in enumerate(made)},
    }
    return written("d.json", json.dumps(columns), folder)


def unspaced(good: str, bad: str, first: int) -> Callable[[Path], str]:
    """Texts without spaces, which two letters of the script make different."""
    made = [
        (chr(first + n // 40) + (bad if n % 2 else good) + chr(first + n % 40), label)
        for n, (_, label) in enumerate(rows())
    ]
    return lambda folder: written("d.csv", csv(made), folder)


ARRAY = [{"text": text, "label": label} for text, label in rows()]
HEADERLESS = {"columns": ["label", "title", "text"]}

CASES: dict[str, Case] = {
    # Quotes in tab-separated files
    "tsv, quotes that never close": Case(4, quotes_that_swallow),
    "tsv, quotes that pair": Case(4, proper_quotes),
    "csv, quotes that swallow rows": Case(
        4,
        swallowed_in_a_csv,
        num_rows=60,
        says=("60 lines within quoted fields", "quoting = .none"),
    ),
    "csv, quotes are text": Case(
        4,
        lambda folder: written(
            "d.csv", csv([(f'"{text}', label) for text, label in rows()]), folder
        ),
        {"quoting": "none"},
    ),
    # Delimiters, encodings, compression, headers
    "csv, semicolons": Case(11, lambda folder: written("d.csv", csv(rows(), ";"), folder)),
    "csv, bars": Case(11, lambda folder: written("d.csv", csv(rows(), "|"), folder)),
    "csv, tabs": Case(11, lambda folder: written("d.csv", csv(rows(), "\t"), folder)),
    "csv, sep=; as Excel writes": Case(
        11, lambda folder: written("d.csv", "sep=;\n" + csv(rows(), ";"), folder)
    ),
    "csv, UTF-16 with a mark": Case(
        11, lambda folder: written("d.csv", csv(rows(), "\t").encode("utf-16"), folder)
    ),
    "csv, UTF-16 without a mark": Case(
        11,
        lambda folder: written("d.csv", csv(rows()).encode("utf-16-le"), folder),
        num_rows=None,
        says=("utf-16",),
    ),
    "csv, UTF-16 as configured": Case(
        11,
        lambda folder: written("d.csv", csv(rows()).encode("utf-16-be"), folder),
        {"encoding": "utf-16-be"},
    ),
    "jsonl, UTF-16 with a mark": Case(
        11, lambda folder: written("d.jsonl", LINES.decode().encode("utf-16"), folder)
    ),
    "csv, gzip by content": Case(11, lambda folder: written("d.csv", gzip.compress(PLAIN), folder)),
    "jsonl, gzip by content": Case(
        11, lambda folder: written("d.jsonl", gzip.compress(LINES), folder)
    ),
    "csv.gz that is not zipped": Case(11, lambda folder: written("d.csv.gz", PLAIN, folder)),
    "csv, no header": Case(
        11, headerless_amazon, num_rows=None, says=("header|columns",), never="text to one of"
    ),
    "csv, blanks in the header": Case(
        11,
        lambda folder: written("d.csv", csv(rows(), header="Text , label"), folder),
        num_rows=None,
        says=("'Text '|'Text'|did you mean",),
    ),
    "csv, bzip2": Case(17, lambda folder: written("d.csv.bz2", bz2.compress(PLAIN), folder)),
    "csv, xz": Case(17, lambda folder: written("d.csv.xz", lzma.compress(PLAIN), folder)),
    "csv, zstd of two frames": Case(17, lambda folder: written("d.csv.zst", zstd(PLAIN), folder)),
    "jsonl, gzip of two members": Case(
        17,
        lambda folder: written(
            "d.jsonl.gz", gzip.compress(LINES[:999]) + gzip.compress(LINES[999:]), folder
        ),
    ),
    "jsonl, zstd": Case(17, lambda folder: written("d.jsonl.zst", zstd(LINES), folder)),
    "csv.bz2, truncated": Case(
        17,
        lambda folder: written("d.csv.bz2", bz2.compress(PLAIN)[:-20], folder),
        num_rows=None,
        says=("d.csv.bz2", "damaged|ends"),
    ),
    # What users have
    "csv, columns named by the setting": Case(17, headerless_amazon, HEADERLESS, labels=("1", "2")),
    "csv, wrong number of columns named": Case(
        17, headerless_amazon, {"columns": ["label", "text"]}, num_rows=None, says=("3", "columns")
    ),
    "csv, columns named though a header": Case(
        17,
        lambda folder: written("d.csv", csv(rows()), folder),
        {"columns": ["text", "label"]},
        num_rows=None,
        says=("header",),
    ),
    "tsv": Case(17, lambda folder: written("d.tsv", csv(rows(), "\t"), folder)),
    "CSV in capitals": Case(17, lambda folder: written("D.CSV", PLAIN, folder)),
    "ndjson": Case(17, lambda folder: written("d.ndjson", LINES, folder)),
    "json of lines": Case(17, lambda folder: written("d.json", LINES, folder)),
    "json array": Case(17, lambda folder: written("d.json", json.dumps(ARRAY), folder)),
    "json array over lines": Case(
        17, lambda folder: written("d.json", json.dumps(ARRAY, indent=2), folder)
    ),
    "json array, cut off": Case(
        17,
        lambda folder: written("d.json", json.dumps(ARRAY, indent=2)[:-30], folder),
        num_rows=None,
        says=("d.json",),
    ),
    "json by columns": Case(17, column_oriented, num_rows=None, says=("d.json", "lines|array")),
    "nested fields": Case(
        17,
        lambda folder: written("d.jsonl", NESTED, folder),
        {"text": "review.text", "label": "meta.label"},
    ),
    "nested field, misspelt": Case(
        17,
        lambda folder: written("d.jsonl", NESTED, folder),
        {"text": "review.txt", "label": "meta.label"},
        num_rows=None,
        says=("review.text",),
    ),
    "two contents": Case(
        18,
        headerless_amazon,
        {**HEADERLESS, "text": ["title", "text"]},
        labels=("1", "2"),
    ),
    "csv, a column of splits": Case(
        18,
        lambda folder: written(
            "d.csv",
            "text,label,fold\n"
            + "".join(
                f"{text},{label},{'test' if n % 4 == 0 else 'train'}\n"
                for n, (text, label) in enumerate(rows())
            ),
            folder,
        ),
        {"split": "fold"},
        labels=("neg", "pos"),
    ),
    "csv, a column of folds": Case(
        18,
        lambda folder: written(
            "d.csv",
            "text,label,fold\n"
            + "".join(f"{text},{label},{n % 5}\n" for n, (text, label) in enumerate(rows())),
            folder,
        ),
        {"split": "fold"},
        num_rows=None,
        says=("fold|split", "train"),
    ),
    "csv, weights": Case(
        18,
        lambda folder: written(
            "d.csv",
            "text,label,w\n" + "".join(f"{text},{label},0.5\n" for text, label in rows()),
            folder,
        ),
        {"weight": "w"},
    ),
    "csv, a weight below 0": Case(
        18,
        lambda folder: written(
            "d.csv",
            "text,label,w\n" + "".join(f"{text},{label},-1\n" for text, label in rows()),
            folder,
        ),
        {"weight": "w"},
        num_rows=None,
        says=("weight", "-1"),
    ),
    # Empty parts
    "jsonl, one shard empty": Case(
        16,
        lambda folder: (
            written("p/a.jsonl", b"", folder)
            and written("p/b.jsonl", LINES, folder).replace("b.jsonl", "*.jsonl")
        ),
        says=("empty",),
    ),
    "csv, one shard has a header only": Case(
        16,
        lambda folder: (
            written("p/a.csv", PLAIN, folder)
            and written("p/b.csv", b"text,label\n", folder).replace("b.csv", "*.csv")
        ),
        says=("empty|no row",),
    ),
    "csv.gz, one shard zips nothing": Case(
        16,
        lambda folder: (
            written("p/a.csv.gz", gzip.compress(PLAIN), folder)
            and written("p/b.csv.gz", gzip.compress(b""), folder).replace("b.csv", "*.csv")
        ),
        says=("empty|no row",),
    ),
    "all shards empty": Case(
        16,
        lambda folder: (
            written("p/a.csv", b"", folder)
            and written("p/b.csv", b"text,label\n", folder).replace("b.csv", "*.csv")
        ),
        num_rows=None,
        says=("no row",),
    ),
    # One distinct text
    "one text with two labels": Case(
        13,
        lambda folder: written("d.csv", csv([("the same", label) for _, label in rows()]), folder),
        num_rows=None,
        says=("same|distinct|one content",),
        never="train_fraction",
    ),
    "Chinese under word tokens": Case(
        13,
        unspaced("\u597d\u4eba\u5f88\u9ad8\u5174", "\u574f\u5929\u6c14\u5f88\u51b7", 0x4E00),
        says=("tokens = .char.",),
    ),
    "Thai under word tokens": Case(
        13,
        unspaced(
            "\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35", "\u0e2d\u0e32\u0e2b\u0e32\u0e23", 0x0E01
        ),
        says=("tokens = .char.",),
    ),
}
