from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from components.trainer import TrainerParams, wide, wide_batches
from components.trainer.wide import Fit
from seqline.data.features import TRAIN
from seqline.data.ngrams import TABLE, Rows, Table
from seqline.model.wide import Wide, log_softmax, matrix
from tests.support.ngrams import write_ngrams
from tests.support.training import KilledError

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
PARAMS = TrainerParams(wide=True)


def corpus(num_classes: int) -> tuple[list[list[str]], list[int]]:
    """Ninety texts, in which each class has words that it likes more than others."""
    rng = np.random.default_rng(0)
    labels = rng.integers(num_classes, size=90).tolist()
    texts = []
    for label in labels:
        liked = np.ones(len(WORDS))
        liked[label * 2 : label * 2 + 3] = 3
        texts.append(rng.choice(WORDS, rng.integers(1, 9), p=liked / liked.sum()).tolist())
    return texts, labels


@pytest.fixture(scope="module", params=[2, 4])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of a corpus of two or of four classes, in three shards."""
    root = tmp_path_factory.mktemp("features")
    texts, labels = corpus(request.param)
    write_ngrams(
        root,
        TRAIN,
        [(texts[start : start + 30], labels[start : start + 30]) for start in (0, 30, 60)],
    )
    (root / "vocabularies" / "labels").write_text("x\n" * request.param)
    return root


def fit(source: Path, work: Path, params: TrainerParams = PARAMS, **arguments: object) -> Fit:
    num_classes = (source / "vocabularies" / "labels").read_text().count("\n")
    weights = arguments.get("class_weights", np.ones(num_classes, np.float32))
    return Fit(source, params, weights, work)  # type: ignore[arg-type] - an array


def go_on() -> None:
    """What is called to ask whether to stop."""


def same(first: Wide, second: Wide) -> bool:
    return all(
        getattr(first, name).tobytes() == getattr(second, name).tobytes() for name in vars(first)
    )


def all_rows(source: Path, table: Table) -> tuple[np.ndarray, np.ndarray]:
    """(features [n, F], labels [n]) of the train split."""
    parts = [Rows.read(path) for path in wide_batches.paths_of(source, TRAIN)]
    idf, sizes = table.idf(), (len(table.tokens), len(table.sequences))
    content = np.vstack([matrix(part, idf, *sizes).toarray() for part in parts])
    return content, np.concatenate([part.labels for part in parts])


def test_it_comes_near_the_minimum(source: Path, tmp_path: Path) -> None:
    fitting = fit(source, tmp_path)
    result = fitting.run(go_on)
    table = Table.read(source / TABLE)
    content, labels = all_rows(source, table)
    factors = fitting.factors.astype(np.float64)

    def objective(values: np.ndarray) -> float:
        weights, prior = np.split(values, [factors.size])
        weights = weights.reshape(factors.shape)
        logs = log_softmax(content @ weights + prior)
        penalty = (weights**2 / factors).sum() / (2 * wide.SPREAD)
        return -logs[np.arange(len(labels)), labels].sum() + penalty

    found = np.concatenate([result.weights, result.prior])
    start = np.concatenate([np.zeros(factors.size), result.prior])
    least = minimize(objective, found, method="L-BFGS-B", options={"maxiter": 15, "maxfun": 10**5})
    assert least.fun <= objective(found) < least.fun + 0.05 * (objective(start) - least.fun)


def test_penalty_factors_are_the_evidence_of_naive_bayes() -> None:
    # Two features, three classes of 6, 3 and 3 texts; the first feature is in 6 texts.
    by_class = np.array([[5, 1, 0], [1, 1, 1]], np.float32)
    prior, factors = wide._evidence(by_class, np.array([6.0, 3.0, 3.0]))
    assert prior == pytest.approx(np.log([7 / 15, 4 / 15, 4 / 15]))
    expected = np.array([[3, 1.5, 1.5], [1.5, 0.75, 0.75]])
    observed = np.array([[5, 1, 0], [1, 1, 1]])
    assert factors == pytest.approx(np.abs(np.log((observed + 1) / (expected + 1))) + 0.1)

    # Two classes use the difference of both.
    prior, factors = wide._evidence(np.array([[4, 1]], np.float32), np.array([5.0, 5.0]))
    assert prior == pytest.approx([0])
    assert factors == pytest.approx(np.array([[abs(np.log(2 / 3.5) - np.log(5 / 3.5)) + 0.1]]))


def test_the_same_seed_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    first, second = (fit(source, tmp_path / name).run(go_on) for name in "ab")
    assert same(first, second)
    other = fit(source, tmp_path / "c", PARAMS.with_values({"seed": 1})).run(go_on)
    assert not same(first, other)


@pytest.mark.parametrize("is_held", [True, False])
def test_a_fit_that_was_stopped_ends_with_the_same_bytes(
    is_held: bool, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_held:
        monkeypatch.setattr(wide, "Batches", partial(wide_batches.Batches, held_bytes=1))
    monkeypatch.setattr(wide_batches, "BATCH_ROWS", 4)
    monkeypatch.setattr(wide, "ASK_SECONDS", 0)
    whole = fit(source, tmp_path / "whole").run(go_on)

    calls = 0

    def stop_at(number: int) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise KilledError

    for number in (7, 40, 3):  # within an epoch, in the second one, a few batches later
        calls = 0
        with pytest.raises(KilledError):
            fit(source, tmp_path / "work").run(lambda: stop_at(number))  # noqa: B023 - called now
    assert len(list((tmp_path / "work").glob("*.npz"))) == 2
    assert fit(source, tmp_path / "work").state.step > 40
    assert same(fit(source, tmp_path / "work").run(go_on), whole)

    # A damaged checkpoint: from the one before it.
    newest = max((tmp_path / "work").glob("*.npz"))
    newest.write_bytes(newest.read_bytes()[:-30])
    assert same(fit(source, tmp_path / "work").run(go_on), whole)


def test_a_row_that_weighs_nothing_has_no_part(source: Path, tmp_path: Path) -> None:
    """The weights of a class count for prior, evidence and steps."""
    num_classes = (source / "vocabularies" / "labels").read_text().count("\n")
    weights = np.ones(num_classes, np.float32)
    weights[0] = 0
    fitting = fit(source, tmp_path, class_weights=weights)
    result = fitting.run(go_on)
    content, labels = all_rows(source, Table.read(source / TABLE))
    right = log_softmax(content @ result.matrix + result.prior).argmax(axis=1) == labels
    assert right[labels != 0].mean() > right[labels == 0].mean()
    assert right[labels == 0].mean() < 0.1


def test_with_many_classes_the_most_telling_features_are_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_classes = (source / "vocabularies" / "labels").read_text().count("\n")
    # A megabyte for twelve features.
    num_scores = 1 if num_classes == 2 else num_classes
    monkeypatch.setattr(wide, "WEIGHT_BYTES", 2**20 // (12 * num_scores))
    result = fit(source, tmp_path, PARAMS.with_values({"wide_megabytes": 1})).run(go_on)
    assert len(result.features) == 12
    assert np.all(np.diff(result.features) > 0)

    table = Table.read(source / TABLE)
    content, labels = all_rows(source, table)
    held = content > 0
    by_class = np.stack([held[labels == label].sum(axis=0) for label in range(num_classes)], 1)
    expected = by_class.sum(axis=1, keepdims=True) * np.bincount(labels) / len(labels)
    told = by_class * np.log((by_class + 1) / (expected + 1)) - expected / (expected + 1) / 2
    best = np.sort(told.sum(axis=1))[-12:]
    assert np.sort(told.sum(axis=1)[result.features]) == pytest.approx(best, rel=1e-5)

    # The keys are those of the features that are left.
    num_tokens, num_sequences, _ = result.sizes
    places = [place - num_tokens for place in result.features if place >= num_tokens]
    sequences = [table.sequence_keys[place] for place in places if place < num_sequences]
    assert result.sequence_keys.tolist() == [int(key) for key in sequences]
    assert len(result.character_keys) == len(places) - len(sequences)
