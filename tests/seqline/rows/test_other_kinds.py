import pytest

from seqline.errors import UserError
from seqline.rows.other_kinds import way_out
from seqline.rows.read import kind_of
from seqline.storage.files import File


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.xlsx", "a workbook. Save its sheet as CSV UTF-8"),
        ("d/A.NPZ", "an array of NumPy"),
        ("a.b.pkl", "a pickle, which runs code"),
        ("a.orc.gz", "an ORC file. Write it as Parquet"),
        ("a.tar.gz", "an archive. Unpack it"),
    ],
)
def test_files_that_are_not_read_are_named_with_a_way_out(path: str, kind: str) -> None:
    with pytest.raises(UserError, match=rf"^example_gen\.source {path} is {kind}"):
        kind_of([File(path, 1)], path, "example_gen")


def test_other_names_say_nothing() -> None:
    for path in ("a.txt", "orc", "a.orc/b", "rows"):
        assert way_out(path) is None
