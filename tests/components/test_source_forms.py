"""example_gen and transform together, on every form of a source and every kind of content."""

import csv
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import statistics_gen, transform
from components.example_gen import ExampleGenParams, ingest, sources
from components.example_gen import run as run_example_gen
from components.transform import TransformParams, materialize, passes
from pipeline.store.layout import artifact_digest
from seqline.data.features import shards
from seqline.data.manifest import read_manifest
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError
from seqline.jobs import beam
from tests.support.corpus import corpus_rows
from tests.support.files import contents
from tests.support.ingested import Row, ids_of_texts, rows, write_jsonl, write_tfrecord


def write_csv(path: Path, rows: list[Row]) -> None:
    with (gzip.open if path.suffix == ".gz" else open)(
        path, "wt", newline="", encoding="utf-8"
    ) as file:
        writer = csv.DictWriter(file, ["label", "text"])
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)


def write_arrow(path: Path, rows: list[Row]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_folder(path: Path, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        file = path / row["label"] / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(row["text"].encode())


FORMS: dict[str, Callable[[Path, list[Row]], None]] = {
    "rows.csv": write_csv,
    "rows.csv.gz": write_csv,
    "rows.jsonl": write_jsonl,
    "rows.jsonl.gz": write_jsonl,
    "rows.tfrecord": write_tfrecord,
    "rows.tfrecord.gz": write_tfrecord,
    "rows.parquet": write_parquet,
    "rows.arrow": write_arrow,
    "rows": write_folder,
}


Ingested = Callable[[str], tuple[Path, dict]]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """Makes Examples, and example_gen's figures, of the rows in a form."""

    @cache
    def ingest_form(name: str) -> tuple[Path, dict]:
        folder = tmp_path_factory.mktemp("ingested")
        FORMS[name](folder / name, rows())
        return ingest_source(folder / name, folder / "examples")

    return ingest_form


def ingest_source(source: Path, examples: Path) -> tuple[Path, dict]:
    examples.mkdir(parents=True)
    params = ExampleGenParams(source=str(source))
    return examples, run_example_gen(params=params, output=examples)


def transformed(examples: Path, features: Path) -> Path:
    features.mkdir()
    transform.run(examples=examples, params=TransformParams(min_frequency=1), output=features)
    return features


@pytest.fixture(scope="module")
def from_jsonl(
    ingested: Ingested, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, dict]:
    """(Examples, Features, example_gen's figures) of JSONL."""
    examples, figures = ingested("rows.jsonl")
    features = transformed(examples, tmp_path_factory.mktemp("jsonl") / "features")
    return examples, features, figures


@pytest.mark.parametrize("name", [name for name in FORMS if name.endswith(".gz")])
def test_a_compressed_file_gives_the_same_examples(name: str, ingested: Ingested) -> None:
    plain, expected = ingested(name.removesuffix(".gz"))
    examples, figures = ingested(name)
    assert figures == expected
    assert contents(examples, "Split-*/*") == contents(plain, "Split-*/*")


@pytest.mark.parametrize("name", ["rows.csv", "rows.tfrecord", "rows.parquet", "rows"])
def test_the_same_rows_in_any_form_give_the_same_vocabularies_and_ids(
    name: str, ingested: Ingested, from_jsonl: tuple[Path, Path, dict], tmp_path: Path
) -> None:
    examples_of_jsonl, features_of_jsonl, figures_of_jsonl = from_jsonl
    examples, figures = ingested(name)
    features = transformed(examples, tmp_path / "features")
    assert figures | {"num_files": 1} == figures_of_jsonl
    assert (
        figures["num_read"]
        == len(rows())
        == sum(sum(labels.values()) for labels in figures["num_rows"].values())
    )
    for vocabulary in ("tokens", "labels"):
        path = Path("vocabularies", vocabulary)
        assert (features / path).read_bytes() == (features_of_jsonl / path).read_bytes()
    assert ids_of_texts(examples, features) == ids_of_texts(examples_of_jsonl, features_of_jsonl)


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_file_that_breaks_while_it_is_read_leaves_nothing_behind(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.tfrecord"
    write_tfrecord(path, rows())
    content = path.read_bytes()
    of_span = sources.shards

    def break_it(*arguments: object) -> object:
        """Damages the file as another process could, after it was listed and before it is read."""
        listed = of_span(*arguments)  # type: ignore[arg-type]
        if damage == "cut":
            path.write_bytes(content[:-7])
        elif damage == "changed":
            write_tfrecord(path, rows()[:-1])
        else:
            path.unlink(missing_ok=True)
        return listed

    monkeypatch.setattr(sources, "shards", break_it)
    (tmp_path / "output").mkdir()
    parts = SpanCache(tmp_path / "transform")
    analyses = {"transform": partial(transform.analyze, params=TransformParams(), span_cache=parts)}
    message = {
        "cut": r"rows\.tfrecord.*record 65",
        "gone": r"rows\.tfrecord",
        "changed": "changed while they were read; nothing was kept",
    }[damage]

    with pytest.raises(DataError, match=message):
        run_example_gen(
            params=ExampleGenParams(source=str(path)),
            output=tmp_path / "output",
            span_cache=SpanCache(tmp_path / "p"),
            analyses=analyses,
        )

    assert [
        file
        for file in tmp_path.rglob("*")
        if file.is_file() and file.name not in ("rows.tfrecord", "digests.json")
    ] == []


@pytest.fixture
def num_jobs(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many Beam jobs over the data were started so far."""
    started: list[object] = []
    job = beam.job

    @contextmanager
    def counted(*arguments: Any) -> Iterator[Any]:
        started.append(arguments)
        with job(*arguments) as pipeline:
            yield pipeline

    for module in (beam, ingest, passes, materialize):
        monkeypatch.setattr(module, "job", counted)
    return lambda: len(started)


def content_of(row: Row, number: int, content: str) -> Any:
    """The content of a row as a text, as tokens, or as a sequence."""
    if content == "text":
        return row["text"]
    if content == "tokens":
        return row["text"].split()
    return [[number + step, step / 2, 1.0] for step in range(1 + number % 5)]


@pytest.mark.parametrize("content", ["text", "tokens", "sequence"])
def test_preprocessing_is_two_jobs_whatever_the_rows_hold(
    content: str, num_jobs: Callable[[], int], tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(
        path,
        [
            {"text": content_of(row, number, content), "label": row["label"]}
            for number, row in enumerate(corpus_rows(60))
        ],
    )
    stages: dict[str, tuple[Any, Any]] = {
        "statistics_gen": (statistics_gen, statistics_gen.StatisticsGenParams()),
        "transform": (transform, TransformParams(min_frequency=1)),
    }
    caches = {name: SpanCache(tmp_path / "span_cache" / name) for name in stages}
    analyses = {
        name: partial(stage.analyze, params=params, span_cache=caches[name])
        for name, (stage, params) in stages.items()
    }

    def run(name: str, folder: str, span_cache: SpanCache | None = None) -> dict:
        stage, params = stages[name]
        output = tmp_path / folder
        output.mkdir()
        return stage.run(examples=examples, params=params, output=output, span_cache=span_cache)

    examples = tmp_path / "examples"
    examples.mkdir()
    params = ExampleGenParams(source=str(path), content=content)  # type: ignore[arg-type]
    run_example_gen(params=params, output=examples, analyses=analyses)
    assert num_jobs() == 1

    figures = run("statistics_gen", "statistics_gen", caches["statistics_gen"])
    assert num_jobs() == 1
    run("transform", "transform", caches["transform"])
    assert num_jobs() == 2
    assert sum(figures["num_rows"].values()) == 60
    assert read_manifest(examples).dim == (3 if content == "sequence" else None)

    # What was counted while the rows passed by is what jobs of their own count.
    for name in stages:
        run(name, f"{name} alone")
    assert num_jobs() == 5
    for name in stages:
        assert artifact_digest(tmp_path / f"{name} alone") == artifact_digest(tmp_path / name)


def test_shards_are_bounded(
    from_jsonl: tuple[Path, Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "rows.jsonl"
    write_jsonl(source, rows())

    with monkeypatch.context() as patch:
        patch.setattr("seqline.data.examples.SHARD_BYTES", 500)
        examples, _ = ingest_source(source, tmp_path / "examples")
        features = transformed(examples, tmp_path / "features")
    assert len(shards(examples, "train")) > 5

    whole_examples, whole_features, _ = from_jsonl
    assert len(shards(whole_examples, "train")) == 1
    tokens = Path("vocabularies", "tokens")
    assert (features / tokens).read_bytes() == (whole_features / tokens).read_bytes()
    assert ids_of_texts(examples, features) == ids_of_texts(whole_examples, whole_features)
