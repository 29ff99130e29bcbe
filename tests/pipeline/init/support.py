"""Small files, and `seqline init` called on them."""

import csv
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from components import example_gen
from pipeline import config as configuration
from pipeline.cli.app import app
from pipeline.retrain import thresholds

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
