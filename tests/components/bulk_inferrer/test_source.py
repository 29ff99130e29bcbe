from pathlib import Path

import pytest

from components.bulk_inferrer import BulkInferrerParams, source
from seqline.errors import DataError, UserError
from tests.support.hugging_face import save_dataset, save_dict

ROWS = [{"text": "a", "label": 0}, {"text": "b", "label": 1}]


def find(path: Path) -> tuple[str, list[str]]:
    selection = source.find(BulkInferrerParams(source=str(path)))
    return selection.kind, [Path(file.path).name for file in selection.files]


def test_a_saved_data_set_is_a_source(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "a", ROWS, ["neg", "pos"], num_shards=2)
    expected = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    assert find(folder) == ("arrow", expected)
    source.check(BulkInferrerParams(source=str(folder), keep=["label"]))


def test_saved_data_sets_that_cannot_be_a_source(tmp_path: Path) -> None:
    folder = save_dict(tmp_path / "a", {"train": ROWS, "test": ROWS}, ["neg", "pos"])
    with pytest.raises(
        UserError, match=rf"has splits; name the folder of one: {folder}/train, {folder}/test\."
    ):
        find(folder)
    with pytest.raises(DataError, match=r"is a data set without rows\. Add some"):
        find(save_dataset(tmp_path / "b", [], ["neg", "pos"]))
