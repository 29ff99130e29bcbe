"""A warm start.

What is carried over of an earlier Model, by token and by label; whether the served one can be
started from; which of two wins.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen import ExampleGenParams
from components.exporter import ExporterParams, card
from components.pusher import PusherParams
from components.pusher.publish import push, rollback
from components.trainer import SPEC_FILE, START_FILE, TRAINER, TrainerParams, checkpoint, fit, run
from components.trainer.start import carry_over
from components.trainer.warm import matches, vocabulary
from components.transform import TransformParams
from components.tuner import TunerParams
from pipeline.config import Config
from pipeline.retrain.warm import CARD, Choice, choose, cold_is_due, train_both
from pipeline.store import open_store
from pipeline.store.folder import Store
from seqline.component import Artifact, Figures, Params
from seqline.data.features import EVAL, MODEL, TRAIN
from seqline.errors import UserError
from seqline.model import network
from seqline.storage import gcs, staging
from tests.components.trainer.distributed.test_replicas import train_on_replicas
from tests.components.trainer.test_trainer import KilledError, write_features
from tests.conftest import TRAINER_PARAMS, TRANSFORM_PARAMS
from tests.support.fake_cloud.gcs import serve
from tests.support.records import execution

# Every token stands beside every other one now and then: twelve tokens, and classes by which half
# the first one is from.
WORDS = [
    word.encode()
    for word in [
        "ant",
        "bee",
        "cow",
        "dog",
        "elk",
        "fox",
        "gnu",
        "hen",
        "ibis",
        "jay",
        "koi",
        "lark",
    ]
]
TEXTS = [
    [WORDS[(number * step + number) % 12] for step in range(1 + number % 5)]
    for number in range(1, 97)
]
LABELS = [b"first", b"second", b"third"]
SMALL: dict[str, Any] = {
    "embedding_dim": 4,
    "rnn_units": 4,
    "skip_dim": 4,
    "batch_size": 16,
    "num_epochs": 2,
    "bigram_buckets": 2**16,
}
# All that was learned, as it was.
WHOLE = {"warm_start_shrink": 1.0}
# So small a rate that no weight changes: what a training starts with is what it ends with.
STILL = {"learning_rate": 1e-30, "num_epochs": 1}


def text_features(
    root: Path,
    tokens: Sequence[bytes],
    labels: Sequence[bytes],
    texts: Sequence[Sequence[bytes]] = TEXTS,
) -> Path:
    """Features of texts as the transform numbers them.

    The class of a text is the rank of its first word, by thirds.
    """
    ids = {token: number for number, token in enumerate(tokens, start=1)}
    classes = {label: number for number, label in enumerate(labels)}
    rows = [
        {
            "ids": [ids.get(token, len(tokens) + 1) for token in text],
            "length": [len(text)],
            "label": [
                classes.get(LABELS[(WORDS.index(text[0]) if text[0] in WORDS else 0) // 4], 0)
            ],
        }
        for text in texts
    ]
    return write(root, rows, {"tokens": tokens, "labels": labels}, {"max_length": 8, "dim": None})


def sequence_features(root: Path, labels: Sequence[bytes], dim: int = 2) -> Path:
    rows = [
        {
            "values": [float((-1) ** number)] * dim * 3,
            "length": [3],
            "label": [number % len(labels)],
        }
        for number in range(48)
    ]
    return write(root, rows, {"labels": labels}, {"max_length": 3, "dim": dim})


def write(
    root: Path,
    rows: list[dict[str, list]],
    vocabularies: Mapping[str, Sequence[bytes]],
    summary: dict[str, Any],
) -> Path:
    write_features(root, TRAIN, [rows[16:]])
    write_features(root, EVAL, [rows[:16]])
    (root / "vocabularies").mkdir()
    for name, lines in vocabularies.items():
        (root / "vocabularies" / name).write_bytes(b"".join(line + b"\n" for line in lines))
    (root / "transform.json").write_text(
        json.dumps({"num_rows": {TRAIN: len(rows) - 16, EVAL: 16}, **summary})
    )
    return root


def start(features: Path, output: Path, learned: bool = False, **settings: object) -> Figures:
    """Writes the Model that a training would begin with.

    Learned: with other weights, as if it had ended. Returns what it carried over.
    """
    params = TrainerParams(**{**SMALL, **WHOLE, **settings})
    spec, counts = fit.network_spec(features, params)
    model = network.build(spec)
    if spec.bigram_buckets:
        model.get_layer("bigrams").set_weights([counts.bigram_rows(params.bigram_min_count)])
    found = carry_over(model, spec, features, params)
    if learned:
        random = np.random.default_rng(7)
        for weight in model.trainable_weights:
            weight.assign(random.normal(0, 0.5, weight.shape))
    output.mkdir()
    network.save(model, spec, output)
    shutil.copytree(features / "vocabularies", output / "vocabularies")
    return found


def answers(model: Path, texts: Sequence[Sequence[bytes]]) -> np.ndarray:
    """Probabilities [texts, labels] of texts of words."""
    ids = {token: number for number, token in enumerate(vocabulary(model, "tokens"), start=1)}
    time = max(map(len, texts))
    rows = [
        [ids.get(token, len(ids) + 1) for token in text] + [0] * (time - len(text))
        for text in texts
    ]
    return np.asarray(network.load(model)[0](np.array(rows, np.int64)))


def table(model: Path, name: str) -> dict[bytes, np.ndarray]:
    """Token -> its row."""
    rows = network.load(model)[0].get_layer(name).get_weights()[0]
    return dict(zip([b"<pad>", *vocabulary(model, "tokens"), b"<oov>"], rows, strict=False))


@pytest.fixture(scope="module")
def earlier_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_features(tmp_path_factory.mktemp("earlier") / "features", WORDS[:10], LABELS)


@pytest.fixture(scope="module")
def earlier(earlier_features: Path) -> Path:
    """A Model of ten of the twelve words."""
    output = earlier_features.parent / "model"
    start(earlier_features, output, learned=True)
    return output


def test_with_other_ids_and_classes_in_another_order_it_answers_as_before(
    earlier: Path, tmp_path: Path
) -> None:
    """Also where bigrams decide: their buckets follow from ids, and are all others."""
    features = text_features(tmp_path / "features", WORDS[9::-1], LABELS[::-1])
    found = start(features, tmp_path / "warm", seed=5, warm_start=str(earlier))["warm_start"]
    known = [text for text in TEXTS if not set(text) - set(WORDS[:10])]
    assert len({pair for text in known for pair in pairwise(text)}) > 20
    np.testing.assert_allclose(
        answers(tmp_path / "warm", known), answers(earlier, known)[:, ::-1], rtol=0, atol=1e-6
    )
    counts = [
        found[f"{what}_{how}"]
        for what in ("tokens", "labels")
        for how in ("carried", "new", "lost")
    ]
    assert counts == [10, 0, 0, 3, 0, 0]
    assert (found["bigrams_carried"] > 20, found["bigrams_new"], found["in_a_row"]) == (True, 0, 1)
    # Their rows are part of it: without them the answers are others.
    model, spec = network.load(tmp_path / "warm")
    (rows,) = model.get_layer("skip_embedding").get_weights()
    rows[spec.num_tokens + 2 :] = 0
    model.get_layer("skip_embedding").set_weights([rows])
    network.save(model, spec, tmp_path / "warm")
    assert np.abs(answers(tmp_path / "warm", known) - answers(earlier, known)[:, ::-1]).max() > 0.01


def test_new_tokens_and_classes_start_as_ever_and_lost_ones_leave_nothing(
    earlier: Path, tmp_path: Path
) -> None:
    tokens, labels = [b"new", *WORDS[2:], b"newer"], [b"zero", LABELS[2], LABELS[0]]
    features = text_features(tmp_path / "features", tokens, labels)
    warm, cold = tmp_path / "warm", tmp_path / "cold"
    found = start(features, warm, warm_start=str(earlier))["warm_start"]
    assert start(features, cold) == {}
    counts = [
        found[f"{what}_{how}"]
        for what in ("tokens", "labels")
        for how in ("carried", "new", "lost")
    ]
    assert counts == [8, 4, 2, 2, 1, 1]
    for name in ("embedding", "skip_embedding"):
        before, fresh, after = (table(model, name) for model in (earlier, cold, warm))
        for token in (b"<pad>", b"<oov>", *WORDS[2:10]):
            np.testing.assert_array_equal(after[token], before[token])
        for token in (b"new", b"newer", *WORDS[10:]):
            np.testing.assert_array_equal(after[token], fresh[token])
            assert np.abs(after[token]).max() > 0
    # Among the classes that were known, the odds are those of before; the column of the new one is
    # a cold start's.
    known = [text for text in TEXTS if not set(text) - set(WORDS[2:10])]
    odds_before, odds = answers(earlier, known), answers(warm, known)
    np.testing.assert_allclose(
        np.log(odds[:, 1] / odds[:, 2]), np.log(odds_before[:, 2] / odds_before[:, 0]), atol=1e-4
    )
    for after, fresh in zip(
        *(network.load(model)[0].get_layer("output").get_weights() for model in (warm, cold)),
        strict=True,
    ):
        np.testing.assert_array_equal(after[..., 0], fresh[..., 0])


def test_a_row_that_bigrams_share_starts_with_their_mean(tmp_path: Path) -> None:
    """All bigrams in one bucket, of which only some were in the earlier vocabulary.

    A new one counts as zeros, as often as it occurs.
    """
    one, other = [[b"ant", b"bee"]] * 40, [[b"ant", b"bee"]] * 34 + [[b"bee", b"cow"]] * 14
    settings = {"bigram_buckets": 1, "bigram_min_count": 1}
    start(
        text_features(tmp_path / "one", WORDS[:2], LABELS, one),
        tmp_path / "earlier",
        learned=True,
        **settings,
    )
    features = text_features(
        tmp_path / "two", WORDS[:3], LABELS, other
    )  # 18 and 14 of them in train
    found = start(features, tmp_path / "warm", **settings, warm_start=str(tmp_path / "earlier"))[
        "warm_start"
    ]
    assert (found["bigrams_carried"], found["bigrams_new"]) == (1, 0)
    before, after = (
        network.load(tmp_path / name)[0].get_layer("skip_embedding").get_weights()[0]
        for name in ("earlier", "warm")
    )
    np.testing.assert_allclose(after[-1], before[-1] * 18 / 32, rtol=1e-6)


def test_without_bigrams_on_one_side_the_others_start_as_ever(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    start(earlier_features, tmp_path / "none", learned=True, bigram_buckets=0)
    found = start(earlier_features, tmp_path / "warm", warm_start=str(tmp_path / "none"))[
        "warm_start"
    ]
    assert (found["bigrams_carried"], found["bigrams_new"] > 0) == (0, True)
    assert (
        "bigrams_new"
        not in start(earlier_features, tmp_path / "to", bigram_buckets=0, warm_start=str(earlier))[
            "warm_start"
        ]
    )


def test_the_same_vocabulary_is_the_same_model(
    features: Path, model: Path, tmp_path: Path, figures: dict[str, Figures]
) -> None:
    (tmp_path / "warm").mkdir()
    params = TRAINER_PARAMS.with_values({**STILL, **WHOLE, "warm_start": str(model)})
    found = run(features=features, params=params, output=tmp_path / "warm")
    assert (tmp_path / "warm" / MODEL).read_bytes() == (model / MODEL).read_bytes()
    assert found["eval_accuracy"] == figures["trainer"]["eval_accuracy"]
    assert TRAINER.describe(found).endswith(
        f"warm start with {found['warm_start']['tokens_carried']} of"
        f" {found['warm_start']['tokens_carried']} tokens, 3 of 3 labels"
    )


def test_shrinking_mixes_what_was_learned_with_a_cold_start(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    start(earlier_features, tmp_path / "cold", seed=3)
    start(
        earlier_features,
        tmp_path / "shrunk",
        seed=3,
        warm_start=str(earlier),
        warm_start_shrink=0.25,
    )
    models = [
        network.load(path, training=True)[0]
        for path in (earlier, tmp_path / "cold", tmp_path / "shrunk")
    ]
    for learned, fresh, found in zip(
        *([weight.numpy() for weight in model.trainable_weights] for model in models), strict=True
    ):
        np.testing.assert_allclose(found, 0.25 * learned + 0.75 * fresh, atol=1e-6)


def test_what_was_learned_of_a_token_counts_more_than_its_vector(
    earlier: Path, tmp_path: Path
) -> None:
    features = text_features(tmp_path / "features", WORDS, LABELS)
    (tmp_path / "vectors.txt").write_bytes(b"ant 1 2 3 4\nlark 5 6 7 8\n")
    found = start(
        features,
        tmp_path / "warm",
        warm_start=str(earlier),
        embeddings=str(tmp_path / "vectors.txt"),
    )
    assert found["num_tokens_with_vectors"] == 2
    rows = table(tmp_path / "warm", "embedding")
    assert rows[b"lark"].tolist() == [5, 6, 7, 8]
    np.testing.assert_array_equal(rows[b"ant"], table(earlier, "embedding")[b"ant"])


def test_sequences_carry_all_but_new_classes(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    start(sequence_features(tmp_path / "one", LABELS[:2]), earlier, learned=True)
    features = sequence_features(tmp_path / "two", [LABELS[1], b"new"])
    # The width of embeddings that sequences do not have need not be the same.
    found = start(features, tmp_path / "warm", embedding_dim=9, warm_start=str(earlier))[
        "warm_start"
    ]
    assert found == {"labels_carried": 1, "labels_new": 1, "labels_lost": 1, "in_a_row": 1}
    before, after = (network.load(path)[0] for path in (earlier, tmp_path / "warm"))
    for name in ("rnn", "rnn_backward", "skip_embedding"):
        for old, new in zip(
            *(each.get_layer(name).get_weights() for each in (before, after)), strict=True
        ):
            np.testing.assert_array_equal(old, new)
    with pytest.raises(
        UserError,
        match=(
            "is a network for sequences of 2 numbers a time step, and these Features hold sequences"
            " of 3"
        ),
    ):
        start(
            sequence_features(tmp_path / "three", LABELS[:2], dim=3),
            tmp_path / "other",
            warm_start=str(earlier),
        )
    with pytest.raises(
        UserError,
        match=(
            "is a network for sequences of 2 numbers a time step, and these Features hold token ids"
        ),
    ):
        start(
            text_features(tmp_path / "four", WORDS, LABELS),
            tmp_path / "text",
            warm_start=str(earlier),
        )


def test_two_replicas_start_as_one_device(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    params = TrainerParams(
        **{**SMALL, **STILL, **WHOLE}, implementation="keras", warm_start=str(earlier)
    )
    found = train_on_replicas({"two": (2, params)}, earlier_features, tmp_path)["two"]
    assert found["warm_start"]["tokens_carried"] == 10
    assert (tmp_path / "two" / MODEL).read_bytes() == (earlier / MODEL).read_bytes()


def test_killed_it_goes_on_bit_for_bit_and_does_not_read_the_earlier_model_again(
    earlier: Path, earlier_features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CALL_STEPS", 2)
    copy = shutil.copytree(earlier, tmp_path / "copy")
    settings = {
        **SMALL,
        "num_epochs": 5,
        "warm_start_epochs": 2,
        "implementation": "keras",
        "checkpoint_steps": 2,
        "checkpoint_seconds": 1e9,
    }
    params = TrainerParams(**settings, warm_start=str(copy))
    for name in ("whole", "killed", "finished"):
        (tmp_path / name).mkdir()
    whole = run(features=earlier_features, params=params, output=tmp_path / "whole")
    assert whole["num_epochs"] == 2

    def save(*arguments: object) -> None:
        save_checkpoint(*arguments)  # type: ignore[arg-type]
        raise KilledError

    save_checkpoint = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(KilledError):
        run(
            features=earlier_features,
            params=params,
            output=tmp_path / "killed",
            work=tmp_path / "work",
        )
    monkeypatch.setattr(checkpoint, "save", save_checkpoint)
    assert checkpoint.newest(tmp_path / "work") == 2
    shutil.rmtree(copy)
    assert (
        run(
            features=earlier_features,
            params=params,
            output=tmp_path / "finished",
            work=tmp_path / "work",
        )
        == whole
    )
    assert json.loads((tmp_path / "whole" / START_FILE).read_text()) == whole["warm_start"]
    for name in (MODEL, SPEC_FILE, START_FILE, "history.json"):
        assert (tmp_path / "finished" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes(), name


def changed(model: Path, copy: Path, change: Callable[[keras.Model], None]) -> Path:
    shutil.copytree(model, copy)
    trained, spec = network.load(model, training=True)
    change(trained)
    network.save(trained, spec, copy)
    return copy


def test_what_cannot_be_started_from_is_named_before_training(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    assert TRAINER.check is not None
    with pytest.raises(
        UserError,
        match=r"trainer\.warm_start 'nowhere' holds no model\.weights\.h5 with its network\.json",
    ):
        TRAINER.check(TrainerParams(warm_start="nowhere"))
    for name, value in {
        "rnn_units": 5,
        "embedding_dim": 5,
        "num_layers": 2,
        "bidirectional": False,
        "pooling": "mean",
        "skip_dim": 0,
    }.items():
        params = TrainerParams(**{**SMALL, name: value}, warm_start=str(earlier))
        was = getattr(TrainerParams(**SMALL), name)
        said = (
            rf"warm_start .*: its {name} is {was}, here {value}. Set trainer\.{name} ="
            rf" {json.dumps(was)}, or leave trainer\.warm_start out"
        )
        with pytest.raises(UserError, match=said):
            TRAINER.check(params)
    with pytest.raises(UserError, match=said):  # also where it was a tuner that brought the value
        start(earlier_features, tmp_path / "model", **{name: value}, warm_start=str(earlier))


def test_a_model_that_diverged_or_is_damaged_is_refused(
    earlier: Path, earlier_features: Path, tmp_path: Path
) -> None:
    def diverge(model: keras.Model) -> None:
        kernel, bias = model.get_layer("output").get_weights()
        kernel[0, 0] = np.nan
        model.get_layer("output").set_weights([kernel, bias])

    diverged = changed(earlier, tmp_path / "diverged", diverge)
    with pytest.raises(
        UserError, match=r"has weights that are no numbers \(layer output\): its training diverged"
    ):
        start(earlier_features, tmp_path / "one", warm_start=str(diverged))
    (diverged / MODEL).write_bytes((earlier / MODEL).read_bytes()[:5000])
    with pytest.raises(
        UserError, match=r"trainer\.warm_start '.*' cannot be read \(.*\)\. Name another Model\."
    ):
        start(earlier_features, tmp_path / "two", warm_start=str(diverged))


def test_the_key_follows_the_content_and_not_the_place(
    earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TRAINER.external_digest is not None
    copy = shutil.copytree(earlier, tmp_path / "copy")
    (copy / "history.json").write_text("{}")  # nothing starts from it
    one, two = (TrainerParams(**SMALL, warm_start=str(place)) for place in (earlier, copy))
    assert one.key_fields() == two.key_fields() == TrainerParams(**SMALL).key_fields()
    key = TRAINER.external_digest(one, None)
    assert TRAINER.external_digest(two, tmp_path / "memory") == key != ""
    monkeypatch.setenv("SEQLINE_CACHE", str(tmp_path / "cache"))
    with serve() as cloud:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
        cloud.buckets["bucket"] = {}
        staging.upload(earlier, staging.path_of("gs://bucket/some/model"))  # type: ignore[arg-type]
        remote = TrainerParams(**SMALL, warm_start="gs://bucket/some/model")
        TRAINER.check(remote)
        assert TRAINER.external_digest(remote, None) == key
        gcs._client_of.cache_clear()
    (copy / "vocabularies" / "tokens").write_bytes(b"other\n" * 10)
    assert TRAINER.external_digest(two, None) != key


SOME_LINES = st.lists(st.sampled_from([b"", b" ", b"a", b"b", b"ab", b"\xff"]), unique=True)


@given(SOME_LINES, SOME_LINES)
def test_matches_are_the_lines_in_both(before: list[bytes], now: list[bytes]) -> None:
    found = matches(before, now)
    assert (
        [before[rank] for rank in found.before]
        == [now[rank] for rank in found.now]
        == [line for line in now if line in set(before)]
    )
    assert found.figures("lines") == {
        "lines_carried": len(set(before) & set(now)),
        "lines_new": len(set(now) - set(before)),
        "lines_lost": len(set(before) - set(now)),
    }


def commit(store: Store, component: str, kind: str, folder: Path, params: Params) -> None:
    """Puts an artifact into the store under the name of its folder, as a run does."""
    aside = store.begin(component, folder.name)
    shutil.copytree(folder, aside, dirs_exist_ok=True)
    record = execution(component, folder.name, params=params.model_dump(mode="json"))
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
    """A version without a graph: its model card is what is asked."""
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


def test_the_model_that_is_served_is_chosen(config: Config, store: Store, tmp_path: Path) -> None:
    choice = choose(config, store)
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
    (folder / START_FILE).write_text(json.dumps({"in_a_row": 4}))
    assert choose(config, store).in_a_row == 5
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "saved_model.pb").write_bytes(b"another")
    assert push(tmp_path / "foreign", config.pusher.serving_dir)["version"] == 2
    assert choose(config, store) == Choice(
        config, "cold", "version 2 does not say which Model it was made of", 2
    )
    assert choose(config, store, version=1).start == "warm"
    rollback(config.pusher.serving_dir)
    assert (choose(config, store).start, choose(config, store).version) == ("warm", 3)


def test_a_model_that_the_configuration_names_stays(config: Config, store: Store) -> None:
    named = config.model_copy(
        update={"trainer": config.trainer.with_values({"warm_start": "some/model"})}
    )
    assert choose(named, store).config is named


def test_nothing_served_is_a_cold_start(config: Config) -> None:
    choice = choose(config, open_store(config.root))
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
    assert choose(other, store) == Choice(other, "cold", f"version 1: {reason}", 1)


def test_what_changes_no_meaning_is_no_obstacle(config: Config, store: Store) -> None:
    other = config.model_copy(
        update={
            "transform": TransformParams(vocab_size=50, max_length=3),
            "trainer": TrainerParams(**{**SMALL, "learning_rate": 0.1, "bigram_buckets": 0}),
            "tuner": TunerParams(
                num_trials=3, ranges={"learning_rate": {"low": 0.001, "high": 0.01}}
            ),
        }
    )
    assert choose(other, store).start == "warm"


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
    choice = choose(config, store)
    assert (choice.start, choice.reason) == ("cold", f"version 1: {reason} {store.root}")


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
        choice = choose(
            config.model_copy(update={"root": "gs://bucket/root", "pusher": pusher}),
            open_store("gs://bucket/root"),
        )
        assert (choice.start, choice.config.trainer.warm_start) == (
            "warm",
            "gs://bucket/root/trainer/model",
        )
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
    assert [[(each["component"], each["cached"]) for each in run][-2:] for run in stages] == [
        [("transform", False), ("trainer", False)],
        [("transform", True), ("trainer", False)],
    ]
    again = train_both(cold, cold, store)
    assert (again.start, again.figures["warm"]) == (
        "cold",
        best.figures["cold"],
    ), "nothing is made twice, and of equals the cold one wins"
