"""tensorflow-datasets as a source: prepared once under data_dir, then read shard by shard.

In a bucket a data set is prepared on this machine and uploaded. A worker that reads one of its
shards copies the whole data set to its own disk.
"""

import difflib
import glob
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from components.example_gen import ExampleGenParams
from components.example_gen.splits import SPLIT_NAMES, TFDS_KIND
from seqline.data import features
from seqline.errors import DataError, UserError
from seqline.rows.nested import MISSING, look_up, parts
from seqline.rows.row import BadRow, Row
from seqline.rows.shards import Shard
from seqline.storage import files
from seqline.storage.files import is_remote
from seqline.storage.staging import local_copy, path_of, upload

# TFDS tries ten times, 205 seconds in all, before it says that there is no network.
DOWNLOAD_RETRIES = 1
# TFDS writes this file last.
INFO = "dataset_info.json"


def is_prepared(name: str, data_dir: str) -> bool:
    """Whether a data set is prepared under data_dir. Does not need tensorflow-datasets."""
    return _prepared(name, data_dir) is not None


def digest(name: str, data_dir: str, cache: files.DigestCache) -> str | None:
    """The digest of a prepared data set's files. None while it is not prepared.

    Does not need tensorflow-datasets.
    """
    folder = _prepared(name, data_dir)
    if folder is None:
        return None

    whole = blake2b(digest_size=16)
    for file in files.match(f"{glob.escape(str(folder))}/*"):
        file_name = file.path.rpartition("/")[2]
        # The description holds module paths of the machine and the like; the records and their
        # features are the data.
        if file_name != INFO:
            whole.update(json.dumps([file_name, files.digest(file, cache)]).encode())
    return whole.hexdigest()


def _prepared(name: str, data_dir: str) -> Path | None:
    """`<data_dir>/<name>[/<config>]/<version>`, the newest version if none is named."""
    full_name, _, version = name.partition(":")
    folder = path_of(data_dir if is_remote(data_dir) else os.path.expanduser(data_dir)) / full_name
    versions = [info.parent for info in folder.glob(f"{version or '*'}/{INFO}")]
    if not versions and "/" not in full_name:
        # No config is named: TFDS takes the first one.
        versions = [info.parent for info in folder.glob(f"*/{version or '*'}/{INFO}")]
    return max(versions, key=_version_numbers, default=None)


def _version_numbers(folder: Path) -> list[int]:
    """[1, 10, 0] for `1.10.0`."""
    return [int(number) if number.isdigit() else -1 for number in folder.name.split(".")]


def _builder(name: str, data_dir: str) -> Any:
    import tensorflow_datasets as tfds

    # TFDS knows a builder once its class is defined: the import is for that alone.
    from components.example_gen import bbc_news  # noqa: F401

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
    """Downloads and builds a data set under data_dir, unless that is done.

    Raises:
        UserError: The name is unknown, or data_dir cannot be made.
        DataError: The download fails. That takes seconds, not minutes.
    """
    if _prepared(name, data_dir) is not None:
        return
    if is_remote(data_dir):
        _prepare_remotely(name, data_dir)
        return

    import requests
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = DOWNLOAD_RETRIES
    builder = _builder(name, data_dir)
    try:
        os.makedirs(os.path.expanduser(data_dir), exist_ok=True)
    except OSError as error:  # A link to nowhere, or a file: the network is not the cause.
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


def _prepare_remotely(name: str, data_dir: str) -> None:
    """Prepares a data set on this machine and uploads it."""
    with tempfile.TemporaryDirectory(prefix="seqline-tfds-") as folder:
        prepare(name, folder)
        whole = [
            path
            for path in Path(folder).rglob("*")
            if "downloads" not in path.relative_to(folder).parts
        ]

        # The file that says that the data set is whole comes last.
        upload(Path(folder), path_of(data_dir), [path for path in whole if path.name != INFO])
        upload(Path(folder), path_of(data_dir), [path for path in whole if path.name == INFO])


