"""Fits a network to Features, from the first step or from wherever an earlier run got to."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.trainer import START_FILE, TrainerParams, checkpoint, external_digest
from components.trainer.counting import Counts, count
from components.trainer.distributed import cluster, strategy
from components.trainer.distributed.links import Message
from components.trainer.interruption import StopSignal
from components.trainer.training import OnEpoch, Training
from seqline.component import Figures
from seqline.data import features
from seqline.data.transform_summary import read_summary
from seqline.digests import digest
from seqline.host.progress import tell
from seqline.model import network, size
from seqline.storage.staging import local_copy


def fit(
    source: Path,
    params: TrainerParams,
    output: Path,
    work: Path,
    on_epoch: OnEpoch = lambda epoch, figures: None,
) -> Figures:
    """Fits the network, writes it to `output` and returns its figures.

    See `components.trainer.run`.

    Args:
        source: the Features.
        on_epoch: called for each epoch, in order, also for those before a checkpoint. What it
            raises ends the training.
    """
    # The same seed gives the same weights, bit for bit, on one kind of device. Not 0: with that,
    # Dataset.shuffle takes no tensor.
    keras.utils.set_random_seed(params.seed + 1)
    tf.config.experimental.enable_op_determinism()
    must_match = _must_match(source, params)

    with (
        StopSignal() as stop_signal,
        strategy.team(
            params.devices,
            params.worker_wait_seconds,
            must_match,
            lambda: checkpoint.newest(work),
            stop_signal,
        ) as team,
    ):
        tell("counting the train split")
        spec, counts = network_spec(source, params)
        size.check(spec)
        tell("building the network")
        training = Training(source, params, spec, counts, team, work)
        training.run(output, on_epoch)
        if team.is_chief:
            _write_model(training, spec, source, output)

    progress = training.progress
    best = progress.best_epoch - 1
    return {
        **progress.started_from,
        "num_parameters": training.loop.model.count_params(),
        "num_epochs": len(progress.history["loss"]),
        "best_epoch": progress.best_epoch,
        "train_accuracy": progress.history["accuracy"][best],
        "eval_accuracy": progress.history["val_accuracy"][best],
        "eval_loss": progress.history["val_loss"][best],
    }


def _must_match(source: Path, params: TrainerParams) -> Message:
    """The values that have to be the same on all workers."""
    must_match = {f"trainer.{name}": value for name, value in params.key_fields().items()}
    must_match["features"] = digest(read_summary(source))
    # A process that trains alone needs what it starts from for the first step only.
    if cluster.read():
        must_match["what trainer.warm_start and trainer.embeddings hold"] = external_digest(params)
    return must_match


def _write_model(training: Training, spec: network.Spec, source: Path, output: Path) -> None:
    with training.team.strategy.scope():
        training.loop.restore_weights(training.best_weights)
    network.save(training.loop.model, spec, output)
    shutil.copytree(local_copy(source / "vocabularies"), output / "vocabularies")
    history = dict(sorted(training.progress.history.items()))
    (output / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    if training.params.warm_start:
        started_from = training.progress.started_from["warm_start"]
        (output / START_FILE).write_text(json.dumps(started_from, indent=2) + "\n")


def network_spec(source: Path, params: TrainerParams) -> tuple[network.Spec, Counts]:
    """The network for a transform's content, vocabularies and max_length.

    Returns:
        (the spec, what was counted for it in the train split).
    """
    summary, vocabularies = read_summary(source), source / "vocabularies"
    dim = summary.get("dim") or 0
    num_tokens = 0 if dim else _num_lines(vocabularies / features.TOKENS_VOCABULARY)
    num_classes = _num_lines(vocabularies / features.LABELS_VOCABULARY)
    num_buckets = params.bigram_buckets if params.skip_dim and not dim else 0
    counts = count(source, num_classes, num_buckets, num_tokens, dim)

    values: dict[str, Any] = params.model_dump(include=set(network.Spec.__dataclass_fields__))
    values |= {
        "num_tokens": num_tokens,
        "num_classes": num_classes,
        "max_length": summary["max_length"],
        "dim": dim,
        "bigram_buckets": num_buckets,
        "num_bigrams": int(counts.bigram_rows(params.bigram_min_count).max(initial=0)),
    }
    return network.Spec(**values), counts


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")
