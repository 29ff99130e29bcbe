"""A small labelled corpus and the artifacts that the components make of it, each made once for all
tests and processes.
"""

import fcntl
import json
import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from components.evaluator import EvaluatorParams
from components.evaluator import run as run_evaluator
from components.example_gen import ExampleGenParams
from components.example_gen import run as run_example_gen
from components.exporter import ExporterParams
from components.exporter import run as run_exporter
from components.trainer import TrainerParams
from components.trainer import run as run_trainer
from components.transform import TransformParams
from components.transform import run as run_transform
from seqline.component import Figures
from seqline.data.examples import (
    MANIFEST,
    Content,
    ExampleShard,
    Manifest,
    Span,
    read_manifest,
    shard_name,
    write,
    write_manifest,
)

TOPICS = {
    "animals": ["cat", "dog", "horse", "bird", "fish", "whale", "mouse", "goat", "sheep", "lion"],
    "fruit": ["apple", "pear", "plum", "cherry", "grape", "melon", "peach", "fig", "lemon", "lime"],
    "metals": [
        "iron",
        "gold",
        "copper",
        "zinc",
        "tin",
        "lead",
        "silver",
        "nickel",
        "cobalt",
        "chrome",
    ],
}
# Small enough for a second a test, large enough to be learned.
TRAINER_PARAMS = TrainerParams(
    bidirectional=False, embedding_dim=8, rnn_units=8, skip_dim=8, batch_size=16, num_epochs=6
)
TRANSFORM_PARAMS = TransformParams(min_frequency=1, max_length=8)


def corpus_rows(num_rows: int = 240) -> list[dict[str, str]]:
    """Texts of four to seven words of a topic with common words between, the same each time and no
    two the same.
    """
    rows = []
    for number in range(num_rows):
        label = sorted(TOPICS)[number % 3]
        words = TOPICS[label]
        chosen = [words[(number * step + step) % 10] for step in range(1, 3 + number % 4)]
        rows.append({"text": f"The {' and '.join(chosen)}, No. {number}!", "label": label})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def write_examples(
    root: Path,
    rows: Mapping[str, Sequence[tuple[Any, str]]],
    content: Content = "text",
    num_shards: int = 1,
    span: int = 0,
    key: str = "key",
) -> Path:
    """Examples on disk.

    Split -> (content, label) rows. Called again with another span, it adds that span.
    """
    spans = read_manifest(root).spans if (root / MANIFEST).exists() else ()
    counts = {split: dict(Counter(label for _, label in rows[split])) for split in rows}
    dim = None
    for split, chosen in rows.items():
        (root / f"Split-{split}").mkdir(parents=True, exist_ok=True)
        for source in range(num_shards):
            contents: list[Any] = [each for each, _ in chosen[source::num_shards]]
            if content == "text":
                contents = [each.encode() for each in contents]
            elif content == "tokens":
                contents = [[token.encode() for token in each] for each in contents]
            else:
                contents = [np.array(each, np.float32) for each in contents]
                dim = contents[0].shape[1] if contents else dim
            if contents:
                shard = ExampleShard(
                    span,
                    split,
                    shard_name(span, source, 0),
                    contents,
                    [label.encode() for _, label in chosen[source::num_shards]],
                )
                write(shard, root / f"Split-{split}" / shard.name, content)
    write_manifest(
        Manifest(
            content, dim, (*spans, Span(span, key, None, sum(map(len, rows.values())), counts))
        ),
        root,
    )
    return root


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests see; what lies there is only read."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def held(path: Path) -> Iterator[None]:
    """One process at a time; the system lets go for one that dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def corpus(shared: Path) -> Path:
    """240 rows of three classes as JSONL."""
    path = shared / "corpus.jsonl"
    with held(shared / "corpus.lock"):
        return path if path.exists() else write_jsonl(path, corpus_rows())


@pytest.fixture(scope="session")
def figures() -> dict[str, Figures]:
    """What the runs of the shared artifacts returned, by component."""
    return {}


@pytest.fixture(scope="session")
def make(shared: Path, figures: dict[str, Figures]) -> Callable[..., Path]:
    """Runs a component where no process of this run of the tests has; returns its output."""

    def make(name: str, run: Callable[..., Figures], **arguments: object) -> Path:
        output, made = shared / name, shared / f"{name}.figures"
        with held(shared / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(output, ignore_errors=True)
                output.mkdir()
                made.write_bytes(pickle.dumps(run(**arguments, output=output)))
        figures[name] = pickle.loads(made.read_bytes())
        return output

    return make


@pytest.fixture(scope="session")
def examples(make: Callable[..., Path], corpus: Path) -> Path:
    return make("example_gen", run_example_gen, params=ExampleGenParams(source=str(corpus)))


@pytest.fixture(scope="session")
def features(make: Callable[..., Path], examples: Path) -> Path:
    return make("transform", run_transform, examples=examples, params=TRANSFORM_PARAMS)


@pytest.fixture(scope="session")
def model(make: Callable[..., Path], features: Path) -> Path:
    return make("trainer", run_trainer, features=features, params=TRAINER_PARAMS)


@pytest.fixture(scope="session")
def saved_model(make: Callable[..., Path], examples: Path, features: Path, model: Path) -> Path:
    return make(
        "exporter",
        run_exporter,
        examples=examples,
        features=features,
        model=model,
        params=ExporterParams(),
    )


@pytest.fixture(scope="session")
def evaluation(make: Callable[..., Path], examples: Path, saved_model: Path) -> Path:
    return make(
        "evaluator",
        run_evaluator,
        examples=examples,
        saved_model=saved_model,
        params=EvaluatorParams(baseline="word"),
    )


def commands_of(app: typer.Typer) -> dict[str, Any]:
    """Every command by its name, those that load late, too."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("seqline", [], resilient_parsing=True)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}
