"""example_gen and transform together.

Every form of a source gives the same Features, and a span is read once.
"""

import csv
import gzip
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components import statistics_gen, transform
from components.example_gen import ExampleGenParams, ingest, sources, split_by_digest
from components.example_gen import run as run_example_gen
from components.transform import TransformParams, materialize, passes
from pipeline.store.layout import artifact_digest
from seqline.data import tf_example_writer
from seqline.data.examples import read_manifest, write_records
from seqline.data.features import SPLITS, shards
from seqline.data.span_cache import SpanCache
from seqline.errors import DataError, UserError
from seqline.jobs import beam
from seqline.storage import files
from tests.support.corpus import corpus_rows
from tests.support.fake_cloud.gcs import serve

Row = dict[str, str]
# U+0085 and U+2028 end a line for str.splitlines(), not for us; accents, quotes and line ends
# inside a field.
ODD = [
    'caf\u00e9 \u0085 at\u2028home, "quoted"',
    "a line\nand another\r\nand a third",
    "na\u00efve \U0001f600 smile",
    "tab\there",
]


def rows() -> list[Row]:
    """The corpus with some odd texts and a text that occurs twice."""
    return [*corpus_rows(60), *({"text": text, "label": "fruit"} for text in [*ODD, ODD[0]])]


def write_csv(path: Path, rows: list[Row]) -> None:
    with (gzip.open if path.suffix == ".gz" else open)(
        path, "wt", newline="", encoding="utf-8"
    ) as file:
        writer = csv.DictWriter(file, ["label", "text"])
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: list[Row]) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_tfrecord(path: Path, rows: list[Row]) -> None:
    text, label = ([row[name].encode() for row in rows] for name in ("text", "label"))
    records = list(
        tf_example_writer.examples(
            [
                tf_example_writer.bytes_features("label", label),
                tf_example_writer.bytes_features("text", text),
            ]
        )
    )

    if path.suffix == ".gz":
        write_records(path, records)
        return

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def write_parquet(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)


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
    "rows": write_folder,
}


def ids_of_texts(examples: Path, features: Path) -> dict[str, list[tuple]]:
    """split -> sorted (text, ids, label)."""
    by_split = {}
    for split in SPLITS:
        pairs = []
        for raw, transformed in zip(shards(examples, split), shards(features, split), strict=True):
            for records in zip(
                *(
                    tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
                    for path in (raw, transformed)
                ),
                strict=True,
            ):
                row, result = (
                    tf.train.Example.FromString(record).features.feature for record in records
                )
                text, ids, label = (
                    row["text"].bytes_list.value[0],
                    list(result["ids"].int64_list.value),
                    result["label"].int64_list.value[0],
                )
                pairs.append((text, ids, label))

        by_split[split] = sorted(pairs)

    return by_split


@pytest.fixture(scope="module")
def from_jsonl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict]:
    return both(tmp_path_factory.mktemp("jsonl"), "rows.jsonl")


def both(folder: Path, name: str) -> tuple[Path, Path, dict]:
    """(Examples, Features, example_gen's figures) of the rows in one of the forms."""
    FORMS[name](folder / name, rows())
    examples, features = folder / "examples", folder / "features"
    examples.mkdir()
    features.mkdir()
    figures = run_example_gen(params=ExampleGenParams(source=str(folder / name)), output=examples)
    transform.run(examples=examples, params=TransformParams(min_frequency=1), output=features)
    return examples, features, figures


@pytest.mark.parametrize("name", [name for name in FORMS if name != "rows.jsonl"])
def test_the_same_rows_in_any_form_give_the_same_vocabularies_and_ids(
    name: str, from_jsonl: tuple[Path, Path, dict], tmp_path: Path
) -> None:
    examples, features, figures = both(tmp_path, name)
    assert figures == from_jsonl[2]
    assert (
        figures["num_read"]
        == len(rows())
        == sum(sum(labels.values()) for labels in figures["num_rows"].values())
    )
    for vocabulary in ("tokens", "labels"):
        path = Path("vocabularies", vocabulary)
        assert (features / path).read_bytes() == (from_jsonl[1] / path).read_bytes()
    assert ids_of_texts(examples, features) == ids_of_texts(*from_jsonl[:2])


opened: list[str] | None = None


def _note(event: str, arguments: tuple) -> None:
    if opened is not None and event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])


