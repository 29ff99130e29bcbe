"""A folder with data and a configuration, and the command line called in it."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import app

ROWS = "review,stars\n" + "".join(
    f"{'good' if number % 2 else 'bad'} film number {number},{number % 2}\n" for number in range(40)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: reviews.csv, my.toml, and no variable of seqline's."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("SEQLINE_") and "CACHE" not in name:
            monkeypatch.delenv(name)
    (tmp_path / "reviews.csv").write_text(ROWS)
    (tmp_path / "my.toml").write_text(
        '[example_gen]\nsource = "reviews.csv"\ntext = "review"\nlabel = "stars"\n'
    )
    return tmp_path


@pytest.fixture
def seqline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls `seqline ARGUMENTS` in this process: (exit code, output, errors)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["seqline", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def refused(seqline: Any) -> Any:
    """Calls what must end with exit code 2, and returns its one line."""

    def call(*arguments: str) -> str:
        code, out, error = seqline(*arguments)
        assert (code, out) == (2, "")
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return str(error).removeprefix("error: ").removesuffix("\n")

    return call
