"""tensorflow-datasets as a source: prepared once under data_dir, then read shard by shard.

Under gs:// it is prepared on this machine and uploaded; a worker that reads a shard has a copy of
the whole data set in its cache.
"""

import difflib
import glob
import json
import os
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from components.example_gen import ExampleGenParams
from components.example_gen.splits import SPLIT_NAMES
from seqline.data import features
from seqline.errors import DataError, UserError
from seqline.rows.row import BadRow, Row
from seqline.rows.shards import Shard
from seqline.storage import files
from seqline.storage.files import is_remote
from seqline.storage.staging import local_copy, path_of, upload

# TFDS tries ten times, 205 seconds in all, before it says that there is no network.
DOWNLOAD_RETRIES = 1
# TFDS writes it last.
INFO = "dataset_info.json"


def is_prepared(name: str, data_dir: str) -> bool:
    """Whether a data set lies ready under data_dir. Needs no tensorflow-datasets."""
    return _prepared(name, data_dir) is not None


def digest(name: str, data_dir: str, cache: files.DigestCache) -> str | None:
    """The digest of a prepared data set's files.

    None while it is not prepared. Needs no tensorflow-datasets.
    """
    folder = _prepared(name, data_dir)
    if folder is None:
        return None
    whole = blake2b(digest_size=16)
    for file in files.match(f"{glob.escape(str(folder))}/*"):
        name = file.path.rpartition("/")[2]
        # The description names the machine's module paths and the like; the records and their
        # features are the data.
        if name != INFO:
            whole.update(json.dumps([name, files.digest(file, cache)]).encode())
    return whole.hexdigest()


def _prepared(name: str, data_dir: str) -> Path | None:
    """`<data_dir>/<name>[/<config>]/<version>`, the newest version if none is named."""
    full_name, _, version = name.partition(":")
    folder = path_of(data_dir if is_remote(data_dir) else Path(data_dir).expanduser()) / full_name
    found = [info.parent for info in folder.glob(f"{version or '*'}/{INFO}")]
    if not found and "/" not in full_name:  # the first config is the default one
        found = [info.parent for info in folder.glob(f"*/{version or '*'}/{INFO}")]
    return max(
        found,
        key=lambda path: [int(part) if part.isdigit() else -1 for part in path.name.split(".")],
        default=None,
    )


def _builder(name: str, data_dir: str) -> Any:
    import tensorflow_datasets as tfds

    # A builder is known once its class is defined
    import components.example_gen.bbc_news  # noqa: F401

    folder = _prepared(name, data_dir)
    if folder is not None:
        return tfds.builder_from_directory(str(local_copy(folder)))
    try:
        return tfds.builder(name, data_dir=str(Path(data_dir).expanduser()))
    except tfds.core.DatasetNotFoundError:
        close = difflib.get_close_matches(name.partition("/")[0], tfds.list_builders(), n=1)
        hint = f" Did you mean 'tfds:{close[0]}'?" if close else ""
        raise UserError(
            f"example_gen.source 'tfds:{name}': tensorflow-datasets knows no such data set.{hint}"
        ) from None
    except (ValueError, AssertionError) as error:
        raise UserError(
            f"example_gen.source 'tfds:{name}': {str(error).splitlines()[0]}"
        ) from error


def prepare(name: str, data_dir: str) -> None:
    """Downloads and builds a data set under data_dir; does nothing where that is done.

    Raises UserError for an unknown name and for a data_dir that cannot be made, DataError where the
    download fails, after seconds.
    """
    if _prepared(name, data_dir) is not None:
        return
    if is_remote(data_dir):
        with tempfile.TemporaryDirectory(prefix="seqline-tfds-") as folder:
            prepare(name, folder)
            whole = [
                path
                for path in Path(folder).rglob("*")
                if "downloads" not in path.relative_to(folder).parts
            ]
            # What says that it is whole comes last.
            for files_of_it in (
                [path for path in whole if path.name != INFO],
                [path for path in whole if path.name == INFO],
            ):
                upload(Path(folder), path_of(data_dir), files_of_it)
        return
    import requests
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = DOWNLOAD_RETRIES
    builder = _builder(name, data_dir)
    try:
        os.makedirs(os.path.expanduser(data_dir), exist_ok=True)
    except OSError as error:  # a link to nowhere, a file: no matter of the network
        raise UserError(
            f"example_gen.data_dir {data_dir!r} cannot be made: {error.strerror}. Name another"
            " folder with --data-dir."
        ) from None
    try:
        builder.download_and_prepare()
    except (OSError, requests.RequestException) as error:
        cause = " ".join(str(error).split())
        raise DataError(
            f"example_gen.source 'tfds:{name}' could not be downloaded: {cause[:200]} ... Check the"
            f" network, or prepare it on another machine and copy it to {Path(data_dir).resolve()}."
        ) from error


def shards(name: str, params: ExampleGenParams) -> tuple[list[Shard], list[str]]:
    """The shards of the splits that stand for train, eval and test, and the names of the other
    splits.

    Raises UserError for a feature that is not there, DataError where there is no train split.
    """
    info = _builder(name, params.data_dir).info
    for field, feature in (("text", params.text), ("label", params.label)):
        if feature not in info.features:
            raise UserError(
                f"example_gen.source 'tfds:{name}' has no feature {feature!r}"
                f" (example_gen.{field}); it has {', '.join(map(repr, sorted(info.features)))}. Set"
                f" example_gen.{field} to one of them."
            )
    own = [split for split in info.splits if split in SPLIT_NAMES]
    if features.TRAIN not in own:
        raise DataError(
            f"example_gen.source 'tfds:{name}' has the splits {sorted(info.splits)} and no train."
        )
    found = [
        # A data set with nothing but a train split comes unsplit.
        Shard(
            "tfds", SPLIT_NAMES[split] if len(own) > 1 else None, (name, split), tfds_shard=number
        )
        for split in sorted(own)
        for number in range(info.splits[split].num_shards)
    ]
    return found, sorted(set(info.splits) - set(own))


def read(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    """The rows of one shard of a split, in order; the line of a row is its number in the shard."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from seqline.rows.judge import decoded, judge

    name, split = shard.paths
    builder = _builder(name, params.data_dir)
    known = builder.info.features
    names = (
        known[params.label].int2str
        if isinstance(known[params.label], tfds.features.ClassLabel)
        else None
    )
    place = f"tfds:{name}/{split}[shard {shard.tfds_shard}]"
    judged = judge(params.row_format)
    rows = builder.as_dataset(
        split=f"{split}[{shard.tfds_shard}shard:{shard.tfds_shard + 1}shard]", shuffle_files=False
    )
    line = 0
    try:
        for line, row in enumerate(rows.as_numpy_iterator(), start=1):
            values = (
                decoded(_value(row[params.text])),
                _label(decoded(_value(row[params.label])), names),
            )
            yield judged(values, place, line)
    except tf.errors.OpError as error:
        cause = " ".join(str(error.message).split())[:200]
        raise DataError(
            f"{place} cannot be read after row {line}: {cause}. Delete {builder.data_dir} and run"
            " again: it will be prepared anew."
        ) from error


def _value(value: Any) -> Any:
    """numpy's scalar and its array of strings as Python's.

    Numbers stay an array, ragged ones become lists.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value if value.ndim else value.item()
    if hasattr(value, "to_list"):  # a ragged tensor's value
        return value.to_list()
    return value.tolist() if hasattr(value, "tolist") else value


def _label(value: Any, names: Any) -> Any:
    if names is None:
        return value
    return names(value) if value >= 0 else None  # TFDS marks unlabelled rows with -1
