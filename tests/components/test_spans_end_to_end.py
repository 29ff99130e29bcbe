"""example_gen and transform over spans: each span is read once, with the result of a full pass."""

import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components import transform
from components.example_gen import ExampleGenParams, split_by_digest
from components.example_gen import run as run_example_gen
from components.transform import TransformParams
from pipeline.store.layout import artifact_digest
from seqline.data.features import SPLITS, shards
from seqline.data.manifest import read_manifest
from seqline.data.span_cache import SpanCache
from seqline.errors import UserError
from seqline.storage import files
from tests.support.corpus import corpus_rows
from tests.support.fake_cloud.gcs import FakeGcs, serve
from tests.support.ingested import Row, ids_of_texts, write_jsonl
from tests.support.opened import list_opened_files

TRANSFORM = TransformParams(min_frequency=1)


class Runs:
    """Runs over a folder of spans that share their span_cache, as runs of the pipeline do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = 0
        self.parts = SpanCache(root / "transform")

    def __call__(self, **params: object) -> tuple[Path, Path, dict, dict, list[str]]:
        """Runs both components.

        Returns:
            Examples, Features, both components' figures, and the files of the source that were
            opened.
        """
        with list_opened_files() as opened:
            examples, gen = self.ingest(**params)
            features = self.root / f"features {self.number}"
            features.mkdir()
            figures = transform.run(
                examples=examples, params=TRANSFORM, output=features, span_cache=self.parts
            )

        read = sorted(
            {
                str(Path(file).relative_to(self.root / "data"))
                for file in opened
                if file.startswith(str(self.root / "data"))
            }
        )

        return examples, features, gen, figures, read

    def ingest(self, **params: object) -> tuple[Path, dict]:
        """Runs example_gen, with the transform's analysis. Returns Examples and its figures."""
        self.number += 1
        examples = self.root / f"examples {self.number}"
        examples.mkdir()
        pattern = str(self.root / "data" / "{SPAN}" / "*.jsonl")
        figures = run_example_gen(
            # Each of the params has its own type.
            params=ExampleGenParams(source=pattern, **params),  # type: ignore[arg-type]
            output=examples,
            span_cache=SpanCache(self.root / "example_gen"),
            analyses={
                "transform": partial(transform.analyze, params=TRANSFORM, span_cache=self.parts)
            },
        )
        return examples, figures


def write_span(root: Path, number: int) -> None:
    folder = root / "data" / str(number)
    folder.mkdir(parents=True)
    chosen = corpus_rows(150)[30 * (number - 1) : 30 * number]
    write_jsonl(folder / "a.jsonl", chosen[:20])
    write_jsonl(folder / "b.jsonl", chosen[20:])


def _moved(runs: Runs, root: Path) -> Runs:
    """The same data without a span cache."""
    shutil.copytree(runs.root / "data", root / "data")
    return Runs(root)


@pytest.mark.slow
def test_a_span_is_read_once_and_the_result_is_that_of_a_full_pass(tmp_path: Path) -> None:
    runs, full = Runs(tmp_path / "runs"), Runs(tmp_path / "full")
    for number in range(1, 5):
        write_span(runs.root, number)
    time.sleep(files.RACY_NS / 1e9 + 0.1)  # before that, a digest is not remembered
    _, _, gen, figures, read = runs()
    assert gen["spans"] == [1, 2, 3, 4]
    # The transform analyzed the spans while they were ingested.
    assert (gen["num_spans_read"], figures["num_spans_analyzed"]) == (4, 0)
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
    assert gen["num_spans_read"] == 0
    assert figures["num_spans_analyzed"] == 0
    assert [path for path in read if not path.startswith("5/")] == []

    all_examples, all_features, *_ = Runs.__call__(_moved(full, tmp_path / "window"), window=3)
    assert runs.ingest(skip=[1, 4])[1]["spans"] == [2, 3, 5]
    with pytest.raises(UserError, match="skip leaves no span"):
        runs.ingest(skip=[1, 2, 3, 4, 5])
    assert artifact_digest(examples) == artifact_digest(all_examples)
    assert artifact_digest(features) == artifact_digest(all_features)