def shards(name: str, params: ExampleGenParams) -> tuple[list[Shard], list[str]]:
    """The shards of the splits that stand for train, eval and test, and the other splits' names.

    Raises:
        UserError: The data set is unknown, or has no such feature.
        DataError: It has no train split.
    """
    info = _builder(name, params.data_dir).info
    fields: list[tuple[str, str | None]] = [("text", feature) for feature in params.texts]
    fields += [("label", params.label), ("split", params.split), ("weight", params.weight)]
    for field, feature in fields:
        if feature is not None and _feature(info.features, feature) is MISSING:
            names = _names(info.features)
            raise UserError(
                f"example_gen.source 'tfds:{name}' has no feature {feature!r}"
                f" (example_gen.{field}); it has {', '.join(map(repr, sorted(names)))}. Set"
                f" example_gen.{field} to one of them."
            )

    own = [split for split in info.splits if split in SPLIT_NAMES]
    if features.TRAIN not in own:
        raise DataError(
            f"example_gen.source 'tfds:{name}' has the splits {sorted(info.splits)} and no train."
        )

    if params.split is not None and len(own) > 1:
        raise UserError(
            f"example_gen.split {params.split!r} names a feature with the splits, and 'tfds:{name}'"
            f" has the splits {', '.join(sorted(own))} of its own. Remove example_gen.split."
        )

    shards = []
    for split in sorted(own):
        # A data set with nothing but a train split is split by the digest.
        ours = SPLIT_NAMES[split] if len(own) > 1 else None
        for number in range(info.splits[split].num_shards):
            shards.append(Shard(TFDS_KIND, ours, (name, split), tfds_shard=number))
    return shards, sorted(set(info.splits) - set(own))


def read(shard: Shard, params: ExampleGenParams) -> Iterator[Row | BadRow]:
    """The rows of a shard of a split, in order. A row's line is its number in the shard."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from seqline.rows.judge import decoded, judge

    name, split = shard.paths
    builder = _builder(name, params.data_dir)
    label_feature = _feature(builder.info.features, params.label)
    is_class = isinstance(label_feature, tfds.features.ClassLabel)
    name_of = label_feature.int2str if is_class else None
    place = f"tfds:{name}/{split}[shard {shard.tfds_shard}]"
    format_ = params.row_format
    judged = judge(format_)
    rows = builder.as_dataset(
        split=f"{split}[{shard.tfds_shard}shard:{shard.tfds_shard + 1}shard]", shuffle_files=False
    )
    line = 0

    try:
        for line, row in enumerate(rows.as_numpy_iterator(), start=1):
            values = {name: decoded(_value(look_up(row, name))) for name in format_.columns}
            values[params.label] = _label(values[params.label], name_of)
            yield judged([values[name] for name in format_.columns], place, line)
    except tf.errors.OpError as error:
        cause = " ".join(str(error.message).split())[:200]
        raise DataError(
            f"{place} cannot be read after row {line}: {cause}. "
            f"Delete {builder.data_dir} and run again: it will be prepared again."
        ) from error


def _feature(features: Any, name: str) -> Any:
    """The feature of this name, or the one that the dots of the name lead to, or MISSING."""
    import tensorflow_datasets as tfds

    if name in features:
        return features[name]
    for part in parts(name):
        if not isinstance(features, tfds.features.FeaturesDict) or part not in features:
            return MISSING
        features = features[part]
    return features


def _names(features: Any) -> list[str]:
    """The names of all features, with the way to those within others."""
    import tensorflow_datasets as tfds

    names = []
    for name, feature in features.items():
        is_outer = isinstance(feature, tfds.features.FeaturesDict)
        names += [f"{name}.{inner}" for inner in _names(feature)] if is_outer else [name]
    return names


def _value(value: Any) -> Any:
    """A scalar or an array of strings as Python's. Numbers stay an array, ragged ones are lists."""
    import numpy as np  # Here: the digest of a data set needs no NumPy.

    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value if value.ndim else value.item()
    if hasattr(value, "to_list"):  # a ragged tensor's value
        return value.to_list()
    return value.tolist() if hasattr(value, "tolist") else value


def _label(value: Any, name_of: Callable[[int], str] | None) -> Any:
    """The name of a class, or the value of another label. TFDS marks unlabelled rows with -1."""
    if name_of is None:
        return value
    return name_of(value) if value >= 0 else None
