"""Training as Keras does it: compile and fit, under a distribution strategy."""

import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components import features, network
from components.base import Figures, UserError
from components.trainer import TrainerParams
from components.trainer.input import dataset

log = logging.getLogger("seqline.trainer")

# The cosine schedule ends at this fraction of the learning rate.
LAST_RATE = 0.05
# Steps that one call of the compiled training function makes: 4 save a tenth of the time. With several replicas Keras's
# loop over steps cannot hold a loop over a text of any length, so there it is one.
STEPS_PER_EXECUTION = 4
# Steps of an epoch over numeric sequences, at least, unless given: such sets are small. Eight epochs of the 270 rows of Japanese
# Vowels would be 32 steps, and a cross-validated accuracy of .91 in place of .98 (benchmarks/sequences.py).
SEQUENCE_EPOCH_STEPS = 32


def fit(source: Path, params: TrainerParams, output: Path) -> Figures:
    """Fits the network, writes it to `output` and returns its figures. See `components.trainer.run`."""
    # The same seed gives the same weights, bit for bit, on one kind of device.
    keras.utils.set_random_seed(params.seed)
    tf.config.experimental.enable_op_determinism()
    spec = network_spec(source, params)
    strategy = tf.distribute.MirroredStrategy()
    log.info("training on %d replica(s): %s", strategy.num_replicas_in_sync, ", ".join(strategy.extended.worker_devices))
    shape: dict[str, Any] = {"num_classes": spec.num_classes, "pad_to": None if spec.masking else spec.max_length}
    shape |= {"batch_size": params.batch_size, "dim": spec.dim}
    num_rows = _summary(source)["num_rows"]
    train = dataset(source, features.TRAIN, num_rows[features.TRAIN], shuffle_seed=params.seed, **shape)
    train = train.repeat(passes_per_epoch(params, len(train), spec.dim))
    held_out = dataset(source, features.EVAL, num_rows[features.EVAL], **shape)
    num_steps = len(train) * params.num_epochs
    with strategy.scope():
        model = network.build(spec)
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate(params, num_steps), global_clipnorm=params.clip_norm or None),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=params.label_smoothing),
            metrics=["accuracy"],
            steps_per_execution=STEPS_PER_EXECUTION if strategy.num_replicas_in_sync == 1 else 1,
            jit_compile=False,  # not possible with several replicas
        )
    best = BestEpoch(params)
    board = keras.callbacks.TensorBoard(str(output / "tensorboard"), write_graph=False)
    history = model.fit(
        train,
        validation_data=held_out,
        epochs=params.num_epochs,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.TerminateOnNaN(), best, board],
    ).history
    best.restore()
    network.save(model, spec, output)
    history = {name: [float(value) for value in values] for name, values in sorted(history.items())}
    (output / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    return {
        "num_parameters": model.count_params(),
        "num_epochs": len(history["loss"]),
        "best_epoch": best.epoch,
        "train_accuracy": history["accuracy"][best.epoch - 1],
        "eval_accuracy": history["val_accuracy"][best.epoch - 1],
        "eval_loss": history["val_loss"][best.epoch - 1],
    }


def network_spec(source: Path, params: TrainerParams) -> network.Spec:
    """The network for a transform's content, vocabularies and max_length."""
    summary, vocabularies = _summary(source), source / "vocabularies"
    dim = summary.get("dim") or 0
    shared = params.model_dump(include=set(network.Spec.__dataclass_fields__))
    return network.Spec(
        num_tokens=0 if dim else _num_lines(vocabularies / features.TOKENS_VOCABULARY),
        num_classes=_num_lines(vocabularies / features.LABELS_VOCABULARY),
        max_length=summary["max_length"],
        dim=dim,
        **shared,
    )


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _summary(source: Path) -> Any:
    return json.loads((source / "transform.json").read_text())


def passes_per_epoch(params: TrainerParams, num_steps: int, dim: int) -> int:
    """How often an epoch goes over the train split, which takes num_steps: see `TrainerParams.min_epoch_steps`."""
    wanted = params.min_epoch_steps or (SEQUENCE_EPOCH_STEPS if dim else 1)
    return math.ceil(wanted / num_steps)


def learning_rate(params: TrainerParams, num_steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate over all steps of the run."""
    if params.schedule == "constant":
        return params.learning_rate
    return keras.optimizers.schedules.CosineDecay(params.learning_rate, num_steps, alpha=LAST_RATE)


class BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, stops after `patience` epochs without a better one, and says how it goes."""

    def __init__(self, params: TrainerParams) -> None:
        super().__init__()
        self.trainer_params = params  # Keras sets `params` to a dict of its own
        self.best = (-math.inf, -math.inf)
        self.epoch = 0
        self.weights: list[Any] = []
        self.started = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        number = epoch + 1
        if not (math.isfinite(logs["loss"]) and math.isfinite(logs["val_loss"])):
            raise UserError(
                f"The loss of epoch {number} is {logs['loss']}, on the eval split {logs['val_loss']}: training diverged at trainer.learning_rate {self.trainer_params.learning_rate}. "
                "Lower it, or set trainer.clip_norm."
            )
        score = (logs["val_accuracy"], -logs["val_loss"])
        if score > self.best:
            self.best, self.epoch, self.weights = score, number, self.model.get_weights()
        elif number - self.epoch >= self.trainer_params.patience:
            self.model.stop_training = True
        left = (time.monotonic() - self.started) / number * (self.trainer_params.num_epochs - number)
        log.info(
            "epoch %d/%d: loss %.3f, accuracy %.3f, eval accuracy %.3f%s",
            *(number, self.trainer_params.num_epochs, logs["loss"], logs["accuracy"], logs["val_accuracy"]),
            "" if self.model.stop_training or not left else f", {left:.0f} s left at most",
        )

    def restore(self) -> None:
        """Gives the model the best epoch's weights back."""
        self.model.set_weights(self.weights)
