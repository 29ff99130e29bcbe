"""Data sets on disk as Hugging Face's `datasets` 5.2 writes them, written without it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.support.source_files import write_arrow

Rows = list[dict[str, Any]]


def features(classes: list[str]) -> dict[str, Any]:
    """The features of rows of text and label, as dataset_info.json and the schema hold them."""
    return {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": classes, "_type": "ClassLabel"},
    }


def save_dataset(folder: Path, rows: Rows, classes: list[str], num_shards: int = 1) -> Path:
    """What `Dataset.save_to_disk` writes for rows of a text and the number of a class."""
    folder.mkdir(parents=True, exist_ok=True)
    info = {"info": {"features": features(classes)}}
    schema = pa.schema({"text": pa.string(), "label": pa.int64()}).with_metadata(
        {b"huggingface": json.dumps(info).encode()}
    )
    names = []
    for shard in range(num_shards if rows else 0):
        names.append(f"data-{shard:05d}-of-{num_shards:05d}.arrow")
        # Contiguous parts, whose lengths differ by one at most.
        start, stop = (len(rows) * number // num_shards for number in (shard, shard + 1))
        table = pa.Table.from_pylist(rows[start:stop], schema=schema)
        write_arrow(folder / names[-1], table, batch_rows=1000)

    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "0123456789abcdef",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    (folder / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
    (folder / "dataset_info.json").write_text(
        json.dumps({"citation": "", "features": features(classes)}), encoding="utf-8"
    )
    return folder


def save_dict(folder: Path, splits: Mapping[str, Rows], classes: list[str]) -> Path:
    """What `DatasetDict.save_to_disk` writes."""
    for name, rows in splits.items():
        save_dataset(folder / name, rows, classes)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}), "utf-8")
    return folder


def prepare(folder: Path, name: str, splits: Mapping[str, list[Rows]], classes: list[str]) -> Path:
    """What `load_dataset` leaves in its cache: the rows of the shards of each split."""
    info: dict[str, Any] = {"features": features(classes), "dataset_name": name, "splits": {}}
    for split, shards in splits.items():
        record: dict[str, Any] = {"name": split, "num_examples": sum(map(len, shards))}
        if len(shards) > 1:
            record["shard_lengths"] = [len(rows) for rows in shards]
        info["splits"][split] = record

        for number, rows in enumerate(shards):
            saved = save_dataset(folder / "part", rows, classes)
            place = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
            (saved / "data-00000-of-00001.arrow").rename(folder / f"{name}-{split}{place}.arrow")
            shutil.rmtree(saved)

    (folder / "dataset_info.json").write_text(json.dumps(info), "utf-8")
    return folder
