"""Whether the served Model can be started from, and which of two trainings wins."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest

from components.example_gen import ExampleGenParams
from components.exporter import ExporterParams, card
from components.pusher import PusherParams
from components.pusher.publish import push, rollback
from components.trainer import START_FILE, TRAINER, TrainerParams
from components.transform import TransformParams
from components.tuner import TunerParams
from pipeline.config import Config
from pipeline.retrain.warm import CARD, Choice, choose_model, cold_is_due, train_both
from pipeline.store import open_store
from pipeline.store.folder import Store
from seqline.component import Artifact, Params
from seqline.storage import gcs, staging
from tests.support.corpus import TRAINER_PARAMS, TRANSFORM_PARAMS
from tests.support.fake_cloud.gcs import serve
from tests.support.records import execution
from tests.support.warm import (
    LABELS,
    SMALL,
    WORDS,
    start,
    text_features,
)


@pytest.fixture(scope="module")
def earlier_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_features(tmp_path_factory.mktemp("earlier") / "features", WORDS[:10], LABELS)


@pytest.fixture(scope="module")
def earlier(earlier_features: Path) -> Path:
    """A Model of ten of the twelve words."""
    output = earlier_features.parent / "model"
    start(earlier_features, output, learned=True)
    return output


def commit(store: Store, component: str, kind: str, folder: Path, params: Params) -> None:
    """Puts an artifact into the store under the name of its folder, as a run does."""
    aside = store.begin(component, folder.name)
    shutil.copytree(folder, aside, dirs_exist_ok=True)
    figures = {"tokens": "word"} if component == "transform" else {}  # the script's decision
    stated = params.model_dump(mode="json")
    record = execution(component, folder.name, params=stated, figures=figures)
    with store.lock(component, folder.name):
        store.commit(
            aside,
            Artifact(kind, store.path(component, folder.name), folder.name),
            component,
            record,
        )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    places = {
        "root": str(tmp_path / "root"),
        "pusher": PusherParams(serving_dir=str(tmp_path / "serving")),
    }
    return Config(
        example_gen=ExampleGenParams(source="rows.jsonl"), trainer=TrainerParams(**SMALL), **places
    )


def export(features: Path, model: Path, folder: Path) -> Path:
    """Exports a version without a graph; only its model card is read."""
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    card.write(features.parent / "examples", features, model, ExporterParams(), folder / CARD)
    return folder


@pytest.fixture
def store(config: Config, earlier: Path, earlier_features: Path, tmp_path: Path) -> Store:
    """A store with what version 1 was made of, served."""
    store = open_store(config.root)
    (tmp_path / "examples").mkdir()
    commit(store, "example_gen", "Examples", tmp_path / "examples", config.example_gen)
    commit(store, "transform", "Features", earlier_features, config.transform)
    commit(store, "trainer", "Model", earlier, config.trainer)
    push(export(earlier_features, earlier, tmp_path / "saved_model"), config.pusher.serving_dir)
    return store


def test_the_model_that_is_served_is_chosen(
    config: Config, store: Store, earlier: Path, tmp_path: Path
) -> None:
    choice = choose_model(config, store)
    folder = store.path("trainer", "model")
    assert choice == Choice(
        config.model_copy(
            update={"trainer": config.trainer.with_values({"warm_start": str(folder)})}
        ),
        "warm",
        "from the Model of version 1, model",
        version=1,
        model="model",
        in_a_row=1,
    )
    assert TRAINER.check is not None

    TRAINER.check(choice.config.trainer)
    fourth = shutil.copytree(earlier, tmp_path / "fourth" / "model")
    (fourth / START_FILE).write_text(json.dumps({"in_a_row": 4}))
    commit(store, "trainer", "Model", fourth, config.trainer)
    assert choose_model(config, store).in_a_row == 5

    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "saved_model.pb").write_bytes(b"another")
    assert push(tmp_path / "foreign", config.pusher.serving_dir)["version"] == 2
    assert choose_model(config, store) == Choice(
        config, "cold", "version 2 does not say which Model it was made of", 2
    )
    assert choose_model(config, store, version=1).start == "warm"

    rollback(config.pusher.serving_dir)
    assert (choose_model(config, store).start, choose_model(config, store).version) == ("warm", 3)


def test_a_model_that_the_configuration_names_stays(config: Config, store: Store) -> None:
    named = config.model_copy(
        update={"trainer": config.trainer.with_values({"warm_start": "some/model"})}
    )
    assert choose_model(named, store).config is named


def test_nothing_served_is_a_cold_start(config: Config) -> None:
    choice = choose_model(config, open_store(config.root))
    assert choice == Choice(
        config, "cold", f"nothing is served under {config.pusher.serving_dir} yet"
    )


@pytest.mark.parametrize(
    ("section", "settings", "reason"),
    [
        (
            "trainer",
            {"rnn_units": 5},
            (
                "it has another shape: its rnn_units is 4, here 5. Set trainer.rnn_units = 4 to go"
                " on from it"
            ),
        ),
        ("example_gen", {"eval_fraction": 0.3}, "example_gen.eval_fraction was 0.1, is 0.3"),
        ("example_gen", {"split": "fold"}, 'example_gen.split was null, is "fold"'),
        (
            "example_gen",
            {"source": {"train": "a.jsonl", "test": "b.jsonl"}},
            "example_gen.source gives other splits now",
        ),
        ("example_gen", {"content": "tokens"}, "another model, one reads text, the other tokens"),
        ("transform", {"lowercase": False}, "transform.lowercase was true, is false"),
        ("transform", {"tokens": "char"}, 'transform.tokens was "word", is "char"'),
        (
            "tuner",
            {"num_trials": 3, "ranges": {"rnn_units": {"choices": [8, 16]}}},
            "the tuner is to choose rnn_units",
        ),
    ],
)
def test_what_stands_in_the_way_is_said(
    section: str, settings: dict[str, Any], reason: str, config: Config, store: Store
) -> None:
    part = getattr(config, section)
    other = config.model_copy(
        update={section: type(part)(**{**part.model_dump(exclude_unset=True), **settings})}
    )
    assert choose_model(other, store) == Choice(other, "cold", f"version 1: {reason}", 1)


@pytest.mark.parametrize("tokens", [None, "word"])
def test_what_changes_no_meaning_is_no_obstacle(
    tokens: Literal["word"] | None, config: Config, store: Store
) -> None:
    other = config.model_copy(
        update={
            "transform": TransformParams(vocab_size=50, max_length=3, tokens=tokens),
            "trainer": TrainerParams(**{**SMALL, "learning_rate": 0.1, "bigram_buckets": 0}),
            "tuner": TunerParams(
                num_trials=3, ranges={"learning_rate": {"low": 0.001, "high": 0.01}}
            ),
        }
    )
    assert choose_model(other, store).start == "warm"


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("trainer", "its Model, model, is not under"),
        ("transform", "the record of its transform is not under"),
        ("example_gen", "the record of its example_gen is not under"),
    ],
)
def test_what_was_cleared_away_is_said(
    gone: str, reason: str, config: Config, store: Store
) -> None:
    shutil.rmtree(store.root / gone)
    choice = choose_model(config, store)
    assert (choice.start, choice.reason) == ("cold", f"version 1: {reason} {store.root}")


def test_a_damaged_model_is_not_started_from(config: Config, store: Store) -> None:
    record = store.path("transform", "features") / "execution.json"
    content = record.read_bytes()
    record.write_bytes(content[:-9])
    assert choose_model(config, store).reason == "version 1: the record of its transform is damaged"

    record.write_bytes(content)
    weights = store.path("trainer", "model") / "model.weights.h5"
    with weights.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    assert choose_model(config, store).reason == (
        "version 1: its Model, model, is damaged: model.weights.h5 of its artifact changed after it"
        " was written"
    )


def test_all_of_it_may_lie_in_a_bucket(
    config: Config, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
    with serve() as cloud:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        cloud.buckets["bucket"] = {}
        for place in ("root", "serving"):
            staging.upload(tmp_path / place, staging.path_of(f"gs://bucket/{place}"))
        pusher = PusherParams(serving_dir="gs://bucket/serving")

        choice = choose_model(
            config.model_copy(update={"root": "gs://bucket/root", "pusher": pusher}),
            open_store("gs://bucket/root"),
        )
        assert choice.start == "warm"
        assert choice.config.trainer.warm_start == "gs://bucket/root/trainer/model"

        gcs._client_of.cache_clear()


def test_a_cold_start_is_due_now_and_then(config: Config) -> None:
    def due(in_a_row: int, cold_every: int | None) -> bool:
        return cold_is_due(
            Choice(config, "warm" if in_a_row else "cold", "", in_a_row=in_a_row), cold_every
        )

    assert [due(number, 3) for number in range(8)] == [
        False,
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert [due(number, 1) for number in range(3)] == [False, True, True]
    assert not any(due(number, every) for number in range(3) for every in (None, 0))


@pytest.mark.slow
def test_of_two_trainings_the_better_one_on_the_eval_split_is_taken(
    corpus: Path, model: Path, tmp_path: Path
) -> None:
    places = {
        "root": str(tmp_path / "root"),
        "pusher": PusherParams(serving_dir=str(tmp_path / "serving")),
    }

    # One epoch is too short to learn the corpus, and long enough to go on from a model that knows
    # it.
    trainer = TRAINER_PARAMS.with_values({"num_epochs": 1, "implementation": "keras"})
    parts = {
        "example_gen": ExampleGenParams(source=str(corpus)),
        "transform": TRANSFORM_PARAMS,
        "trainer": trainer,
    }
    cold = Config(**parts, **places)
    warm = cold.model_copy(update={"trainer": trainer.with_values({"warm_start": str(model)})})
    store = open_store(cold.root)
    best = train_both(cold, warm, store)
    assert (best.start, best.config) == ("warm", warm)
    assert best.figures["warm"]["eval_accuracy"] > best.figures["cold"]["eval_accuracy"] + 0.1
    assert best.figures["warm"]["warm_start"]["labels_carried"] == 3
    assert best.reason.startswith("eval accuracy: cold 0.")

    stages = [json.loads((run / "run.json").read_text())["stages"] for run in store.runs()]
    assert [[(stage["component"], stage["cached"]) for stage in run][-2:] for run in stages] == [
        [("transform", False), ("trainer", False)],
        [("transform", True), ("trainer", False)],
    ]

    again = train_both(cold, cold, store)
    assert (again.start, again.figures["warm"]) == (
        "cold",
        best.figures["cold"],
    ), "nothing is made twice, and of equals the cold one wins"
