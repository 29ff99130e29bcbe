"""A small labelled corpus, the artifacts that the components make of it, and an empty bucket.

Each artifact is made once for all tests and processes.
"""

import fcntl
import logging
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from components.evaluator import EvaluatorParams
from components.evaluator import run as run_evaluator
from components.example_gen import ExampleGenParams
from components.example_gen import run as run_example_gen
from components.exporter import ExporterParams
from components.exporter import run as run_exporter
from components.trainer import run as run_trainer
from components.transform import run as run_transform
from seqline.component import Figures
from seqline.storage.staging import path_of
from tests.support.corpus import TRAINER_PARAMS, TRANSFORM_PARAMS, corpus_rows, write_jsonl
from tests.support.fake_cloud.gcs import FakeGcs, serve

# Hypothesis fails an example that takes 200 ms: no test asserts a time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_log_outlives_its_test() -> Iterator[None]:
    """A command that runs in this process begins a log, which ends with the process elsewhere."""
    logger = logging.getLogger("seqline")
    before = list(logger.handlers)
    yield
    logger.handlers = before


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share; its content is only read."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Admits one process at a time; the system releases the lock of one that dies."""
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
    """The figures that the runs of the shared artifacts returned, by component."""
    return {}


@pytest.fixture(scope="session")
def make(shared: Path, figures: dict[str, Figures]) -> Callable[..., Path]:
    """Returns a component's output, and runs it unless a process of this test run has."""

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


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGcs]:
    """A service on loopback with an empty bucket, `bucket`, and pages of two objects."""
    with serve() as store:
        store.buckets["bucket"] = {}
        store.page_size = 2
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
        monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
        yield store


@pytest.fixture
def place(cloud: FakeGcs) -> Path:
    return path_of("gs://bucket/some/place")
