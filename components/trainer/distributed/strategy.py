"""Where training runs: on devices of this machine, or on several workers that TF_CONFIG names.

Several workers make the steps that one device would make: each composes the same batches in the
same order and reads its own rows of every batch.

    a batch of 8 rows        worker 0, two replicas    [0 3] [4 7]
                             worker 1, two replicas    [1 2] [5 6]
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from components.trainer.distributed import cluster as clusters
from components.trainer.distributed.cluster import Cluster
from components.trainer.distributed.links import Links, Message
from components.trainer.distributed.rendezvous import meet
from components.trainer.interruption import StopSignal
from seqline.errors import LostWorkerError, StoppedError, UserError

log = logging.getLogger("seqline.trainer")

# What a collective may raise when another worker is gone.
COLLECTIVE_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
    tf.errors.FailedPreconditionError,
)
# Numbers that `Team.summed` sends at once.
CHUNK = 2**16
# How long it may take to learn which worker that was.
NAME_SECONDS = 15.0


class Team:
    """The replicas that make a step together.

    Attributes:
        step: of the checkpoint to continue from, which the chief chose; None to begin.
        is_chief: whether this process writes the files.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        step: int | None,
        cluster: Cluster | None,
        stop_signal: StopSignal,
    ) -> None:
        self.strategy = strategy
        self.step = step
        self.cluster = cluster
        self.stop_signal = stop_signal
        self.is_chief = cluster is None or cluster.is_chief
        self._sum = tf.function(self._sum_over_workers, autograph=False)

    def distributed(self, dataset: tf.data.Dataset) -> Any:
        """Splits batches over the replicas. Do not ask for more than there are batches.

        Args:
            dataset: global batches; with several workers this one's own rows of them.
        """
        options = tf.data.Options()
        # Nothing in the input needs tuning, and an iterator that ends can wait for its tuner, which
        # sleeps for up to a minute.
        options.autotune.enabled = False
        dataset = dataset.with_options(options)

        # What fetches batches to a device has a tuner, too, and takes no such option; a CPU needs
        # no fetching.
        is_fetched = any("GPU" in name for name in self.strategy.extended.worker_devices)
        if self.strategy.num_replicas_in_sync == 1 and not is_fetched:
            return dataset  # What splits batches would cost a fifth of a short step.

        fetching = tf.distribute.InputOptions(experimental_fetch_to_device=is_fetched)
        if self.cluster is None:
            return self.strategy.experimental_distribute_dataset(dataset, fetching)

        num_local = self.strategy.num_replicas_in_sync // len(self.cluster.members)
        # Nothing reads beyond the last batch. Told that batches never end, TensorFlow does not ask
        # all workers before each one.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        # Our own slices: TensorFlow's sharding would leave an uneven last batch to one worker and
        # nothing to the others.
        return self.strategy.distribute_datasets_from_function(
            lambda _: sliced(dataset, num_local).apply(endless), fetching
        )

    def sync_stop(self, seconds: float) -> tuple[str, float]:
        """Exchanges between the workers whether to stop.

        Returns:
            (who asked to stop, "" if none did; the mean of `seconds` over the workers), the same on
            all of them.
        """
        if self.cluster is None:
            return self.stop_signal.name, seconds

        flags = np.zeros(len(self.cluster.members) + 1)  # one for each worker, then the seconds
        flags[self.cluster.number] = bool(self.stop_signal.name)
        flags[-1] = seconds
        *asked, total = self._sum(tf.constant(flags)).numpy().tolist()
        mean_seconds = total / len(asked)

        names = [self.cluster.name(number) for number, flag in enumerate(asked) if flag]
        if not names:
            return "", mean_seconds
        return f"{self.stop_signal.name or 'a signal'} to {' and '.join(names)}", mean_seconds

    def summed(self, values: np.ndarray) -> np.ndarray:
        """The sums over the workers of whole numbers [n], int64; n is the same on all of them."""
        sums = np.zeros(len(values), np.int64)
        for first in range(0, len(values), CHUNK):
            part = values[first : first + CHUNK]
            # Chunks of one size need one compilation.
            chunk = np.pad(part.astype(np.float64), (0, CHUNK - len(part)))
            sums[first : first + CHUNK] = np.rint(self._sum(tf.constant(chunk)))[: len(part)]
        return sums

    def _sum_over_workers(self, flags: tf.Tensor) -> tf.Tensor:
        def replica() -> tf.Tensor:
            # An operation of the replica: a collective runs where its input is.
            own = tf.identity(flags) / num_local
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        assert self.cluster is not None, "one process has no other workers"
        num_local = self.strategy.num_replicas_in_sync / len(self.cluster.members)
        return self.strategy.experimental_local_results(self.strategy.run(replica))[0]


def sliced(dataset: tf.data.Dataset, num_slices: int) -> tf.data.Dataset:
    """Cuts each batch into the slices of a worker's replicas, one after the other.

    Slices are as even as possible, and empty where rows are few.
    """

    def slice_of(*batch: Any, number: tf.Tensor) -> Any:
        num_rows = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]
        start = num_rows * number // num_slices
        end = num_rows * (number + 1) // num_slices
        return tf.nest.map_structure(lambda tensor: tensor[start:end], batch)

    def slices(*batch: Any) -> tf.data.Dataset:
        return tf.data.Dataset.range(num_slices).map(lambda number: slice_of(*batch, number=number))

    return dataset.flat_map(slices).prefetch(2)


