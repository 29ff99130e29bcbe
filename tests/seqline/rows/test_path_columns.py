"""A column that both the file and its path have: neither is certain, so neither is taken."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqline.errors import UserError
from tests.support.source_files import check, example, write_tfrecord


def write(name: str, folder: Path) -> Path:
    """A file with a text and a label, in a folder that names a label."""
    path = folder / "label=old" / "exp" / name
    path.parent.mkdir(parents=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": ["a"], "label": ["x"]}), path)
    elif name.endswith(".tfrecord"):
        write_tfrecord(path, [example(text=[b"a"], label=[b"x"])])
    elif name.endswith(".csv"):
        path.write_text("text,label\na,x\n")
    else:
        path.write_text(json.dumps({"text": "a", "label": "x"}) + "\n")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.tfrecord"])
def test_a_column_of_the_file_and_of_its_path(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path)
    noun = "feature" if name.endswith(".tfrecord") else "column"
    with pytest.raises(UserError) as error:
        check(path)
    assert str(error.value) == (
        f"{path} has a {noun} 'label' of its own, and its path names one, label=old."
        f" Rename the folder or the {noun}."
    )
