"""Data sets of Hugging Face's `datasets`, on disk or in memory. Does not import that library.

`Dataset.save_to_disk` writes a folder, and `DatasetDict.save_to_disk` one for each split:

    <data set>/dataset_dict.json                    the names of the splits
    <data set>/<split>/state.json                   the names of the data files, in order
    <data set>/<split>/dataset_info.json            the features
    <data set>/<split>/data-00000-of-00002.arrow    Arrow streams

`load_dataset` keeps what it prepared in a cache, by default under ~/.cache/huggingface/datasets:

    <name>/<config>/<version>/<hash>/dataset_info.json        the splits and their shards
    <name>/<config>/<version>/<hash>/<name>-train.arrow       or -train-00000-of-00002.arrow

The data files are read as any Arrow files. A folder may hold other ones, too, such as those of an
earlier save, and what `map` gave: the .json files tell.
"""

import glob
import os
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from seqline.errors import DataError, UserError
from seqline.storage import files
from seqline.storage.files import File

DICT = "dataset_dict.json"
STATE = "state.json"
INFO = "dataset_info.json"
# The files of which a data set has one.
MARKS = (DICT, STATE, INFO)
# The folder of saved data sets, under data_dir.
SAVED = "hugging_face"


def splits_of(folder: str) -> dict[str | None, list[File]] | None:
    """The data files of a folder that `save_to_disk` or `load_dataset` wrote.

    Args:
        folder: Its path, without wildcards.

    Returns:
        Name of a split, as the data set calls it -> its files, in their order. The split is None
        for a folder of a single Dataset. None for another folder.

    Raises:
        DataError: A file is missing or damaged.
    """
    folder = folder.rstrip("/")
    if files.match(f"{glob.escape(folder)}/{DICT}"):
        names = _read(f"{folder}/{DICT}").get("splits")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise files.damaged(f"{folder}/{DICT}", "", "it names no splits")
        return {name: _data_files(f"{folder}/{name}") for name in names}

    if files.match(f"{glob.escape(folder)}/{STATE}"):
        return {None: _data_files(folder)}
    return _prepared(folder) if files.match(f"{glob.escape(folder)}/{INFO}") else None


def _prepared(folder: str) -> dict[str | None, list[File]] | None:
    """The data files of a folder of the cache. None for another one with such a file, as TFDS's."""
    info = _read(f"{folder}/{INFO}")
    name, splits = info.get("dataset_name"), info.get("splits")
    if not isinstance(name, str) or not isinstance(splits, dict):
        return None

    there = {file.path: file for file in files.match(f"{glob.escape(folder)}/*.arrow")}
    if not there:  # It was prepared as another kind of files.
        return None

    by_split: dict[str | None, list[File]] = {}
    for split, record in splits.items():
        count = len((record or {}).get("shard_lengths") or [0])
        numbers = [f"-{shard:05d}-of-{count:05d}" for shard in range(count)] if count > 1 else [""]
        names = [f"{name}-{split}{number}.arrow" for number in numbers]
        by_split[split] = _chosen(names, there, folder, INFO)
    return by_split


def _data_files(folder: str) -> list[File]:
    """The files with the rows of one Dataset. One without rows has none."""
    path = f"{folder}/{STATE}"
    state = _read(path)
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise files.damaged(path, "", "it names no data files") from None

    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise UserError(
            f"{folder} holds a data set with a list of the rows that it uses, as versions of"
            " `datasets` before 2.0 wrote it. Load it with `datasets.load_from_disk` and save it"
            " again with `save_to_disk`."
        )

    there = {file.path: file for file in files.match(f"{glob.escape(folder)}/*.arrow")}
    return _chosen(names, there, folder, STATE)


def _chosen(names: list[str], there: dict[str, File], folder: str, mark: str) -> list[File]:
    """The files of these names.

    Args:
        names: As a .json file names them.
        there: Path -> the file, of all in the folder.
        folder: The folder.
        mark: The name of the .json file.

    Raises:
        DataError: One is missing.
    """
    for name in names:
        if f"{folder}/{name}" not in there:
            raise DataError(
                f"{folder}/{name} does not exist, and {mark} beside it names it. Copy the whole"
                " folder again."
            )
    return [there[f"{folder}/{name}"] for name in names]


def _read(path: str) -> dict[str, Any]:
    with files.translate_errors(path), files.open_file(path) as file:
        content = files.parse_object(file.read())
    if content is None:
        raise files.damaged(path, "", "it is not JSON")
    return content


# Objects


def with_paths(source: Any, data_dir: str) -> Any:
    """A source with the folders of saved data sets in the place of data sets in memory.

    A data set is saved once under `<data_dir>/hugging_face/<fingerprint>`: `datasets` gives equal
    fingerprints to equal data.

    Args:
        source: A `Dataset`, a `DatasetDict`, or a table with one for each split. Others are
            returned as they are.
        data_dir: A local folder.

    Raises:
        ValueError: The data set is a stream, or data_dir is in a bucket.
    """
    kind = _kind(source)
    if kind is None:
        if isinstance(source, dict):
            return {split: with_paths(value, data_dir) for split, value in source.items()}
        return source

    if kind.startswith("Iterable"):
        raise ValueError(
            f"source is a stream ({kind}), which has no length and no files; load it without"
            " streaming, or write it to files with to_parquet"
        )
    if files.is_remote(data_dir):
        raise ValueError(
            f"source is a {kind} in memory, and data_dir {data_dir!r} is not a local folder to save"
            " it in; name one"
        )
    return _save(source, Path(data_dir).expanduser() / SAVED)


def _kind(source: Any) -> str | None:
    """`Dataset`, `DatasetDict` or the like for an object of that library, None for others."""
    for cls in type(source).__mro__:
        if cls.__module__.partition(".")[0] == "datasets" and "Dataset" in cls.__name__:
            return cls.__name__
    return None


def _save(data_set: Any, parent: Path) -> str:
    """Saves a data set, unless that was done. The folder appears whole or not at all."""
    folder = parent / _fingerprint(data_set)
    if folder.is_dir():
        return str(folder)

    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".saving-") as part:
        data_set.save_to_disk(f"{part}/data_set")
        with suppress(OSError):  # Another process was faster.
            os.rename(f"{part}/data_set", folder)
    return str(folder)


def _fingerprint(data_set: Any) -> str:
    if isinstance(data_set, dict):
        splits = [f"{name}={_fingerprint(split)}" for name, split in sorted(data_set.items())]
        return blake2b("&".join(splits).encode(), digest_size=16).hexdigest()
    return str(data_set._fingerprint)
