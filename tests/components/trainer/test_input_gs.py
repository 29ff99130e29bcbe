"""The trainer's rows are the same from a bucket."""

import shutil
from pathlib import Path

from seqline.storage import staging
from tests.support.fake_cloud.gcs import FakeGcs


def names(cloud: FakeGcs) -> list[str]:
    return sorted(cloud.buckets["bucket"])


def test_the_trainers_rows_are_the_same_from_a_bucket(
    place: Path, features: Path, tmp_path: Path
) -> None:
    from components.trainer import input as reading

    (source,) = (features / "Split-train").iterdir()
    for number in range(9):
        (tmp_path / "Split-train").mkdir(exist_ok=True)
        shutil.copy(source, tmp_path / "Split-train" / f"data_tfrecord-00000-{number:05d}-00000.gz")
    staging.upload(tmp_path / "Split-train", place / "Split-train")

    def rows(root: Path) -> list[tuple[list, list]]:
        return [
            (ids.to_list(), label.numpy().tolist())
            for ids, label in reading.blocks(root, "train", 16, 0)
        ]

    assert rows(place) == rows(tmp_path)
