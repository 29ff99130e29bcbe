"""SequenceClassifier: the transform and the trainer as a scikit-learn estimator."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from pipeline import config as configuration
from pipeline.api import fitted
from pipeline.config import Config
from seqline.data.labels import CONTROL, is_blank, normal
from seqline.errors import UserError

if TYPE_CHECKING:
    from pipeline.api.model import Model

# Parameter -> the setting that it is. The others are not settings: `settings`, `eval_fraction`.
SETTINGS = {
    "content": "example_gen",
    **dict.fromkeys(
        ("tokens", "lowercase", "vocab_size", "min_frequency", "max_length", "ngrams"),
        "transform",
    ),
    "standardize": "transform",
    **dict.fromkeys(
        (
            *("pooling", "embedding_dim", "rnn_units", "num_layers", "bidirectional", "wide"),
            *("recurrent", "word_dropout", "dropout", "label_smoothing", "learning_rate"),
            *("schedule", "weight_decay", "class_weights", "batch_size", "num_epochs"),
            *("min_epoch_steps", "patience", "seed"),
        ),
        "trainer",
    ),
    "eval_fraction": "example_gen",
}


class SequenceClassifier(ClassifierMixin, BaseEstimator):
    """Classifies texts, lists of tokens, or sequences of numbers, as a scikit-learn estimator.

    It fits a SimpleRNN pooled with a linear model on n-grams, as `seqline run` does. Its parameters
    are settings, by their own names and with their own defaults; `settings` takes any other one.

    >>> from seqline.sklearn import SequenceClassifier
    >>> model = SequenceClassifier(num_epochs=2).fit(texts, labels)
    >>> model.predict(["a good film"]).tolist()
    ['pos']

    It works in a Pipeline, in cross-validation and in GridSearchCV:

        GridSearchCV(SequenceClassifier(), {"rnn_units": [32, 64], "dropout": [0.1, 0.3]})

    X holds rows by `content`:

      text      texts: a list, an array [rows] or [rows, 1], a Series, or a table of one column
      tokens    lists of tokens
      sequence  numbers: [rows, time], [rows, time, dim], or a list of arrays [time, dim] of any
                length

    Labels may be of any type that scikit-learn classifies; predictions are of that type. A share of
    the rows, `eval_fraction`, judges the epochs and does not train the network (the linear part
    learns from them, too, in the end).

    Attributes:
        classes_: The labels, in ascending order: the columns of `predict_proba`.
        figures_: Stage -> its figures, such as figures_["trainer"]["eval_accuracy"].
        n_features_in_: Time steps of the rows, if X was an array [rows, time].

    Args:
        content: What a row is, see above.
        tokens, lowercase, vocab_size, min_frequency: Settings of transform.
        max_length, ngrams, standardize: Settings of transform.
        pooling, embedding_dim, rnn_units, num_layers, bidirectional: Settings of the trainer.
        wide, recurrent, word_dropout, dropout, label_smoothing: Settings of the trainer.
        learning_rate, schedule, weight_decay, class_weights: Settings of the trainer.
        batch_size, num_epochs, min_epoch_steps, patience: Settings of the trainer.
        seed: Decides everything that is random: equal rows and settings give an equal model.
        eval_fraction: The share of the rows, by class, that judges the epochs.
        settings: Further settings: {"trainer.clip_norm": 0.5, "transform.min_frequency": 3}.
    """

    def __init__(
        self,
        content: Literal["text", "tokens", "sequence"] = "text",
        *,
        tokens: Literal["word", "char"] | None = None,
        lowercase: bool = True,
        vocab_size: int = 20_000,
        min_frequency: int = 2,
        max_length: int | None = None,
        ngrams: int | None = None,
        standardize: bool = True,
        pooling: Literal["last", "mean", "max", "mean_max"] = "max",
        embedding_dim: int = 64,
        rnn_units: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        wide: bool = True,
        recurrent: bool = True,
        word_dropout: float = 0.15,
        dropout: float = 0.3,
        label_smoothing: float = 0.1,
        learning_rate: float = 5e-3,
        schedule: Literal["constant", "linear", "cosine"] = "cosine",
        weight_decay: float = 0.0,
        class_weights: Literal["none", "balanced"] = "none",
        batch_size: int = 64,
        num_epochs: int = 12,
        min_epoch_steps: int | None = None,
        patience: int = 4,
        seed: int = 0,
        eval_fraction: float = 0.1,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.content = content
        self.tokens = tokens
        self.lowercase = lowercase
        self.vocab_size = vocab_size
        self.min_frequency = min_frequency
        self.max_length = max_length
        self.ngrams = ngrams
        self.standardize = standardize
        self.pooling = pooling
        self.embedding_dim = embedding_dim
        self.rnn_units = rnn_units
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.wide = wide
        self.recurrent = recurrent
        self.word_dropout = word_dropout
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.class_weights = class_weights
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.min_epoch_steps = min_epoch_steps
        self.patience = patience
        self.seed = seed
        self.eval_fraction = eval_fraction
        self.settings = settings

    def fit(
        self,
        X: Any,  # noqa: N803  # scikit-learn's name
        y: Any,
        sample_weight: Any = None,
    ) -> Self:
        """Fits the model.

        Args:
            X: The rows, see the class.
            y: Their labels [rows].
            sample_weight: Their weights in training [rows], 0 or more; None for equal ones.

        Raises:
            ValueError: A row, a label or a setting cannot be used; most are UserErrors.
            KeyboardInterrupt: Ctrl-C, or a notebook's stop button.
        """
        config = self._config(sample_weight is not None)
        if y is None:
            raise UserError("SequenceClassifier requires y to be passed, but the target y is None.")
        rows = self._rows(X, reset=True)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(rows, labels)
        assert_all_finite(labels, input_name="y")

        self.classes_, class_ids = _classes(labels)
        check_classification_targets(labels)
        if len(self.classes_) < 2:
            raise UserError(
                f"y holds 1 class, {self.classes_.tolist()[0]!r}; a classifier needs rows of two or"
                " more."
            )

        names = _names(self.classes_)
        columns: dict[str, Sequence[Any]] = {
            fitted.CONTENT: rows,
            fitted.LABEL: [names[class_id] for class_id in class_ids],
        }
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, labels, ensure_non_negative=True)
            columns[fitted.WEIGHT] = weights.tolist()

        chosen = _eval_rows(class_ids, config.example_gen.eval_fraction, config.trainer.seed)
        result = fitted.fit(config, columns, chosen)
        self.figures_ = result.figures
        self.saved_model_ = result.saved_model
        self._model = fitted.load(result.saved_model)
        self._columns = _columns(self._model.labels, names, self.classes_)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803  # scikit-learn's name
        """The probability of each class.

        Args:
            X: The rows, see the class.

        Returns:
            float64 [rows, classes], columns in the order of `classes_`.

        Raises:
            ValueError: A row is none that the model reads.
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        probabilities = self._loaded().predict_proba(rows)[:, self._columns].astype(np.float64)
        totals = probabilities.sum(axis=1, keepdims=True)
        return np.asarray(probabilities / totals)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803  # scikit-learn's name
        """The likeliest class of each row, [rows], as it is in `classes_`."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def save_model(self, folder: str | Path) -> Path:
        """Writes the model as a SavedModel, for `seqline.load` and `seqline predict`.

        It was not proven equal to the trained network, and no gate has judged it: `seqline.run`
        makes models for serving.

        Args:
            folder: A folder that does not exist, or is empty.

        Returns:
            The folder.

        Raises:
            UserError: The folder holds something.
        """
        check_is_fitted(self)
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UserError(f"{str(folder)!r} is not an empty folder; name another.")
        target.mkdir(parents=True, exist_ok=True)
        fitted.unpack(self.saved_model_, target)
        return target

    def _config(self, is_weighted: bool) -> Config:
        """The settings that were given; those with the default are left to the configuration.

        So `pooling="last"` brings the settings of the tutorial model, as in a configuration.
        """
        content: dict[str, Any] = {
            "example_gen": {"source": "", "text": fitted.CONTENT, "label": fitted.LABEL}
        }
        if is_weighted:
            content["example_gen"]["weight"] = fitted.WEIGHT

        for name, section in SETTINGS.items():
            value = getattr(self, name)
            params: Any = Config.model_fields[section].annotation
            default = params.model_fields[name].default
            if value is not default and value != default:
                content.setdefault(section, {})[name] = _plain(value)
        values = {name: _plain(value) for name, value in (self.settings or {}).items()}
        return configuration.build(content, type(self).__name__, (), values, None, "settings:")

    def _rows(self, X: Any, reset: bool) -> Any:  # noqa: N803  # scikit-learn's name
        """X as a list of rows, checked as far as scikit-learn can."""
        if self.content == "sequence" and not _is_ragged(X):
            checked = validate_data(
                self, X, reset=reset, dtype=np.float64, allow_nd=True, ensure_min_features=1
            )
            return checked[:, :, None].tolist() if checked.ndim == 2 else checked.tolist()

        if isinstance(X, str | bytes) or not hasattr(X, "__len__"):
            raise UserError(f"X is a {type(X).__name__}; give a list of rows.")
        if getattr(X, "ndim", 1) == 2 and X.shape[1] == 1:
            X = np.asarray(X)[:, 0]  # noqa: N806  # a column, as a ColumnTransformer gives it
        return [row.tolist() if isinstance(row, np.ndarray) else row for row in X]

    def _loaded(self) -> "Model":
        """The model; a copy that was unpickled loads it when it is asked first."""
        if not hasattr(self, "_model"):
            self._model = fitted.load(self.saved_model_)
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_model", None)  # saved_model_ has all of it
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        is_sequence = self.content == "sequence"
        tags.input_tags.one_d_array = not is_sequence
        tags.input_tags.string = not is_sequence
        tags.input_tags.two_d_array = is_sequence
        tags.input_tags.three_d_array = is_sequence
        return tags


def _plain(value: Any) -> Any:
    """A number of numpy, as a search over an array gives it, as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


