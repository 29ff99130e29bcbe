"""`seqline run DATA`: where columns have to be named, the message's own command works."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from components import example_gen
from pipeline import config as configuration
from pipeline.cli.chosen import Common, read
from pipeline.init import in_memory
from seqline.errors import UserError
from tests.pipeline.init.support import rows, write_csv


def proposed(*settings: str) -> list[str]:
    """The words of the command that the message for a file proposes."""
    with pytest.raises(UserError) as raised:
        in_memory("a file.csv", settings, None, None, "seqline run")
    message = str(raised.value)
    assert "\n" not in message
    return shlex.split(message[message.index("seqline run") :])


def run(words: list[str]) -> configuration.Config:
    """The configuration of a command, which is checked as a run checks it."""
    assert words[:2] == ["seqline", "run"]
    flags: dict[str, Any] = {"--set": [], "--text": [], "--label": []}
    for flag, value in zip(words[3::2], words[4::2], strict=True):
        flags[flag].append(value)
    common = Common(
        config=words[2],
        settings=flags["--set"],
        text=flags["--text"] or None,
        label=flags["--label"][0] if flags["--label"] else None,
    )
    config = read(common)
    example_gen.check(config.example_gen)
    return config


def test_other_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "a file.csv", ["the review", "stars"], rows(), ";")
    config = run(proposed())
    assert config.example_gen.text == "the review"
    assert config.example_gen.label == "stars"
    assert config.example_gen.delimiter == ";"


def test_no_header(tmp_path: Path) -> None:
    with (tmp_path / "a file.csv").open("w", newline="") as file:
        csv.writer(file).writerows((label, f"it's {text}") for text, label in rows())
    words = proposed("example_gen.test_fraction=0.3")
    assert words[2:] == [
        "a file.csv",
        "--set",
        "example_gen.test_fraction=0.3",
        "--set",
        'example_gen.columns=["label", "text"]',
    ]
    config = run(words)
    assert config.example_gen.columns == ["label", "text"]
    assert config.example_gen.test_fraction == 0.3


def test_no_header_and_few_rows(tmp_path: Path) -> None:
    (tmp_path / "a file.csv").write_text("7,good film\n7,bad film\n")
    words = proposed()
    assert words[3:] == ["--set", 'example_gen.columns=["column_1", "text"]', "--label", "column_1"]
    assert run(words).example_gen.label == "column_1"


def test_nested_fields(tmp_path: Path) -> None:
    lines = [json.dumps({"a": {"text": text}, "b": {"label": label}}) for text, label in rows()]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError) as raised:
        in_memory("a.jsonl", [], None, None, "seqline run")
    assert str(raised.value) == (
        "a.jsonl has no column 'text' and none 'label'; it has 'a.text', 'b.label'. Say which ones"
        " they are, such as: seqline run a.jsonl --text a.text --label b.label"
    )
    run(["seqline", "run", "a.jsonl", "--text", "a.text", "--label", "b.label"])


def test_an_encoding_that_is_guessed(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "a.csv",
        ["text", "label"],
        [(f"caf\u00e9 {text}", label) for text, label in rows()],
        encoding="cp1252",
    )
    assert in_memory("a.csv", [], None, None, "seqline run") == {
        "name": "a",
        "example_gen": {"source": "a.csv", "encoding": "cp1252"},
    }