@contextmanager
def team(
    devices: Sequence[str] | int | None,
    limit: float,
    must_match: Message,
    choose: Callable[[], int | None],
    stop_signal: StopSignal,
) -> Iterator[Team]:
    """Makes the team of this process, until the end of the block.

    Where TF_CONFIG names several workers, this has to come before TensorFlow's first operation in
    the process.

    Args:
        devices, limit: `TrainerParams.devices` and `worker_wait_seconds`.
        must_match: what has to be the same on all workers.
        choose: gives the step of the checkpoint to continue from; called on the chief only.

    Raises:
        UserError: a device does not exist, or a worker does not come.
        LostWorkerError: from the block, when another worker is lost.
    """
    cluster = clusters.read()
    if cluster is None:
        yield Team(_mirrored(devices), choose(), None, stop_signal)
        return

    names = _make_visible(devices)

    def check_stop() -> None:
        if stop_signal.name:
            raise StoppedError("while waiting for the other workers", stop_signal.name)

    links, decision = meet(
        cluster,
        {**must_match, "devices": len(names)},
        {"step": choose() if cluster.is_chief else None},
        limit,
        check_stop,
    )

    is_orderly = False
    try:
        with _losses_named(cluster, links):
            links.on_lost = _abort
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
            stop_signal.listen()  # TensorFlow takes SIGTERM for itself
            log.info(
                "%s: training on %d replica(s) of %d workers",
                cluster.name(cluster.number),
                strategy.num_replicas_in_sync,
                len(cluster.members),
            )
            yield Team(strategy, decision["step"], cluster, stop_signal)

        is_orderly = True
    except (StoppedError, UserError):  # All workers raise the same.
        is_orderly = True
        raise
    finally:
        links.close(is_orderly)


def _mirrored(devices: Sequence[str] | int | None) -> tf.distribute.Strategy:
    """The strategy of a process that trains alone."""
    logical = tf.config.list_logical_devices()
    existing = [device.name.removeprefix("/device:") for device in logical]
    with alone():
        names = [f"/{name}" for name in chosen(devices, existing)]
        strategy = tf.distribute.MirroredStrategy(names)

    log.info(
        "training on %d replica(s): %s",
        strategy.num_replicas_in_sync,
        ", ".join(strategy.extended.worker_devices),
    )
    return strategy


@contextmanager
def _losses_named(cluster: Cluster, links: Links) -> Iterator[None]:
    """Raises an error that names the lost worker in place of TensorFlow's."""
    try:
        yield
    except COLLECTIVE_ERRORS as error:
        gone = links.who_is_gone(NAME_SECONDS)
        if not gone:
            raise

        log.info("%s", error)
        names = "; ".join(f"{cluster.name(number)} {how}" for number, how in sorted(gone.items()))
        raise LostWorkerError(
            f"{names} while training. Run the same command on all {len(cluster.members)} workers"
            " again: it goes on from the last checkpoint."
        ) from None


@contextmanager
def alone() -> Iterator[None]:
    """Hides TF_CONFIG, so that a training within the block is this process's own.

    MirroredStrategy reads it, too: it refuses an empty one, and one with a single worker changes
    the names of its devices.
    """
    text = os.environ.pop(clusters.VARIABLE, None)
    try:
        yield
    finally:
        if text is not None:
            os.environ[clusters.VARIABLE] = text


def _abort() -> None:
    """Ends the collective that waits for a lost worker, before TensorFlow's own time limits do."""
    from tensorflow.python.eager import context

    context.context().abort_collective_ops(tf.errors.UNAVAILABLE, "another worker was lost")


def chosen(devices: Sequence[str] | int | None, existing: Sequence[str]) -> list[str]:
    """Chooses the devices to train on.

    Args:
        devices: see `TrainerParams.devices`.
        existing: the names of all devices, such as "GPU:0".

    Raises:
        UserError: a device does not exist.
    """
    gpus = [name for name in existing if name.startswith("GPU:")]
    if devices is None:
        return gpus or ["CPU:0"]

    here = f"here are {', '.join(existing)}"
    if isinstance(devices, int):
        if devices > len(gpus):
            raise UserError(
                f"trainer.devices = {devices} means as many GPUs; {here}. Lower it, or leave it out"
                " for every GPU or the CPU."
            )
        return gpus[:devices]

    names = [name.upper() for name in devices]
    if missing := [name for name in names if name not in existing]:
        raise UserError(
            f"trainer.devices names {', '.join(missing)}; {here}. Name some of these, or leave it"
            " out for every GPU or the CPU."
        )
    return names


def _make_visible(devices: Sequence[str] | int | None) -> list[str]:
    """Hides the GPUs that are not chosen; returns the names of the chosen devices.

    MultiWorkerMirroredStrategy uses all that it sees. Starts nothing in TensorFlow.
    """
    physical = {
        device.name.removeprefix("/physical_device:"): device
        for device in tf.config.get_visible_devices()
    }
    names = chosen(devices, list(physical))
    gpus = [physical[name] for name in names if name.startswith("GPU:")]
    if not gpus and len(names) > 1:
        raise UserError(
            f"trainer.devices names {', '.join(names)}; with TF_CONFIG a worker trains on GPUs or"
            " on one CPU:0."
        )

    tf.config.set_visible_devices(gpus, "GPU")
    return names
