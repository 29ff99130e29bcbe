"""Fits the model to the Features: a recurrent part, a SimpleRNN, and a wide part on n-grams.

Reads Features, ids or the values of sequences: it learns from the train split, and by the eval
split it chooses the best epoch and pools the two parts; then it fits the wide part to both. It
never reads the test split. Reads Hyperparameters if a tuner made some: their values replace those
in the params.

Writes Model:

    network.json, model.weights.h5   `seqline.model.network.load` reads them; no weights without a
                                     recurrent part
    wide.arrow                       the wide part and the pool, see `seqline.model.wide`
    vocabularies/                    the meaning of their rows and columns
    history.json                     every epoch's figures
    start.json                       after a warm start: what was carried over
    tensorboard/                     event files
"""

import json
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

from components.trainer.params import TrainerParams
from seqline.component import Component, Figures
from seqline.data.features import MODEL
from seqline.digests import digest
from seqline.errors import UserError
from seqline.model.spec import SPEC_FILE
from seqline.storage import files, staging

# In Hyperparameters: trainer parameter -> the value that a tuner found best.
BEST_FILE = "best.json"

# In a Model: what a warm start carried over.
START_FILE = "start.json"
# The files of a Model that a warm start reads, and that its key therefore depends on.
STARTS_FROM = (SPEC_FILE, MODEL, START_FILE, "vocabularies/*")
# The parameters that an earlier network must have in common with a new one.
SHAPE = ("embedding_dim", "rnn_units", "num_layers", "bidirectional", "pooling", "skip_dim")


def check(params: TrainerParams) -> None:
    """Raises UserError for a file to start from that cannot be used, and for another shape."""
    for name in ("warm_start", "embeddings"):
        if getattr(params, name) and not params.recurrent:
            raise UserError(
                f"trainer.{name} is for the recurrent part, and trainer.recurrent is false: the"
                f" wide part is always fitted anew. Leave trainer.{name} out."
            )

    if params.warm_start:
        from components.trainer import earlier

        earlier.check(params)

    if params.embeddings:
        from components.trainer import vectors

        vectors.check(params.embeddings, params.embedding_dim)


def difference(network: Mapping[str, Any], params: TrainerParams) -> str | None:
    """How the shape of an earlier network differs from what `params` ask for, and what to set.

    Args:
        network: its network.json.

    Returns:
        The beginning of a sentence, for an error or a report; None if the shapes are the same.
    """
    has_wide = params.wide and not network.get("dim")
    wanted = {name: getattr(params, name) for name in SHAPE}
    wanted["skip_dim"] = params.skip_dim_beside(has_wide)
    different = []
    for name in SHAPE:
        if name == "embedding_dim" and network.get("dim"):
            continue  # Sequences have no embeddings.
        if network[name] != wanted[name]:
            different.append(name)

    if not different:
        return None

    values = [f"its {name} is {network[name]}, here {wanted[name]}" for name in different]
    settings = [f"trainer.{name} = {json.dumps(network[name])}" for name in different]
    return f"{' and '.join(values)}. Set {', '.join(settings)}"


def external_digest(params: TrainerParams, memory: Path | None = None) -> str:
    """The digest of what training starts from, without its place; empty for random weights.

    Args:
        memory: where digests of files are remembered.
    """
    check(params)
    contents = []
    with files.digest_cache(memory) as cache:
        if params.embeddings:
            contents.append(files.digest(files.stat(params.embeddings), cache))
        if params.warm_start:
            folder = staging.local_copy(staging.path_of(params.warm_start))
            paths = [path for pattern in STARTS_FROM for path in folder.glob(pattern)]
            for path in sorted(path for path in paths if path.is_file()):
                content = files.digest(files.stat(str(path)), cache)
                contents.append(f"{path.relative_to(folder).as_posix()} {content}")
    return digest(contents) if contents else ""


def run(
    *,
    features: Path,
    params: TrainerParams,
    output: Path,
    work: Path | None = None,
    hyperparameters: Path | None = None,
) -> Figures:
    """Trains the network and keeps the weights of the best epoch.

    It trains on every GPU or on the CPU, or with the other workers that TF_CONFIG names; then only
    the chief writes. Best is the highest accuracy on the eval split, then the lowest loss. SIGTERM
    and SIGINT end the training after the steps under way, with a checkpoint.

    Args:
        work: the folder of checkpoints. A run that finds one continues from it, and ends with the
            same weights, bit for bit on one device, as if it had never been interrupted.
        hyperparameters: their values replace those in params.

    Raises:
        DivergedError: the loss is no longer a number.
        StoppedError: a signal ended the training.
        LostWorkerError: another worker was lost.
    """
    from components.trainer import best, fit

    tuned = best.read(hyperparameters, params) if hyperparameters else {}
    own = output / "work"
    figures = fit.fit(features, params.with_values(tuned).with_start_epochs(), output, work or own)
    rmtree(own, ignore_errors=True)
    return {**figures, "tuned": tuned} if tuned else figures


def describe(figures: Figures) -> str:
    text = f"eval accuracy {figures['eval_accuracy']:.3f}"
    if "best_epoch" in figures:
        text = f"{figures['num_parameters']:,} parameters; {text}"
        if "pool" not in figures:
            text += f" in epoch {figures['best_epoch']} of {figures['num_epochs']}"
    if (num_features := figures.get("num_wide_features")) is not None:
        text += f"; wide part of {num_features:,} n-grams"
    if "eval_accuracy_wide" in figures:
        a, b = figures["pool"]
        text += (
            f" {figures['eval_accuracy_wide']:.3f} (x {a:.2f}), recurrent part"
            f" {figures['eval_accuracy_recurrent']:.3f} (x {b:.2f}) in epoch"
            f" {figures['best_epoch']} of {figures['num_epochs']}"
        )
    if (num_vectors := figures.get("num_tokens_with_vectors")) is not None:
        text += f"; {num_vectors:,} tokens start from vectors"
    if start := figures.get("warm_start"):
        counts = []
        for name in ("tokens", "labels"):
            if f"{name}_carried" in start:
                carried, new = start[f"{name}_carried"], start[f"{name}_new"]
                counts.append(f"{carried:,} of {carried + new:,} {name}")
        text += f"; warm start with {', '.join(counts)}"
    return text


TRAINER = Component(
    name="trainer",
    inputs={"features": "Features", "hyperparameters": "Hyperparameters"},
    output="Model",
    params=TrainerParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "keras"),
    on_all_workers=True,
    check=check,
    external_digest=external_digest,
)