def _is_ragged(X: Any) -> bool:  # noqa: N803  # scikit-learn's name
    """Whether X is a list of arrays [time, dim] of several lengths."""
    if not isinstance(X, list | tuple):
        return getattr(X, "ndim", 0) == 1 and getattr(X.dtype, "kind", "") == "O"
    lengths = {np.shape(row)[:1] if hasattr(row, "__len__") else () for row in X}
    return len(lengths) > 1


def _classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels in ascending order, and the place there of each row's [rows].

    Raises:
        UserError: They have types that have no order, such as texts and None.
    """
    try:
        classes, class_ids = np.unique(labels, return_inverse=True)
    except TypeError:
        types = sorted({type(label).__name__ for label in labels})
        raise UserError(
            f"y holds labels of several types: {', '.join(types)}. Give every row a label, all of"
            " one type."
        ) from None
    return classes, class_ids


def _names(classes: np.ndarray) -> list[str]:
    """The label of each class in the model: its own, or its number where that cannot be one."""
    own = [str(label) for label in classes]
    are_texts = all(isinstance(label, str) for label in classes)
    can_be = all(
        normal(name) == name and not is_blank(name) and not CONTROL.search(name) for name in own
    )
    return own if are_texts and can_be else [str(number) for number in range(len(classes))]


def _columns(labels: Sequence[str], names: Sequence[str], classes: np.ndarray) -> list[int]:
    """The column of each class in the model's answers.

    Raises:
        UserError: No row of a class could be used.
    """
    for name, label in zip(names, classes.tolist(), strict=True):
        if name not in labels:
            raise UserError(
                f"No row of the class {label!r} could be used to train. Leave the class out, or"
                " give it rows that are not empty."
            )
    return [labels.index(name) for name in names]


def _eval_rows(class_ids: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """The rows that judge the epochs, bool [rows]: a share of each class, drawn by the seed."""
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(class_ids), bool)
    for class_id in np.unique(class_ids):
        rows = generator.permutation(np.flatnonzero(class_ids == class_id))
        # At least one row of a class trains, however few there are.
        chosen[rows[: min(round(len(rows) * fraction), len(rows) - 1)]] = True
    return chosen
