"""The key of Examples follows the code that reads rows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
ROOMS = ("components", "pipeline", "seqline")
PRINT_DIGEST = (
    "from pipeline.store.code import code_digest; print(code_digest('components.example_gen'))"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, to be changed."""
    copy = tmp_path_factory.mktemp("checkout")
    for room in ROOMS:
        shutil.copytree(CHECKOUT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def code_digest(checkout: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "SEQLINE_CACHE": str(checkout / "cache"),
    }

    run = subprocess.run(
        [sys.executable, "-c", PRINT_DIGEST],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


@pytest.mark.parametrize(
    "name",
    [
        *(f"seqline/rows/formats/{name}.py" for name in ("csv", "parquet", "folder")),
        "seqline/rows/judge.py",
        "seqline/data/tf_example_reader.py",
        "components/example_gen/ingest.py",
        "components/example_gen/bbc_news.py",
    ],
)
def test_the_key_follows_the_code_that_reads_rows(checkout: Path, name: str) -> None:
    before = code_digest(checkout)
    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("\nA_CHANGE = 1\n")
    assert code_digest(checkout) != before
