"""Several workers and an evaluator on a root in a bucket, in real processes."""

from pathlib import Path

import pytest

from tests.support.several_workers import check_killed_and_again

pytestmark = pytest.mark.slow


def test_workers_on_a_bucket_are_killed_and_go_on_to_the_bits_of_a_folder(
    place: Path, corpus: Path, tmp_path: Path
) -> None:
    check_killed_and_again(f"{place}/root", corpus, tmp_path)
