"""The Examples and Features of a few rows, which the tests of the transform share."""

from pathlib import Path

import pytest

from components.transform import TransformParams, run
from tests.support.corpus import write_examples
from tests.support.transformed import ROWS


@pytest.fixture(scope="package")
def small_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("small"), ROWS)


@pytest.fixture(scope="package")
def small_features(small_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("small_features")
    run(examples=small_examples, params=TransformParams(min_frequency=1), output=output)
    return output
