import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seqline.errors import DataError, UserError
from seqline.rows.hugging_face import splits_of, with_paths
from tests.support.hugging_face import prepare, save_dataset, save_dict
from tests.support.source_files import read_all, usable

CLASSES = ["neg", "pos"]
ROWS = [{"text": f"t{n}", "label": n % 2} for n in range(5)]
USABLE = [(f"t{n}".encode(), CLASSES[n % 2].encode()) for n in range(5)]


def names(splits: dict[str | None, Any] | None) -> dict[str | None, list[str]]:
    assert splits is not None
    return {split: [Path(file.path).name for file in its] for split, its in splits.items()}


def test_the_files_of_a_saved_data_set_are_those_of_its_state(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "a [1]", ROWS, CLASSES, num_shards=2)
    # Of an earlier save into the same folder, with more shards.
    (folder / "data-00002-of-00003.arrow").write_bytes(b"old")
    expected = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for path in (str(folder), f"{folder}/"):
        assert names(splits_of(path)) == {None: expected}
    assert [row for name in expected for row in usable(read_all(folder / name))] == USABLE

    assert splits_of(str(save_dataset(tmp_path / "empty", [], CLASSES))) == {None: []}
    assert splits_of(str(tmp_path)) is None


def test_the_splits_of_a_saved_data_set(tmp_path: Path) -> None:
    folder = save_dict(tmp_path / "a", {"train": ROWS, "test": ROWS[:1], "extra": []}, CLASSES)
    one = ["data-00000-of-00001.arrow"]
    assert names(splits_of(str(folder))) == {"train": one, "test": one, "extra": []}
    assert names(splits_of(str(folder / "test"))) == {None: one}


def test_the_splits_of_a_data_set_in_the_cache(tmp_path: Path) -> None:
    folder = prepare(tmp_path, "imdb", {"train": [ROWS[:2], ROWS[2:]], "test": [ROWS]}, CLASSES)
    # What `map` gave.
    (folder / "cache-0123456789abcdef.arrow").write_bytes(b"other rows")
    assert names(splits_of(str(folder))) == {
        "train": ["imdb-train-00000-of-00002.arrow", "imdb-train-00001-of-00002.arrow"],
        "test": ["imdb-test.arrow"],
    }
    (folder / "imdb-test.arrow").unlink()
    with pytest.raises(DataError, match=r"imdb-test\.arrow does not exist, and dataset_info\.json"):
        splits_of(str(folder))

    # TFDS has a file of this name, too.
    (folder / "dataset_info.json").write_text('{"splits": [{"name": "train"}]}')
    assert splits_of(str(folder)) is None


def test_saved_data_sets_that_cannot_be_used(tmp_path: Path) -> None:
    folder = save_dataset(tmp_path / "a", ROWS, CLASSES, num_shards=2)
    (folder / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(
        DataError, match=r"data-00001-of-00002\.arrow does not exist, and state\.json beside it"
    ):
        splits_of(str(folder))

    state = json.loads((folder / "state.json").read_text())
    state["_indices_files"] = [{"filename": "indices.arrow"}]
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"a list of the rows that it uses.*`save_to_disk`"):
        splits_of(str(folder))

    for content in ("{", "[]", "{}", '{"_data_files": [1]}'):
        (folder / "state.json").write_text(content)
        with pytest.raises(DataError, match=r"state\.json is damaged"):
            splits_of(str(folder))

    (tmp_path / "dataset_dict.json").write_text('{"splits": 3}')
    with pytest.raises(DataError, match=r"dataset_dict\.json is damaged: it names no splits"):
        splits_of(str(tmp_path))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["gone"]}')
    with pytest.raises(DataError, match=r"gone/state\.json does not exist"):
        splits_of(str(tmp_path))


def test_data_sets_in_memory_are_saved_once(tmp_path: Path) -> None:
    datasets = pytest.importorskip(
        "datasets", reason="Hugging Face's `datasets` is not among the project's dependencies"
    )
    info = datasets.DatasetInfo(
        features=datasets.Features(
            text=datasets.Value("string"), label=datasets.ClassLabel(names=CLASSES)
        )
    )
    table = pa.Table.from_pylist(ROWS)
    data_set = datasets.Dataset(table, info=info, fingerprint="fingerprint-of-all")
    few = datasets.Dataset(table[:2], info=info, fingerprint="fingerprint-of-two")

    path = with_paths(data_set, str(tmp_path))
    assert path == f"{tmp_path}/hugging_face/fingerprint-of-all"
    assert usable(read_all(f"{path}/data-00000-of-00001.arrow")) == USABLE

    before = (Path(path) / "state.json").stat().st_mtime_ns
    assert with_paths(data_set, str(tmp_path)) == path
    assert (Path(path) / "state.json").stat().st_mtime_ns == before

    splits = datasets.DatasetDict(train=data_set, test=few)
    saved = splits_of(with_paths(splits, str(tmp_path)))
    assert names(saved) == {split: ["data-00000-of-00001.arrow"] for split in ("train", "test")}
    assert with_paths({"train": data_set, "test": few}, str(tmp_path)) == {
        "train": path,
        "test": f"{tmp_path}/hugging_face/fingerprint-of-two",
    }
    assert sorted(entry.name[:11] for entry in (tmp_path / "hugging_face").iterdir())[1:] == [
        "fingerprint",
        "fingerprint",
    ]

    with pytest.raises(ValueError, match="source is a stream \\(IterableDataset\\)"):
        with_paths(data_set.to_iterable_dataset(), str(tmp_path))
    with pytest.raises(ValueError, match="data_dir 'gs://b' is not a local folder"):
        with_paths(data_set, "gs://b")


def test_other_sources_stay_as_they_are() -> None:
    for source in ("a.csv", {"train": "a.csv"}, 3, None):
        assert with_paths(source, "data") == source


def test_what_the_support_for_tests_writes_is_what_the_library_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip(
        "datasets", reason="Hugging Face's `datasets` is not among the project's dependencies"
    )
    folder = save_dict(tmp_path / "a", {"train": ROWS, "test": ROWS[:1]}, CLASSES)
    loaded = datasets.load_from_disk(str(folder))
    assert loaded["train"].to_list() == ROWS
    assert loaded["train"].features["label"].names == CLASSES
    loaded.save_to_disk(str(tmp_path / "b"))

    written = {path.relative_to(folder) for path in folder.rglob("*")}
    assert written == {path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*")}
    for split in ("train", "test"):
        arrow = f"{split}/data-00000-of-00001.arrow"
        schemas = [
            pa.ipc.open_stream((root / arrow).read_bytes()).schema
            for root in (folder, tmp_path / "b")
        ]
        assert schemas[0].equals(schemas[1])
        metadata = [json.loads(schema.metadata[b"huggingface"]) for schema in schemas]
        assert metadata[0] == metadata[1]