class Trees:
    """Spans of the corpus with rows of one more class, and the texts to choose them from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "data").mkdir()
        texts = [f"oak No. {number}" for number in range(200)]
        fractions = split_by_digest.split_fractions({None}, ExampleGenParams(source="a"))
        digests = {text: split_by_digest.digest_of(text.encode()) for text in texts}

        self.outside_train = [
            text
            for text, digest in digests.items()
            if split_by_digest.split_at(digest, fractions) != "train"
        ]
        self.nearest = min(self.outside_train[:3], key=lambda text: digests[text])
        self.in_train = next(text for text in texts if text not in self.outside_train)

    def write(self, span: int, trees: list[str], more: list[Row]) -> None:
        write_jsonl(
            self.root / "data" / f"{span}.jsonl",
            [
                *corpus_rows(120)[40 * (span - 1) : 40 * span],
                *({"text": text, "label": "trees"} for text in trees),
                *more,
            ],
        )

    def ingest(self, name: str, span_cache: str) -> tuple[Path, dict[str, Any]]:
        output = self.root / name
        output.mkdir()
        params = ExampleGenParams(source=f"{self.root}/data/{{SPAN}}.jsonl")
        cache = SpanCache(self.root / span_cache)
        return output, run_example_gen(params=params, output=output, span_cache=cache)


def test_a_class_that_only_a_later_span_brings_to_train(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    trees.write(1, trees.outside_train[:2], [])
    # One text occurs twice, the second time under another label.
    trees.write(2, trees.outside_train[2:3], [{"text": trees.nearest, "label": "fruit"}])

    output, figures = trees.ingest("two", "span_cache")
    assert figures["num_moved_rows"] == 2
    assert figures["num_rows"]["train"]["trees"] == 1
    assert figures["num_read"] == 84
    assert figures["num_spans_read"] == 2
    assert artifact_digest(output) == artifact_digest(trees.ingest("two in one pass", "others")[0])

    manifest = read_manifest(output)
    assert all(span.key != span.key_as_read for span in manifest.spans)
    again, figures = trees.ingest("again", "span_cache")
    assert (figures["num_spans_read"], artifact_digest(again)) == (0, artifact_digest(output))

    # A row of the class in train: the others go where their digests say, and the earlier spans
    # need not be read again.
    trees.write(3, [trees.in_train], [])
    output, figures = trees.ingest("three", "span_cache")
    assert figures["num_moved_rows"] == 0
    assert figures["num_rows"]["train"]["trees"] == 1
    assert figures["num_spans_read"] == 1
    assert [span.key for span in read_manifest(output).spans[:2]] == [
        span.key_as_read for span in manifest.spans
    ]


def test_a_span_whose_content_changed_is_read_again(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for number in (1, 2):
        write_span(tmp_path, number)
    runs.ingest()
    with (tmp_path / "data" / "1" / "b.jsonl").open("a") as file:
        file.write('{"text": "one more cat", "label": "animals"}\n')
    gen = runs.ingest()[1]
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


def ingest(source: str, root: Path, name: str, span_cache: str) -> dict:
    """Runs example_gen with the transform's analysis; returns its figures."""
    (root / name).mkdir()
    analyze = partial(
        transform.analyze,
        params=TRANSFORM,
        span_cache=SpanCache(root / "transform"),
    )
    return run_example_gen(
        params=ExampleGenParams(source=source),
        output=root / name,
        span_cache=SpanCache(root / span_cache),
        analyses={"transform": analyze},
    )


def upload(root: Path, number: int, cloud: FakeGcs) -> None:
    for path in (root / "data" / str(number)).iterdir():
        cloud.put("bucket", f"reviews/{number}/{path.name}", path.read_bytes())


def test_spans_on_google_cloud_storage_are_read_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        write_span(tmp_path, number)

    source = "gs://bucket/reviews/{SPAN}/*.jsonl"
    with serve() as cloud:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        upload(tmp_path, 1, cloud)
        upload(tmp_path, 2, cloud)
        ingest(source, tmp_path, "two", "span_cache")

        upload(tmp_path, 3, cloud)
        cloud.requests.clear()
        figures = ingest(source, tmp_path, "three", "span_cache")
        assert figures["spans"] == [1, 2, 3]
        assert figures["num_spans_read"] == 1
        assert figures["num_read"] == 90

        asked = " ".join(cloud.requests)
        assert "reviews%2F3%2Fa.jsonl" in asked or "reviews/3/a.jsonl" in asked
        assert not any(
            f"reviews{slash}{old}{slash}a.jsonl" in asked
            for slash in ("/", "%2F")
            for old in (1, 2)
        )

    ingest(str(tmp_path / "data" / "{SPAN}" / "*.jsonl"), tmp_path, "local", "local span_cache")
    for split in SPLITS:
        texts = [
            [path.read_bytes() for path in shards(tmp_path / name, split)]
            for name in ("three", "local")
        ]
        assert texts[0] == texts[1]
