"""The settings of the trainer."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from seqline.component import NotInKey, Params

# TensorFlow counts rows and time steps with 32 bits in many kernels, and steps with 64: the product
# of two of these numbers fits.
MOST = 2**31 - 1
# Each layer is a loop of its own, which is compiled on its own.
MOST_LAYERS = 1000

# The width of the skip branch of a model without a wide part, unless a number is given.
SKIP_DIM = 64

# The model of countless tutorials: Embedding -> SimpleRNN -> Dense on the last state, padding read
# like text. `pooling = "last"` means exactly this model; a setting that is also given stays.
BLOG_POST: dict[str, Any] = {
    "bidirectional": False,
    "masking": False,
    "skip_dim": 0,
    "bigram_buckets": 0,
    "recurrent_gain": 1.0,
    "word_dropout": 0.0,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "clip_norm": 0.0,
    "wide": False,
}


class TrainerParams(Params):
    pooling: Literal["last", "mean", "max", "mean_max"] = Field(
        "max",
        description=(
            "how the RNN's states become one vector; `last` means the plain tutorial model"
        ),
    )
    embedding_dim: int = Field(
        64, ge=1, description="width of the token embeddings; not used for sequences"
    )
    rnn_units: int = Field(64, ge=1, description="width of the SimpleRNN's state")
    num_layers: int = Field(
        1, ge=1, le=MOST_LAYERS, description="number of stacked SimpleRNN layers"
    )
    bidirectional: bool = Field(True, description="a second SimpleRNN reads the text from its end")
    masking: bool = Field(
        True, description="ignore padding; false reads it like text, up to max_length"
    )
    recurrent_gain: float = Field(
        0.5, gt=0, description="gain of the orthogonal recurrent initialiser"
    )
    embedding_scale: float = Field(
        0.05, gt=0, description="token embeddings start uniformly within +- this value"
    )
    word_dropout: float = Field(
        0.15,
        ge=0,
        lt=1,
        description="rate of tokens replaced by OOV while training; not for sequences",
    )
    embedding_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout on the token embeddings; all places of a token in a batch share it",
    )
    recurrent_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout on the state between two time steps, as in Keras's SimpleRNN",
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the pooled states")
    skip_dim: int | None = Field(
        None,
        ge=0,
        description=(
            "width of the skip branch, the mean of its own embeddings; 0: no skip branch; null: 0"
            " beside a wide part, else 64"
        ),
    )
    skip_gain: float = Field(
        3.0, gt=0, description="factor on the skip branch: how much faster it learns than the RNN"
    )
    skip_dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the skip branch")
    branch_dropout: float = Field(
        0.5, ge=0, lt=1, description="share of rows that train on only one of the two branches"
    )
    bigram_buckets: int = Field(
        65536,
        ge=0,
        lt=2**20,
        description="number of buckets of hashed bigrams in the skip branch; 0: no bigrams",
    )
    bigram_min_count: int = Field(
        2,
        ge=1,
        description=(
            "how many bigrams of train must fall into a bucket for it to get an embedding"
        ),
    )
    wide: bool = Field(
        True,
        description=(
            "a linear model on the n-grams of the whole text, pooled with the SimpleRNN; not for"
            " sequences"
        ),
    )
    recurrent: bool = Field(
        True, description="the SimpleRNN; false leaves the wide part alone, for text and tokens"
    )
    wide_megabytes: int = Field(
        256,
        ge=1,
        le=2**20,
        description=(
            "the most megabytes of the wide part's weights and penalties in training: with many"
            " classes the n-grams that tell least about them are left out"
        ),
    )
    warm_start: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "an earlier Model to start from, a folder or a bucket; embeddings are matched by token,"
            " so the vocabulary may differ"
        ),
    )
    warm_start_shrink: float = Field(
        0.5,
        gt=0,
        le=1,
        description=(
            "share of the earlier weights that a warm start keeps; the rest is random, as in a cold"
            " start"
        ),
    )
    warm_start_epochs: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description="num_epochs of a warm start; null: the same as of a cold start",
    )
    embeddings: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "file of token vectors to start from, in the text format of GloVe, word2vec and"
            " fastText; not for sequences"
        ),
    )
    label_smoothing: float = Field(
        0.1,
        ge=0,
        lt=1,
        description=("share of the target probability that is spread evenly over the classes"),
    )
    learning_rate: float = Field(
        5e-3, gt=0, description="Adam's learning rate, for the global batch"
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="how the learning rate falls over the epochs, to 5 % of its value"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of all steps in which the learning rate rises from 0"
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description=("share of a weight that a step removes, times the learning rate (AdamW)"),
    )
    average_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "decay of a moving average of the weights, which then is the model; 0: no average"
        ),
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced`: rows of rare classes count more"
    )
    clip_norm: float = Field(
        1.0, ge=0, description="the greatest global norm of the gradients; 0: no clipping"
    )
    batch_size: int = Field(64, ge=1, le=MOST, description="rows per step, over all replicas")
    num_epochs: int = Field(12, ge=1, le=MOST, description="maximum number of epochs")
    min_epoch_steps: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description=(
            "minimum number of steps per epoch: small data sets are read several times;"
            " null: 1, or 32 for sequences"
        ),
    )
    patience: int = Field(4, ge=1, description="epochs without improvement before training stops")
    checkpoint_seconds: Annotated[float, NotInKey] = Field(
        30,
        gt=0,
        description="seconds between checkpoints within an epoch; each epoch ends with one",
    )
    implementation: Literal["fast", "keras"] = Field(
        "fast",
        description=("how training computes the recurrence; `keras`: with Keras's own layers"),
    )
    checkpoint_steps: Annotated[int | None, NotInKey] = Field(
        None,
        ge=1,
        description="steps between checkpoints; null: checkpoints by seconds only",
    )
    profile_steps: Annotated[int, NotInKey] = Field(
        0,
        ge=0,
        description=(
            "number of steps to profile with TensorFlow, into the model's tensorboard/;"
            " `run --profile` means 50"
        ),
    )
    devices: Annotated[list[str] | int | None, NotInKey] = Field(
        None,
        description=(
            "devices to train on: a list such as ['GPU:0', 'GPU:1'], or a number of GPUs;"
            " null: all GPUs, or else the CPU"
        ),
    )
    worker_wait_seconds: Annotated[float, NotInKey] = Field(
        3600,
        gt=0,
        description=(
            "with TF_CONFIG: how many seconds a worker waits for the others before training"
        ),
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 // 1000 - 1,
        description="seed of the initial weights, dropout and the order of the rows",
    )

    @field_validator("devices")
    @classmethod
    def _devices_are_of_one_kind(cls, given: list[str] | int | None) -> list[str] | int | None:
        if isinstance(given, int) and given < 1:
            raise ValueError("at least one device trains")
        if isinstance(given, list):
            names = [name.upper() for name in given]
            if not names or any(not re.fullmatch(r"(CPU|GPU):\d+", name) for name in names):
                raise ValueError("devices are named like GPU:0 or CPU:0")
            if len(set(names)) < len(names) or len({name.split(":")[0] for name in names}) > 1:
                raise ValueError("each device is named once, and all are GPUs or all CPUs")
        return given

    @model_validator(mode="after")
    def _something_is_fitted(self) -> "TrainerParams":
        if not self.wide and not self.recurrent:
            raise ValueError("trainer.wide and trainer.recurrent are both false: set one to true")
        return self

    @model_validator(mode="before")
    @classmethod
    def _last_means_the_blog_post_model(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("pooling") == "last":
            return {**BLOG_POST, **given}
        return given

    def with_values(self, values: Mapping[str, Any]) -> "TrainerParams":
        """A copy with other values of some parameters.

        All others stay, even where `pooling = "last"` is among the values.
        """
        return TrainerParams(**{**self.model_dump(), **values})

    def skip_dim_beside(self, has_wide: bool) -> int:
        """The width of the skip branch of a model with or without a wide part."""
        if self.skip_dim is not None:
            return self.skip_dim
        return 0 if has_wide else SKIP_DIM

    def with_start_epochs(self) -> "TrainerParams":
        """A copy with the epochs of a warm start, if it is one."""
        if self.warm_start and self.warm_start_epochs:
            return self.with_values({"num_epochs": self.warm_start_epochs})
        return self
