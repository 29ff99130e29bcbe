"""A model is known by its name: a run does not push over another model."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from components.evaluator import EvaluatorParams, gates
from components.pusher import PusherParams, publish, versions
from components.pusher import labels as models_config
from components.pusher.labels import MODELS_CONFIG
from pipeline import config as configuration
from pipeline import identity
from pipeline.config import Config
from pipeline.retrain import state
from pipeline.retrain.state import State
from pipeline.runner.execute import execute
from pipeline.runner.plan import Guard, Pipeline
from pipeline.runner.run import Options
from pipeline.store.folder import Store
from pipeline.store.records import StageRecord
from seqline.errors import UserError
from seqline.model import identity as model_identity
from seqline.model.identity import Identity, OtherModelError
from serving.config import ConfigError, ModelConfig, models_of, models_still_served
from serving.flags import parse
from serving.predict import InputError, find_model, find_models, find_versions
from tests.support.records import execution, run_record

QUESTIONS = ("abbreviation", "description", "entity", "human", "location", "number")
SENTIMENTS = ("negative", "positive")


# Telling models apart


@pytest.mark.parametrize(
    ("served", "reasons"),
    [
        (Identity("a", "text", ("x", "y")), []),
        (Identity("a", "text", ("y", "z")), []),
        (Identity(), []),
        (Identity("b", "text", ("x", "y")), ["they have different names"]),
        (Identity("a", "tokens", ("x", "y")), ["one reads tokens, the other text"]),
        (Identity("a", "text", ("z",)), ["they have no label in common"]),
        (
            Identity(None, "tokens", ("z",)),
            ["one reads tokens, the other text", "they have no label in common"],
        ),
    ],
)
def test_name_content_and_labels_tell_models_apart(served: Identity, reasons: list[str]) -> None:
    assert model_identity.differences(Identity("a", "text", ("x", "y")), served) == reasons


def test_a_refusal_names_both_models_and_the_ways_out() -> None:
    candidate, served = (
        Identity("sentiment", "text", SENTIMENTS),
        Identity("questions", "text", QUESTIONS),
    )
    with pytest.raises(OtherModelError) as raised:
        model_identity.check(candidate, served, 3, "/served", None)

    assert (
        str(raised.value)
        == "Another model is served: /served/3 is 'questions' (text; labels abbreviation,"
        " description, entity, human, location, ... 6 in all), and this one is 'sentiment'"
        " (text; labels negative, positive): they have different names and they have no label in"
        " common. Nothing was replaced. Give this one a name and a place of its own, --set"
        " name=... --serving-dir='serving_dir/{name}', or let it replace the other: --set"
        " pusher.replaces=3."
    )
    assert raised.value.exit_code == 2
    with pytest.raises(OtherModelError, match=r"--serving-dir='gs://bucket/\{name\}'"):
        model_identity.check(candidate, served, 3, "gs://bucket/served", 2)

    model_identity.check(candidate, served, 3, "/served", 3)


def version(folder: Path, content: str, labels: tuple[str, ...]) -> Path:
    """Writes the files of a SavedModel that can be pushed, but not loaded."""
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(" ".join(labels))
    (folder / model_identity.CARD).write_text(json.dumps({"content": content, "labels": labels}))
    return folder


def test_a_push_of_another_model_changes_nothing(tmp_path: Path) -> None:
    questions, sentiment = (
        version(tmp_path / labels[0], "text", labels) for labels in (QUESTIONS, SENTIMENTS)
    )
    served = tmp_path / "served"
    publish.push(questions, served, name="questions")

    assert json.loads((served / "1" / versions.MANIFEST).read_text())["name"] == "questions"
    assert model_identity.of_folder(served / "1") == Identity("questions", "text", QUESTIONS)
    for name in ("sentiment", "questions", None):
        with pytest.raises(OtherModelError, match="Another model is served"):
            publish.push(sentiment, served, name=name)
    assert versions.place_of(served).versions() == [1]
    assert publish.push(sentiment, served, name="sentiment", replaces=1)["version"] == 2

    # The permission was for version 1.
    with pytest.raises(OtherModelError, match=r"served/2 is 'sentiment'"):
        publish.push(questions, served, name="questions", replaces=1)
    publish.rollback(served)
    assert model_identity.of_folder(served / "3") == Identity("questions", "text", QUESTIONS)


def test_a_model_that_was_replaced_is_no_longer_served_under_its_name(tmp_path: Path) -> None:
    questions, sentiment = (
        version(tmp_path / labels[0], "text", labels) for labels in (QUESTIONS, SENTIMENTS)
    )
    served = tmp_path / "served"

    def entries() -> dict[str, tuple[str, dict[str, int]]]:
        content = (served / MODELS_CONFIG).read_bytes()
        names = [
            name for name in ("questions", "sentiment") if models_config.read(content, name, "")
        ]
        return {
            name: (entry.base_path, dict(entry.labels))
            for name in names
            if (entry := models_config.read(content, name, ""))
        }

    publish.push(
        questions, served, name="questions", model_name="questions", served_from="/models/questions"
    )
    assert entries() == {"questions": ("/models/questions", {"stable": 1})}

    publish.push(
        sentiment,
        served,
        name="sentiment",
        model_name="sentiment",
        replaces=1,
        served_from="/models/sentiment",
    )
    assert entries() == {"sentiment": ("/models/sentiment", {"stable": 2})}

    publish.rollback(served)
    assert entries() == {"questions": ("/models/sentiment", {"stable": 3})}


def test_a_model_that_is_not_compared_with_gives_its_reason_to_the_gates() -> None:
    why = "version 1 is not compared with: they have no label in common"
    judged = {
        gates.against_served(None, EvaluatorParams(), why).reason,
        gates.slices_against_served(None, [], EvaluatorParams(), why).reason,
    }
    assert judged == {why}


# Places


def load(folder: Path, name: str, *settings: str, serving_dir: str | None = None) -> Config:
    (folder / f"{name}.toml").write_text("[example_gen]\nsource = 'rows.csv'\n")
    return configuration.load(
        str(folder / f"{name}.toml"),
        settings,
        {"pusher.serving_dir": serving_dir} if serving_dir else None,
    )


def test_places_go_by_the_name(tmp_path: Path) -> None:
    loaded = load(tmp_path, "reviews")
    assert loaded.pusher.serving_dir == "serving_dir/reviews"
    assert loaded.pusher.model_name == "reviews"
    assert loaded.evaluator.serving_dir is None

    settings = [
        "name=stars",
        "evaluator.serving_dir=there/{name}",
        "pusher.served_from=/models/{name}",
        "pusher.model_name=m",
    ]
    loaded = load(tmp_path, "reviews", *settings, serving_dir="gs://bucket/{name}/served")

    assert loaded.pusher.serving_dir == "gs://bucket/stars/served"
    assert loaded.pusher.served_from == "/models/stars"
    assert (loaded.pusher.model_name, loaded.evaluator.serving_dir) == ("m", "there/stars")
    assert load(tmp_path, "reviews", serving_dir="served").pusher.serving_dir == "served"
    assert PusherParams().with_name("a").key_fields() == {
        "label": "stable",
        "model_name": "a",
        "served_from": None,
    }


def models_in(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "saved_model.pb").touch()
    return folder


def test_a_serving_dir_stands_for_the_only_model_in_it(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert (find_versions(nothing, "--model"), find_models(nothing)) == (nothing, {})

    one = models_in(tmp_path / "one", "reviews/2", "reviews/10", "other/not a version")
    assert find_versions(one, "--model") == one / "reviews"
    assert find_model(one) == one / "reviews" / "10"
    assert find_model(one / "reviews") == one / "reviews" / "10"
    assert identity.find_versions(str(one)) == f"{one}/reviews"

    two = models_in(tmp_path / "two", "topics/1", "reviews/1")
    message = f"{two} holds 2 models: reviews, topics. Name one: "
    with pytest.raises(InputError) as raised:
        find_model(two)
    assert str(raised.value) == f"{message}--model {two}/reviews"
    with pytest.raises(UserError) as refused:
        identity.find_versions(str(two))
    assert str(refused.value) == f"{message}--serving-dir {two}/reviews"
    # Versions directly in a folder take precedence over the models in it.
    assert find_model(models_in(two, "7")) == two / "7"


def test_versions_from_before_names_are_found_until_a_model_has_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path("serving_dir")
    models_in(place, "1", "3")

    assert find_model(place) == place / "3"
    assert "mkdir -p serving_dir/reviews && mv serving_dir/[0-9]*" in identity.from_before_names(
        "serving_dir/reviews"
    )
    assert [
        identity.from_before_names(serving_dir)
        for serving_dir in ("serving_dir", "served/reviews", "gs://bucket/serving_dir")
    ] == ["", "", ""]

    models_in(place, "reviews/1")
    with pytest.raises(
        InputError,
        match=(
            "serving_dir holds versions itself, from before models had names, and those of reviews"
            " beneath"
        ),
    ):
        find_model(place)
    assert find_model(place.absolute()) == place.absolute() / "3"


def served(*flags: str) -> list[ModelConfig]:
    return models_of(parse(flags))


def test_the_server_serves_every_model_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path("serving_dir")
    assert served() == [ModelConfig("seqline", place)]

    models_in(place, "topics/1", "reviews/1")
    assert served() == [
        ModelConfig("reviews", place / "reviews"),
        ModelConfig("topics", place / "topics"),
    ]
    assert served("--model_name=topics") == [ModelConfig("topics", place / "topics")]
    assert served("--model_base_path=serving_dir/topics", "--model_name=mine") == [
        ModelConfig("mine", place / "topics")
    ]
    with pytest.raises(ConfigError, match="--model_name mine: serving_dir holds reviews, topics"):
        served("--model_name=mine")

    kept = [ModelConfig("gone", place / "gone")]
    assert [model.name for model in models_still_served(parse([]), kept)] == [
        "reviews",
        "topics",
        "gone",
    ]

    models_in(place, "1")
    assert [model.name for model in served()] == ["seqline", "reviews", "topics"]
    assert served("--model_base_path", str(tmp_path / "serving_dir")) == [
        ModelConfig("seqline", tmp_path / "serving_dir")
    ]


# The store and the runner


def test_the_latest_artifact_is_that_of_the_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, name in enumerate(("a", "a", "b", "")):
        folder = store.path("trainer", f"k{number}")
        folder.mkdir(parents=True)
        record = execution("trainer", f"k{number}", name=name, finished=f"2026-01-0{number + 1}")
        record.write(folder / "execution.json")

    def latest(name: str) -> Any:
        record = store.latest("trainer", name)
        return record.key if record else None

    assert [latest(name) for name in ("", "a", "b", "c")] == ["k3", "k3", "k3", "k3"]
    shutil.rmtree(store.path("trainer", "k3"))  # a record without a name may be anyone's
    assert [latest(name) for name in ("", "a", "b", "c")] == ["k2", "k1", "k2", None]
    run = store.start_run()
    stages = [StageRecord("trainer", "k0", False, "never ran", 1.0)]
    store.save_run(run, run_record(run.name, name="b", verdict="finished", stages=stages))
    assert [latest(name) for name in ("a", "b")] == ["k1", "k0"]  # b used what a had made


def test_a_guard_speaks_before_the_first_stage_of_a_run_that_it_is_about(tmp_path: Path) -> None:
    def refuse() -> None:
        raise OtherModelError("another model")

    pipe = Pipeline("a")
    pipe.guards.append(
        Guard(of="pusher", before=refuse, after="example_gen", judge=lambda output: None)
    )
    store = Store(tmp_path)
    assert execute(pipe, store, store.start_run(), Options()) == []
    assert json.loads((store.runs()[-1] / "run.json").read_text())["name"] == "a"


def test_the_state_of_a_retraining_goes_by_the_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    push = state.Push(digest="d", version=1, run="r", spans={"1": "x"}, model="k")
    (tmp_path / "retrain").mkdir()
    (tmp_path / "retrain" / "state.json").write_text(json.dumps(asdict(State(pushes=[push]))))
    before = state.load(store, "a")
    assert before.pushes == [push]
    state.save(store, "a", before)
    assert (state.load(store, "a"), state.load(store, "b")) == (before, State())