@contextmanager
def noting_opened_files() -> Iterator[list[str]]:
    """Every file that Python opens meanwhile (an audit hook can only be added)."""
    global opened
    if not getattr(_note, "added", False):
        sys.addaudithook(_note)
        _note.added = True  # type: ignore[attr-defined]
    opened = []
    try:
        yield opened
    finally:
        opened = None


class Runs:
    """Runs over a folder of spans that share their span_cache, as runs of the pipeline do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = 0

    def __call__(self, **params: object) -> tuple[Path, Path, dict, dict, list[str]]:
        """(Examples, Features, both components' figures, the source's files that were opened)."""
        self.number += 1
        examples, features = (
            self.root / f"examples {self.number}",
            self.root / f"features {self.number}",
        )
        examples.mkdir()
        features.mkdir()
        chosen = TransformParams(min_frequency=1)
        parts = SpanCache(self.root / "transform")
        analyses = {"transform": partial(transform.analyze, params=chosen, span_cache=parts)}
        pattern = str(self.root / "data" / "{SPAN}" / "*.jsonl")

        source = ExampleGenParams(source=pattern, **params)  # type: ignore[arg-type]
        with noting_opened_files() as noted:
            gen = run_example_gen(
                params=source,
                output=examples,
                span_cache=SpanCache(self.root / "example_gen"),
                analyses=analyses,
            )
            figures = transform.run(
                examples=examples, params=chosen, output=features, span_cache=parts
            )

        read = sorted(
            {
                str(Path(file).relative_to(self.root / "data"))
                for file in noted
                if file.startswith(str(self.root / "data"))
            }
        )

        return examples, features, gen, figures, read


def write_span(root: Path, number: int) -> None:
    folder = root / "data" / str(number)
    folder.mkdir(parents=True)
    chosen = corpus_rows(150)[30 * (number - 1) : 30 * number]
    write_jsonl(folder / "a.jsonl", chosen[:20])
    write_jsonl(folder / "b.jsonl", chosen[20:])


def test_a_span_is_read_once_and_the_result_is_that_of_a_full_pass(tmp_path: Path) -> None:
    runs, full = Runs(tmp_path / "runs"), Runs(tmp_path / "full")
    for number in range(1, 5):
        write_span(runs.root, number)
    time.sleep(files.RACY_NS / 1e9 + 0.1)  # before that, a digest is not remembered
    _, _, gen, figures, read = runs()
    assert gen["spans"] == [1, 2, 3, 4]
    assert (gen["num_spans_read"], figures["num_spans_analyzed"]) == (
        4,
        0,
    )  # analyzed while they were ingested
    assert read == [f"{number}/{name}.jsonl" for number in range(1, 5) for name in "ab"]

    write_span(runs.root, 5)
    examples, features, gen, figures, read = runs()
    assert (gen["num_spans_read"], figures["num_spans_analyzed"]) == (1, 0)
    assert read == ["5/a.jsonl", "5/b.jsonl"]

    shutil.copytree(runs.root / "data", full.root / "data")
    all_examples, all_features, *_ = full()
    assert artifact_digest(examples) == artifact_digest(all_examples)
    assert artifact_digest(features) == artifact_digest(all_features)

    # A window leaves the old spans out; nothing is read for it.
    examples, features, gen, figures, read = runs(window=3)
    assert gen["spans"] == [3, 4, 5]
    assert (
        gen["num_spans_read"],
        figures["num_spans_analyzed"],
        [path for path in read if not path.startswith("5/")],
    ) == (0, 0, [])

    all_examples, all_features, *_ = Runs.__call__(_moved(full, tmp_path / "window"), window=3)
    assert runs(skip=[1, 4])[2]["spans"] == [2, 3, 5]
    with pytest.raises(UserError, match="skip leaves no span"):
        runs(skip=[1, 2, 3, 4, 5])
    assert artifact_digest(examples) == artifact_digest(all_examples)
    assert artifact_digest(features) == artifact_digest(all_features)


def _moved(runs: Runs, root: Path) -> Runs:
    """The same data with no span_cache."""
    shutil.copytree(runs.root / "data", root / "data")
    return Runs(root)


def test_a_class_that_only_a_later_span_brings_to_train(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    texts = [f"oak No. {number}" for number in range(200)]
    fractions = split_by_digest.split_fractions({None}, ExampleGenParams(source="a"))
    digests = {text: split_by_digest.digest_of(text.encode()) for text in texts}
    outside_train = [
        text
        for text, digest in digests.items()
        if split_by_digest.split_at(digest, fractions) != "train"
    ]
    nearest = min(outside_train[:3], key=lambda text: digests[text])
    in_train = next(text for text in texts if text not in outside_train)

    def write(span: int, trees: list[str], more: list[Row]) -> None:
        write_jsonl(
            data / f"{span}.jsonl",
            [
                *corpus_rows(120)[40 * (span - 1) : 40 * span],
                *({"text": text, "label": "trees"} for text in trees),
                *more,
            ],
        )

    def make(name: str, span_cache: str) -> tuple[Path, dict[str, Any]]:
        (tmp_path / name).mkdir()
        params = ExampleGenParams(source=f"{data}/{{SPAN}}.jsonl")
        return tmp_path / name, run_example_gen(
            params=params, output=tmp_path / name, span_cache=SpanCache(tmp_path / span_cache)
        )

    write(1, outside_train[:2], [])
    write(
        2, outside_train[2:3], [{"text": nearest, "label": "fruit"}]
    )  # the same text, under another label

    output, figures = make("two", "span_cache")
    assert (
        figures["num_moved_rows"],
        figures["num_rows"]["train"]["trees"],
        figures["num_read"],
    ) == (2, 1, 84)
    assert figures["num_spans_read"] == 2
    assert artifact_digest(output) == artifact_digest(make("two in one pass", "others")[0])

    manifest = read_manifest(output)
    assert all(span.key != span.key_as_read for span in manifest.spans)
    again, figures = make("again", "span_cache")
    assert (figures["num_spans_read"], artifact_digest(again)) == (0, artifact_digest(output))

    # A row of the class in train: the others go where their digests say, and the earlier spans need
    # not be read again.
    write(3, [in_train], [])
    output, figures = make("three", "span_cache")
    assert (
        figures["num_moved_rows"],
        figures["num_rows"]["train"]["trees"],
        figures["num_spans_read"],
    ) == (0, 1, 1)
    assert [span.key for span in read_manifest(output).spans[:2]] == [
        span.key_as_read for span in manifest.spans
    ]


def test_a_span_whose_content_changed_is_read_again(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for number in (1, 2):
        write_span(tmp_path, number)
    runs()
    with (tmp_path / "data" / "1" / "b.jsonl").open("a") as file:
        file.write('{"text": "one more cat", "label": "animals"}\n')
    gen = runs()[2]
    assert gen["num_spans_read"] == 1
    assert gen["num_read"] == 61


def test_rows_of_one_text_stay_in_one_split_over_all_spans(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    write_span(tmp_path, 1)
    shutil.copytree(tmp_path / "data" / "1", tmp_path / "data" / "2")
    examples, features, *_ = runs()
    texts = [{text for text, _, _ in rows} for rows in ids_of_texts(examples, features).values()]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_file_that_breaks_while_it_is_read_leaves_nothing_behind(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.tfrecord"
    write_tfrecord(path, rows())
    content = path.read_bytes()
    of_span = sources.shards

    def break_it(*arguments: object) -> object:
        """As if somebody else did, between the look at the files and the reading of them."""
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


def test_spans_on_google_cloud_storage_are_read_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        write_span(tmp_path, number)
    parts = SpanCache(tmp_path / "transform")
    analyses = {
        "transform": partial(
            transform.analyze, params=TransformParams(min_frequency=1), span_cache=parts
        )
    }

    def run(source: str, name: str) -> dict:
        (tmp_path / name).mkdir()
        span_cache = (
            SpanCache(tmp_path / f"span_cache of {name}")
            if name == "local"
            else SpanCache(tmp_path / "span_cache")
        )
        return run_example_gen(
            params=ExampleGenParams(source=source),
            output=tmp_path / name,
            span_cache=span_cache,
            analyses=analyses,
        )

    with serve() as cloud:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)

        def upload(number: int) -> None:
            for path in (tmp_path / "data" / str(number)).iterdir():
                cloud.put("bucket", f"reviews/{number}/{path.name}", path.read_bytes())

        upload(1)
        upload(2)
        run("gs://bucket/reviews/{SPAN}/*.jsonl", "two")
        upload(3)
        cloud.requests.clear()
        figures = run("gs://bucket/reviews/{SPAN}/*.jsonl", "three")
        assert (figures["spans"], figures["num_spans_read"], figures["num_read"]) == (
            [1, 2, 3],
            1,
            90,
        )

        asked = " ".join(cloud.requests)
        assert "reviews%2F3%2Fa.jsonl" in asked or "reviews/3/a.jsonl" in asked
        assert not any(
            f"reviews{slash}{old}{slash}a.jsonl" in asked
            for slash in ("/", "%2F")
            for old in (1, 2)
        )

    run(str(tmp_path / "data" / "{SPAN}" / "*.jsonl"), "local")
    for split in SPLITS:
        texts = [
            [path.read_bytes() for path in shards(tmp_path / name, split)]
            for name in ("three", "local")
        ]
        assert texts[0] == texts[1]


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


@pytest.mark.parametrize("content", ["text", "tokens", "sequence"])
def test_preprocessing_is_two_jobs_whatever_the_rows_hold(
    content: str, num_jobs: Callable[[], int], tmp_path: Path
) -> None:
    def of(row: Row, number: int) -> Any:
        steps = [[number + step, step / 2, 1.0] for step in range(1 + number % 5)]
        return {"text": row["text"], "tokens": row["text"].split(), "sequence": steps}[content]

    path = tmp_path / "rows.jsonl"
    write_jsonl(
        path,
        [
            {"text": of(row, number), "label": row["label"]}
            for number, row in enumerate(corpus_rows(60))
        ],
    )

    params, counted = TransformParams(min_frequency=1), statistics_gen.StatisticsGenParams()
    span_cache = {
        name: SpanCache(tmp_path / "span_cache" / name) for name in ("transform", "statistics_gen")
    }
    outputs = {name: tmp_path / name for name in ("examples", "transform", "statistics_gen")}
    for output in outputs.values():
        output.mkdir()
    analyses = {
        "transform": partial(transform.analyze, params=params, span_cache=span_cache["transform"]),
        "statistics_gen": partial(
            statistics_gen.analyze, params=counted, span_cache=span_cache["statistics_gen"]
        ),
    }
    examples = outputs["examples"]
    run_example_gen(
        params=ExampleGenParams(source=str(path), content=content),
        output=examples,
        analyses=analyses,
    )  # type: ignore[arg-type]

    assert num_jobs() == 1

    figures = statistics_gen.run(
        examples=examples,
        params=counted,
        output=outputs["statistics_gen"],
        span_cache=span_cache["statistics_gen"],
    )
    assert num_jobs() == 1

    transform.run(
        examples=examples,
        params=params,
        output=outputs["transform"],
        span_cache=span_cache["transform"],
    )
    assert num_jobs() == 2
    assert sum(figures["num_rows"].values()) == 60
    assert read_manifest(examples).dim == (3 if content == "sequence" else None)

    # What was counted while the rows passed by is what jobs of their own count.
    for name in span_cache:
        (tmp_path / f"{name} alone").mkdir()
    statistics_gen.run(examples=examples, params=counted, output=tmp_path / "statistics_gen alone")
    transform.run(examples=examples, params=params, output=tmp_path / "transform alone")
    assert num_jobs() == 5
    for name in span_cache:
        assert artifact_digest(tmp_path / f"{name} alone") == artifact_digest(outputs[name])


def test_shards_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqline.data.examples.SHARD_BYTES", 2000)
    write_csv(tmp_path / "rows.csv", corpus_rows(240))
    (tmp_path / "examples").mkdir()
    (tmp_path / "features").mkdir()
    run_example_gen(
        params=ExampleGenParams(source=str(tmp_path / "rows.csv")), output=tmp_path / "examples"
    )

    assert len(shards(tmp_path / "examples", "train")) > 5

    transform.run(
        examples=tmp_path / "examples",
        params=TransformParams(min_frequency=1),
        output=tmp_path / "features",
    )

    monkeypatch.undo()
    (tmp_path / "one").mkdir()
    run_example_gen(
        params=ExampleGenParams(source=str(tmp_path / "rows.csv")), output=tmp_path / "one"
    )
    (tmp_path / "of_one").mkdir()
    transform.run(
        examples=tmp_path / "one",
        params=TransformParams(min_frequency=1),
        output=tmp_path / "of_one",
    )

    tokens = Path("vocabularies", "tokens")
    assert (tmp_path / "features" / tokens).read_bytes() == (
        tmp_path / "of_one" / tokens
    ).read_bytes()
    assert ids_of_texts(tmp_path / "examples", tmp_path / "features") == ids_of_texts(
        tmp_path / "one", tmp_path / "of_one"
    )
