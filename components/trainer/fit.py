"""Fits both parts to Features, from the first step or from wherever an earlier run got to."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer import START_FILE, TrainerParams, board, checkpoint, external_digest
from components.trainer import wide as wide_part
from components.trainer.counting import Counts, count
from components.trainer.cut import cut
from components.trainer.distributed import cluster, strategy
from components.trainer.distributed.links import Message
from components.trainer.distributed.share import Share
from components.trainer.distributed.strategy import Team
from components.trainer.interruption import StopSignal
from components.trainer.pool import pool
from components.trainer.training import OnEpoch, Training
from seqline.component import Figures
from seqline.data import features, ngrams
from seqline.data.transform_summary import content_of, read_summary
from seqline.digests import digest
from seqline.errors import StoppedError, UserError
from seqline.host.progress import tell
from seqline.model import network, size
from seqline.model.spec import write_settings, write_spec
from seqline.model.wide import WIDE, Wide
from seqline.storage.staging import local_copy


def fit(
    source: Path,
    params: TrainerParams,
    output: Path,
    work: Path,
    on_epoch: OnEpoch = lambda epoch, figures: None,
    is_trial: bool = False,
) -> Figures:
    """Fits the network, writes it to `output` and returns its figures.

    See `components.trainer.run`.

    Args:
        source: the Features.
        on_epoch: called for each epoch, in order, also for those before a checkpoint. What it
            raises ends the training.
        is_trial: whether only the figures count: TensorBoard then gets no more than curves.
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
        tempfile.TemporaryDirectory(prefix="seqline-rows-") as folder,
    ):
        tell("counting the train split")
        dim = read_summary(source).get("dim") or 0
        share = Share(team, source, dim, Path(folder)) if team.cluster else None
        spec, counts = network_spec(source, params, share)
        figures, training = {}, None
        has_board = team.is_chief and not is_trial
        if has_board:
            board.write_settings(params, spec, output)
        if spec.recurrent:
            size.check(spec)
            tell("building the network")
            training = Training(source, params, spec, counts, team, work, share)
            training.run(output, on_epoch)
            figures = _figures(training)
        if team.is_chief:
            _write_model(training, spec, source, output)
            write_settings(params.key_fields(), output)
        if spec.wide:
            class_weights = counts.class_weights() if params.class_weights == "balanced" else None
            wide = _Wide(source, params, spec, class_weights, team, work)
            figures |= wide.run(training, output)
        if has_board:
            if training is not None:
                board.write_network(training.loop.model, spec, source, output)
            board.write_scores(figures, output)
    return figures


def _figures(training: Training) -> Figures:
    """Those of the recurrent part."""
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


class _Wide:
    """The wide part of a Model, which the chief fits while the other workers wait."""

    def __init__(
        self,
        source: Path,
        params: TrainerParams,
        spec: network.Spec,
        class_weights: np.ndarray | None,
        team: Team,
        work: Path,
    ) -> None:
        self.source = source
        self.params = params
        ones = np.ones(spec.num_classes, np.float32)
        self.class_weights = ones if class_weights is None else class_weights
        self.team = team
        self.work = work
        self.num_classes = spec.num_classes

    def run(self, training: Training | None, output: Path) -> Figures:
        """Fits it, pools it with the recurrent part and writes both; returns their figures.

        The figures are of the fit to train alone, of which the eval split can judge.

        Raises:
            StoppedError: a signal ended the fit, on any worker.
        """
        if not self.team.is_chief:
            while not self._sync(0.0):
                pass
            return {}

        wide = cut(self._fit(self.work), self.source)
        tell("pooling")
        model = training.loop.model if training else None
        weights, figures = pool(wide, model, self.source)

        both = (features.TRAIN, features.EVAL)
        wide = self._fit(self.work / "both", splits=both, kept=wide.features)
        replace(wide, pool=weights).write(output / WIDE)
        self._sync(1.0)
        return {"num_wide_features": len(wide.features), "pool": weights.tolist(), **figures}

    def _fit(self, work: Path, **arguments: Any) -> Wide:
        fitted = wide_part.Fit(self.source, self.params, self.class_weights, work, **arguments)
        return fitted.run(lambda: self._sync(0.0))

    def _sync(self, done: float) -> bool:
        """Whether the chief is done. Raises StoppedError if a worker was asked to stop."""
        stop_reason, mean = self.team.sync_stop(done)
        if stop_reason:
            raise StoppedError("while fitting the wide part", stop_reason)
        return mean > 0


