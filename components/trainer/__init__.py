"""Fits the SimpleRNN model to the Features.

Reads Features, ids or the values of sequences: the train split to learn from, the eval split to
choose the best epoch by. Never the test split. Reads Hyperparameters, where a tuner looked for
some: values in place of those in the params. Writes Model: network.json and model.weights.h5
(`seqline.model.network.load` reads them), vocabularies/ (what their rows and columns stand for),
history.json (every epoch's figures), start.json after a warm start (what was carried over) and
tensorboard/ (event files).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data.features import MODEL
from seqline.digests import digest
from seqline.errors import UserError
from seqline.storage import files, staging

# In Hyperparameters: trainer parameter -> the value that a tuner found best.
BEST_FILE = "best.json"

# In a Model: the network's shape (`seqline.model.network` writes it), and what a warm start carried
# over.
SPEC_FILE = "network.json"
START_FILE = "start.json"
# What a warm start reads of a Model, and so what its key follows from.
STARTS_FROM = (SPEC_FILE, MODEL, START_FILE, "vocabularies/*")
# What an earlier network must have in common with a new one.
SHAPE = ("embedding_dim", "rnn_units", "num_layers", "bidirectional", "pooling", "skip_dim")

# The model of countless tutorials: Embedding -> SimpleRNN -> Dense on the last state, padding read
# like text. `pooling = "last"` means this one exactly; a setting that is given beside it stays.
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
}


class TrainerParams(Params):
    pooling: Literal["last", "mean", "max", "mean_max"] = Field(
        "max",
        description=(
            "what of the RNN's states the classifier sees; `last` means the plain tutorial model"
        ),
    )
    embedding_dim: int = Field(
        64, ge=1, description="width of the token embeddings; sequences need none"
    )
    rnn_units: int = Field(64, ge=1, description="width of the SimpleRNN's state")
    num_layers: int = Field(1, ge=1, description="SimpleRNNs one over the other")
    bidirectional: bool = Field(True, description="a second SimpleRNN reads the text from its end")
    masking: bool = Field(
        True, description="padding does not count; false reads it like text, up to max_length"
    )
    recurrent_gain: float = Field(
        0.5, gt=0, description="gain of the orthogonal recurrent initialiser"
    )
    embedding_scale: float = Field(
        0.05, gt=0, description="token embeddings start uniformly in +- this"
    )
    word_dropout: float = Field(
        0.15, ge=0, lt=1, description="tokens replaced by OOV while training; nothing to sequences"
    )
    embedding_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout on the token embeddings, the same wherever a token is in a batch",
    )
    recurrent_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout on the state on its way to the next step, as SimpleRNN's",
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the pooled states")
    skip_dim: int = Field(
        64,
        ge=0,
        description="width of the skip branch, the mean of embeddings of its own; 0 for none",
    )
    skip_gain: float = Field(
        3.0, gt=0, description="factor on the skip branch: how much faster it learns than the other"
    )
    skip_dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the skip branch")
    branch_dropout: float = Field(
        0.5, ge=0, lt=1, description="rows that train on one of the two branches only"
    )
    bigram_buckets: int = Field(
        65536,
        ge=0,
        lt=2**20,
        description="buckets of hashed bigrams in the skip branch of texts; 0 for no bigrams",
    )
    bigram_min_count: int = Field(
        2, ge=1, description="bigrams of a bucket in train, at least, for it to count"
    )
    warm_start: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "an earlier Model to start from, a folder or gs://; embeddings go by token, so that the"
            " vocabulary may be another"
        ),
    )
    warm_start_shrink: float = Field(
        0.5,
        gt=0,
        le=1,
        description=(
            "part of the earlier weights that a warm start keeps; the rest is random numbers of a"
            " cold start"
        ),
    )
    warm_start_epochs: int | None = Field(
        None, ge=1, description="num_epochs of a warm start; null for those of a cold one"
    )
    embeddings: Annotated[str | None, NotInKey] = Field(
        None,
        description=(
            "token vectors to start from: text as GloVe, word2vec or fastText write it; for text"
            " and tokens"
        ),
    )
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="probability spread over the classes in the loss"
    )
    learning_rate: float = Field(5e-3, gt=0, description="Adam's, for the global batch")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "cosine", description="how the learning rate goes over the epochs, to 5 %"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of all steps in which the learning rate rises from 0"
    )
    weight_decay: float = Field(
        0.0, ge=0, description="part of a weight that a step takes, per learning rate (AdamW)"
    )
    average_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "decay of a moving average of the weights, which is then what is kept; 0 for none"
        ),
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced`: rows of a rare class count more"
    )
    clip_norm: float = Field(
        1.0, ge=0, description="global norm at which gradients are clipped; 0 for never"
    )
    batch_size: int = Field(
        64, ge=1, description="the global batch: rows of one step, over all replicas"
    )
    num_epochs: int = Field(12, ge=1, description="epochs, at most")
    min_epoch_steps: int | None = Field(
        None,
        ge=1,
        description=(
            "steps of an epoch, at least: few rows are gone over several times; null for 1, with"
            " sequences 32"
        ),
    )
    patience: int = Field(4, ge=1, description="epochs without a better one before training stops")
    checkpoint_seconds: Annotated[float, NotInKey] = Field(
        30,
        gt=0,
        description="how often a checkpoint is written within an epoch; each epoch ends with one",
    )
    implementation: Literal["fast", "keras"] = Field(
        "fast",
        description="how the recurrence is computed while training; `keras`: by Keras's own layers",
    )
    checkpoint_steps: Annotated[int | None, NotInKey] = Field(
        None,
        ge=1,
        description="steps after which a checkpoint is written, too; null for by seconds only",
    )
    profile_steps: Annotated[int, NotInKey] = Field(
        0,
        ge=0,
        description=(
            "steps of which a TensorFlow profile is written into the model's tensorboard/; `run"
            " --profile` means 50"
        ),
    )
    devices: Annotated[list[str] | int | None, NotInKey] = Field(
        None,
        description=(
            "devices to train on: a list such as ['GPU:0', 'GPU:1'], or how many GPUs; null for"
            " every GPU, or the CPU"
        ),
    )
    worker_wait_seconds: Annotated[float, NotInKey] = Field(
        3600,
        gt=0,
        description="with TF_CONFIG: how long a worker waits for the others before training",
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 // 1000 - 1,
        description="fixes initial weights, dropout and the order of the rows",
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

    @model_validator(mode="before")
    @classmethod
    def _last_means_the_blog_post_model(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("pooling") == "last":
            return {**BLOG_POST, **given}
        return given

    def with_values(self, values: Mapping[str, Any]) -> "TrainerParams":
        """These with other values of some.

        Every other one stays, whatever `pooling` is among the values.
        """
        return TrainerParams(**{**self.model_dump(), **values})

    def for_its_start(self) -> "TrainerParams":
        """These with the epochs of a warm start, where it is one."""
        return (
            self.with_values({"num_epochs": self.warm_start_epochs})
            if self.warm_start and self.warm_start_epochs
            else self
        )


def check(params: TrainerParams) -> None:
    """Raises UserError for something to start from that is not there, and for an earlier network of
    another shape.
    """
    if params.warm_start:
        folder = staging.path_of(params.warm_start)
        if not (folder / MODEL).is_file() or not (folder / SPEC_FILE).is_file():
            raise UserError(
                f"trainer.warm_start {params.warm_start!r} holds no {MODEL} with its {SPEC_FILE}."
                " Give the folder of a trainer's Model."
            )
        if different := difference(json.loads((folder / SPEC_FILE).read_text()), params):
            raise UserError(
                f"trainer.warm_start {params.warm_start!r}: {different}, or leave"
                " trainer.warm_start out."
            )
    if params.embeddings:
        files.stat(params.embeddings)


def difference(network: Mapping[str, Any], params: TrainerParams) -> str | None:
    """How the shape of an earlier network, by its network.json, differs from what `params` ask for,
    and what to set; None for not.
    """
    names = [
        name for name in SHAPE if not (network.get("dim") and name == "embedding_dim")
    ]  # sequences have no embeddings
    different = [name for name in names if network[name] != getattr(params, name)]
    if not different:
        return None
    what = " and ".join(
        f"its {name} is {network[name]}, here {getattr(params, name)}" for name in different
    )
    return (
        f"{what}. Set"
        f" {', '.join(f'trainer.{name} = {json.dumps(network[name])}' for name in different)}"
    )


def external_digest(params: TrainerParams, memory: Path | None = None) -> str:
    """The digest of what training starts from, wherever it lies; empty for random numbers."""
    check(params)
    found = []
    with files.digest_cache(memory) as cache:
        if params.embeddings:
            found.append(files.digest(files.stat(params.embeddings), cache))
        if params.warm_start:
            folder = staging.local_copy(staging.path_of(params.warm_start))
            read = sorted(
                path for pattern in STARTS_FROM for path in folder.glob(pattern) if path.is_file()
            )
            found += [
                f"{path.relative_to(folder).as_posix()}"
                f" {files.digest(files.stat(str(path)), cache)}"
                for path in read
            ]
    return digest(found) if found else ""


def run(
    *,
    features: Path,
    params: TrainerParams,
    output: Path,
    work: Path | None = None,
    hyperparameters: Path | None = None,
) -> Figures:
    """Trains on every GPU or on the CPU, or with the other workers that TF_CONFIG names, and keeps
    the weights of the best epoch.

    work: where checkpoints lie; a run that finds one goes on from it, and ends with the same
    weights, bit for bit on one device, as if it had never been interrupted. hyperparameters: their
    values count before those in params.

    With several workers the chief alone writes. SIGTERM and SIGINT end it after the steps under
    way, with a checkpoint and StoppedError.

    Best is the highest accuracy on the eval split, then the lowest loss. Raises UserError where the
    loss is no longer a number.
    """
    from components.trainer import fit

    tuned = json.loads((hyperparameters / BEST_FILE).read_text()) if hyperparameters else {}
    own = output / "work"
    figures = fit.fit(features, params.with_values(tuned).for_its_start(), output, work or own)
    rmtree(own, ignore_errors=True)
    return {**figures, "tuned": tuned} if tuned else figures


def describe(figures: Figures) -> str:
    text = (
        f"{figures['num_parameters']:,} parameters; eval accuracy {figures['eval_accuracy']:.3f} "
        f"in epoch {figures['best_epoch']} of {figures['num_epochs']}"
    )
    if start := figures.get("warm_start"):
        things = [
            (start[f"{name}_carried"], start[f"{name}_new"], name)
            for name in ("tokens", "labels")
            if f"{name}_carried" in start
        ]
        text += "; warm start with " + ", ".join(
            f"{carried:,} of {carried + new:,} {name}" for carried, new, name in things
        )
    return text


TRAINER = Component(
    name="trainer",
    inputs={"features": "Features", "hyperparameters": "Hyperparameters"},
    output="Model",
    params=TrainerParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "keras"),
    resumes=True,
    optional=("hyperparameters",),
    together=True,
    check=check,
    external_digest=external_digest,
)
