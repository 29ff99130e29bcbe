"""SequenceClassifier: fitted on texts, tokens and sequences, in scikit-learn's own tools."""

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import seqline
from pipeline.api.estimator import SETTINGS
from pipeline.config import Config
from seqline.errors import UserError
from seqline.sklearn import SequenceClassifier
from tests.support.corpus import corpus_rows

# Small enough for a few seconds a fit.
SMALL: dict[str, Any] = {
    "max_length": 8,
    "min_frequency": 1,
    "embedding_dim": 8,
    "rnn_units": 8,
    "bidirectional": False,
    "wide": False,
    "batch_size": 16,
    "num_epochs": 6,
    "settings": {"trainer.skip_dim": 8},
}
ROWS = corpus_rows()
TEXTS, LABELS = [row["text"] for row in ROWS], [row["label"] for row in ROWS]


@pytest.fixture(scope="module")
def model() -> SequenceClassifier:
    return SequenceClassifier(**SMALL).fit(TEXTS[:200], LABELS[:200])


def test_a_fitted_model(model: SequenceClassifier) -> None:
    assert model.classes_.tolist() == ["animals", "fruit", "metals"]
    assert model.score(TEXTS[200:], LABELS[200:]) > 0.9
    probabilities = model.predict_proba(TEXTS[200:])
    assert probabilities.shape == (40, 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(40))
    assert model.figures_["example_gen"]["num_read"] > 200
    column = np.array(TEXTS[200:]).reshape(-1, 1)
    assert (model.predict(column) == model.predict(TEXTS[200:])).all()


def test_a_copy_by_pickle_gives_the_same_answers(model: SequenceClassifier) -> None:
    copy = pickle.loads(pickle.dumps(model))
    assert (copy.predict_proba(TEXTS[200:]) == model.predict_proba(TEXTS[200:])).all()


def test_a_saved_model_can_be_loaded(model: SequenceClassifier, tmp_path: Path) -> None:
    loaded = seqline.load(model.save_model(tmp_path / "model"))
    assert loaded.predict(TEXTS[200:]) == model.predict(TEXTS[200:]).tolist()
    with pytest.raises(UserError, match="is not an empty folder"):
        model.save_model(tmp_path / "model")


def test_every_parameter_is_a_setting_with_its_default() -> None:
    parameters = dict(inspect.signature(SequenceClassifier.__init__).parameters)
    assert set(parameters) == {"self", "settings", *SETTINGS}
    for name, section in SETTINGS.items():
        params: Any = Config.model_fields[section].annotation
        assert parameters[name].default == params.model_fields[name].default, name


@pytest.mark.slow
def test_the_random_numbers_of_the_program_go_on_as_without_a_fit(
    model: SequenceClassifier,
) -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    clone(model).set_params(num_epochs=1).fit(TEXTS, LABELS)
    assert np.random.random() == expected


@pytest.mark.slow
def test_in_a_pipeline_and_a_grid_search() -> None:
    numbers = [{"animals": 7, "fruit": 2, "metals": 5}[label] for label in LABELS]
    pipeline = make_pipeline(
        FunctionTransformer(lambda texts: [text.upper() for text in texts]),
        SequenceClassifier(**SMALL),
    )
    grid = {"sequenceclassifier__rnn_units": np.array([4, 8])}
    search = GridSearchCV(pipeline, grid, cv=2).fit(TEXTS, numbers)
    assert search.best_score_ > 0.8
    assert set(search.predict(TEXTS[:20])) <= {2, 5, 7}
    assert search.classes_.tolist() == [2, 5, 7]


def test_tokens_and_weights() -> None:
    tokens = [text.split() for text in TEXTS]
    weights = [0.0 if label == "metals" else 1.0 for label in LABELS]
    fitted = SequenceClassifier("tokens", **SMALL).fit(tokens, LABELS, sample_weight=weights)
    assert "metals" not in fitted.predict(tokens)


@pytest.mark.slow
def test_sequences_of_several_shapes() -> None:
    numbers = np.random.default_rng(0).normal(size=(120, 4, 2))
    is_rising = numbers[:, :, 0].sum(axis=1) > 0
    small = {**SMALL, "num_epochs": 3}
    fitted = SequenceClassifier("sequence", **small).fit(numbers, is_rising)
    assert fitted.predict(numbers).dtype == bool
    assert fitted.score(numbers, is_rising) > 0.8

    ragged = [row[: 3 + index % 2] for index, row in enumerate(numbers)]
    fitted = SequenceClassifier("sequence", **small).fit(ragged, is_rising)
    assert fitted.predict(ragged).shape == (120,)


@pytest.mark.parametrize(
    ("params", "rows", "labels", "message"),
    [
        ({}, "one text", ["a"], "X is a str; give a list of rows."),
        ({}, TEXTS[:3], LABELS[:2], "Found input variables with inconsistent numbers of samples"),
        ({}, TEXTS[:3], ["a"] * 3, "y holds 1 class, 'a'; a classifier needs"),
        ({}, TEXTS[:3], ["a", None, "b"], "y holds labels of several types: NoneType, str."),
        ({}, TEXTS[:3], [1.0, float("inf"), 2.0], "Input y contains infinity"),
        ({}, ["a", 3], ["a", "b"], "X holds rows of several types"),
        (
            {"num_epochs": 0},
            TEXTS,
            LABELS,
            "SequenceClassifier: trainer.num_epochs: input should be greater than or equal to 1",
        ),
        (
            {"settings": {"trainer.num_epoch": 2}},
            TEXTS,
            LABELS,
            "settings: trainer.num_epoch is not a known name. Did you mean 'num_epochs'?",
        ),
    ],
)
def test_what_cannot_be_fitted(
    params: dict[str, Any], rows: Any, labels: list[Any], message: str
) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # scikit-learn's own errors, too
        SequenceClassifier(**params).fit(rows, labels)
    assert str(error.value).startswith(message)


def test_a_model_that_is_not_fitted() -> None:
    with pytest.raises(NotFittedError):
        SequenceClassifier().predict(TEXTS)