def _must_match(source: Path, params: TrainerParams) -> Message:
    """The values that have to be the same on all workers."""
    must_match = {f"trainer.{name}": value for name, value in params.key_fields().items()}
    must_match["features"] = digest(read_summary(source))
    # A process that trains alone needs what it starts from for the first step only.
    if cluster.read():
        must_match["what trainer.warm_start and trainer.embeddings hold"] = external_digest(params)
    return must_match


def _write_model(training: Training | None, spec: network.Spec, source: Path, output: Path) -> None:
    """Writes all but the wide part."""
    shutil.copytree(local_copy(source / "vocabularies"), output / "vocabularies")
    if training is None:
        write_spec(spec, output)
        return

    with training.team.strategy.scope():
        training.loop.restore_weights(training.best_weights)
    network.save(training.loop.model, spec, output)
    history = dict(sorted(training.progress.history.items()))
    (output / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    if training.params.warm_start:
        started_from = training.progress.started_from["warm_start"]
        (output / START_FILE).write_text(json.dumps(started_from, indent=2) + "\n")


def network_spec(
    source: Path, params: TrainerParams, share: Share | None = None
) -> tuple[network.Spec, Counts]:
    """The network for a transform's content, vocabularies and max_length.

    Args:
        share: of this worker, where several read the train split.

    Returns:
        (the spec, what was counted for it in the train split).
    """
    summary, vocabularies = read_summary(source), source / "vocabularies"
    dim = summary.get("dim") or 0
    num_tokens = 0 if dim else _num_lines(vocabularies / features.TOKENS_VOCABULARY)
    num_classes = _num_lines(vocabularies / features.LABELS_VOCABULARY)
    has_wide = _has_wide(source, params, num_classes)
    skip_dim = params.skip_dim_beside(has_wide)
    has_bigrams = params.recurrent and skip_dim and not dim
    num_buckets = params.bigram_buckets if has_bigrams else 0
    counts = count(source, num_classes, num_buckets, num_tokens, dim, share)

    values: dict[str, Any] = params.model_dump(include=set(network.Spec.__dataclass_fields__))
    values |= {
        "num_tokens": num_tokens,
        "num_classes": num_classes,
        "max_length": summary["max_length"],
        "dim": dim,
        "bigram_buckets": num_buckets,
        "num_bigrams": int(counts.bigram_rows(params.bigram_min_count).max(initial=0)),
        "skip_dim": skip_dim,
        "wide": has_wide,
    }
    return network.Spec(**values), counts


def _has_wide(source: Path, params: TrainerParams, num_classes: int) -> bool:
    """Whether the Model gets a wide part.

    Raises:
        UserError: it should get one, and the Features have no n-grams.
    """
    is_sequence = content_of(read_summary(source)) == features.SEQUENCE
    has_wide = params.wide and not is_sequence and num_classes > 1
    if not has_wide and not params.recurrent:
        what = "Sequences have" if is_sequence else "A single class has"
        raise UserError(
            f"{what} no wide part, and trainer.recurrent is false. Set trainer.recurrent = true."
        )
    if has_wide and not (source / ngrams.TABLE).exists():
        raise UserError(
            f"trainer.wide is true and {source} has no {ngrams.TABLE}: transform.ngrams is 0. Leave"
            " transform.ngrams out, or set trainer.wide = false."
        )
    return has_wide


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")
