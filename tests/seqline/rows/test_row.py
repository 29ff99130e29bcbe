"""Columns that a path names, as Hive's partitions do."""

import pytest

from seqline.rows.row import RowFormat


@pytest.mark.parametrize(
    ("path", "constants"),
    [
        ("d/label=pos/a.csv", (("label", "pos"),)),
        ("d/split=test/label=a%2Fb%20c/a.csv", (("label", "a/b c"), ("split", "test"))),
        ("d/label=__HIVE_DEFAULT_PARTITION__/a.csv", (("label", None),)),
        # The nearest folder tells; a value may hold an equals sign; other columns are not wanted.
        ("d/label=x/date=2024-01-01/label=y=z/a.csv", (("label", "y=z"),)),
        # A file's own name is no folder.
        ("d/label=pos.csv", ()),
    ],
)
def test_columns_that_a_path_names(
    path: str, constants: tuple[tuple[str, str | None], ...]
) -> None:
    format_ = RowFormat("example_gen", label="label", split="split")
    assert format_.at(path).constants == constants


def test_columns_are_the_wanted_ones_that_the_file_has() -> None:
    format_ = RowFormat(
        "example_gen", text=("title", "body"), label="label", split="fold", weight="w"
    )
    assert format_.wanted == ("title", "body", "label", "fold", "w")
    assert format_.at("d/label=x/fold=test/a.csv").columns == ("title", "body", "w")
