"""Schemas of good rows, which the tests of the validator share."""

from pathlib import Path

import pytest

from components.example_validator import describe
from tests.support.validated import chain, good_rows, good_sequences


@pytest.fixture(scope="package")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Schemas inferred from good rows, which have no anomaly."""
    schema_of = {}
    for content, rows, dim in (("text", good_rows(), None), ("sequence", good_sequences(), 2)):
        root = tmp_path_factory.mktemp(content)
        figures = chain(root, {1: rows}, content, dim)  # type: ignore[arg-type]
        assert figures == {
            "num_errors": 0,
            "num_warnings": 0,
            "kinds": [],
            "lines": [],
            "warnings": [],
        }
        assert describe(figures) == "no anomaly"
        schema_of[content] = root / "schema" / "schema.pbtxt"
    return schema_of
