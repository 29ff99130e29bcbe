"""One run of the Python API on 240 rows in memory, which many tests look at."""

from pathlib import Path

import pyarrow as pa
import pytest

import seqline
from tests.support.corpus import SMALL_SETTINGS, corpus_rows


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return pa.Table.from_pylist(corpus_rows())


@pytest.fixture(scope="session")
def config(table: pa.Table) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {"example_gen": {"source": table}}
    for name, value in SMALL_SETTINGS.items():
        section, _, setting = name.partition(".")
        tables.setdefault(section, {})[setting] = False if value == "false" else value
    tables["trainer"]["num_epochs"] = 6
    return tables


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "artifacts"


@pytest.fixture(scope="session")
def run(config: dict[str, dict[str, object]], root: Path) -> seqline.Run:
    return seqline.run(config, root=root, to="evaluator", serving_dir=root.parent / "serving")
