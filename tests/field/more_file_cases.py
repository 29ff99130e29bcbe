"""Links between spans and splits, tables of other programs, partitions, and odd names."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

from tests.field.case import LABELS, Case, Rows, csv, jsonl, rows
from tests.field.file_cases import class_folders, parquet
from tests.field.text_cases import LINES, PLAIN, written

FIRST, SECOND = jsonl(rows(60)), jsonl(rows(60, start=60))


def linked_into_a_span(folder: Path) -> str:
    """The second span holds the first one's file, too, by a link."""
    written("s/1/a.jsonl", FIRST, folder)
    written("s/2/b.jsonl", SECOND, folder)
    os.symlink("../1/a.jsonl", folder / "s" / "2" / "a.jsonl")
    return f"{folder}/s/{{SPAN}}/*.jsonl"


def linked_span(folder: Path) -> str:
    written("s/1/a.jsonl", FIRST, folder)
    written("s/2/a.jsonl", SECOND, folder)
    os.symlink("2", folder / "s" / "latest")
    return f"{folder}/s/{{SPAN}}/*.jsonl"


def linked_into_a_split(folder: Path) -> dict[str, str]:
    train = written("train.csv", PLAIN, folder)
    os.link(train, folder / "test.csv")
    return {"train": train, "test": f"{folder}/test.csv"}


def linked_class(folder: Path) -> str:
    source = class_folders(folder, "{}.txt")
    os.symlink("pos", folder / "c" / "positive")
    return source


def beside(folder: Path, name: str) -> str:
    """A folder with a file of rows, and one of another name."""
    written("p/a.jsonl", LINES, folder)
    written(f"p/{name}", SECOND, folder)
    return str(folder / "p")


def not_utf_8(folder: Path) -> str:
    place = os.fsdecode(os.fsencode(folder) + b"/caf\xe9")
    Path(place).mkdir()
    Path(place, "a.csv").write_bytes(PLAIN)
    return f"{folder}/*/*.csv"


def frames(folder: Path, ending: str) -> str:
    """A shard with rows, and one of a pandas frame without any."""
    import pandas as pd

    texts, labels = zip(*rows(), strict=True)
    write = {".csv": "to_csv", ".parquet": "to_parquet", ".feather": "to_feather"}[ending]
    (folder / "p").mkdir()
    for name, frame in (
        ("a", pd.DataFrame({"text": texts, "label": labels})),
        ("b", pd.DataFrame([])),
    ):
        getattr(frame, write)(folder / "p" / f"{name}{ending}")
    return str(folder / "p")


def misnamed(folder: Path, name: str) -> str:
    """A Parquet file under another name."""
    os.rename(parquet(folder), folder / name)
    return str(folder / name)


def zipped_parquet(folder: Path) -> str:
    path = Path(parquet(folder))
    path.write_bytes(gzip.compress(path.read_bytes()))
    return str(path)


def partitions(folder: Path, made: Rows, name: str = "label", **values: str) -> str:
    """JSONL files in a folder for each label, which may have another value in the name."""
    for label in sorted({label for _, label in made}):
        lines = [json.dumps({"text": text}) + "\n" for text, each in made if each == label]
        value = values.get(label, label)
        written(f"out/{name}={value}/part-0.jsonl", "".join(lines), folder)
    return str(folder / "out")


def partitions_of_spans(folder: Path) -> str:
    for span in (1, 2):
        partitions(folder / f"day={span}", rows(60, start=60 * span - 60))
    return f"{folder}/day={{SPAN}}/out"


def sequences(folder: Path, *steps: Any) -> str:
    """JSONL of sequences; the first row has these steps more."""
    lines = [
        {"text": [*(steps if not number else ()), [number, 1.5]], "label": LABELS[number % 2]}
        for number in range(120)
    ]
    return written("d.jsonl", "".join(json.dumps(line) + "\n" for line in lines), folder)


SEQUENCE = {"content": "sequence"}

CASES: dict[str, Case] = {
    "a link to a file of another span": Case(
        2, linked_into_a_span, num_rows=180, says=("read more than once", "2/a.jsonl")
    ),
    "a link to the newest span": Case(2, linked_span, says=("latest",)),
    "one file as train and test": Case(
        2, linked_into_a_split, num_rows=240, says=("read more than once", "test.csv")
    ),
    "a link to a class folder": Case(2, linked_class, says=("positive",)),
    "a folder that is not UTF-8": Case(10, not_utf_8, num_rows=None, says=("not UTF-8",)),
    "parquet of a frame without columns": Case(
        16, lambda folder: frames(folder, ".parquet"), says=("1 empty",)
    ),
    "feather of a frame without columns": Case(
        16, lambda folder: frames(folder, ".feather"), says=("1 empty",)
    ),
    "csv of a frame without columns": Case(
        16, lambda folder: frames(folder, ".csv"), says=("1 empty",)
    ),
    "parquet named feather": Case(
        11,
        lambda folder: misnamed(folder, "d.feather"),
        num_rows=None,
        says=("Parquet", "Name it .parquet"),
    ),
    "parquet in gzip": Case(11, zipped_parquet, num_rows=None, says=("compressed", "Unpack it")),
    "a partition in percent-encoding": Case(
        17, lambda folder: partitions(folder, rows(), pos="a%2Fb"), labels=("a/b", "neg")
    ),
    "a partition whose name is in capitals": Case(
        17,
        lambda folder: partitions(folder, rows(), name="Label"),
        num_rows=None,
        says=("Did you mean 'Label'",),
    ),
    "partitions in spans": Case(17, partitions_of_spans),
    "a backup beside its file": Case(1, lambda folder: beside(folder, "a.jsonl~"), says=("l~",)),
    "a hidden folder of parts": Case(
        1, lambda folder: beside(folder, ".part/b.jsonl"), says=("hidden", "b.jsonl")
    ),
    "an integer beyond 64 bits in a sequence": Case(
        7, lambda folder: sequences(folder, [2**70, 1]), SEQUENCE
    ),
    "an integer beyond float32 in a sequence": Case(
        7,
        lambda folder: sequences(folder, [10**400, 1]),
        SEQUENCE,
        num_rows=119,
        says=("not finite in float32",),
    ),
    "an empty split of a table": Case(
        16,
        lambda folder: {
            "train": written("a.csv", csv(rows()), folder),
            "test": written("b.csv", "text,label\n", folder),
        },
        num_rows=None,
        says=("test split has no row", "source's own"),
    ),
}
