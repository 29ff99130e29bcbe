"""Where training runs: on devices of this machine, or on several workers that TF_CONFIG names.

Several workers make the steps that one device would make: each of them reads the same batches in
the same order and takes its own rows of every one.
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
from components.trainer.interruption import Notice
from seqline.errors import LostWorkerError, StoppedError, UserError

log = logging.getLogger("seqline.trainer")

# What a collective raises when another worker is gone, by whom it noticed.
COLLECTIVE_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
    tf.errors.FailedPreconditionError,
)
# How long it may take until one knows who that was.
NAME_SECONDS = 15.0


class Team:
    """The replicas that make a step together.

    step: of the checkpoint to go on from, which the chief chose; None to begin. is_chief: this
    process writes what is written.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        step: int | None,
        cluster: Cluster | None,
        notice: Notice,
    ) -> None:
        self.strategy = strategy
        self.step = step
        self.cluster = cluster
        self.notice = notice
        self.is_chief = cluster is None or cluster.is_chief
        self._sum = tf.function(self._sum_over_workers, autograph=False)

    def distributed(self, dataset: tf.data.Dataset) -> Any:
        """Global batches -> an iterable of what each replica gets of them.

        Not beyond the last batch.
        """
        options = tf.data.Options()
        # Nothing in the input is left to be tuned, and an iterator that goes can wait for its
        # tuner, which sleeps for up to a minute.
        options.autotune.enabled = False
        dataset = dataset.with_options(options)
        # Nor in what fetches batches to a device, which takes no such option; a CPU has them
        # already.
        is_fetched = any("GPU" in name for name in self.strategy.extended.worker_devices)
        fetching = tf.distribute.InputOptions(experimental_fetch_to_device=is_fetched)
        if self.cluster is None:
            return self.strategy.experimental_distribute_dataset(dataset, fetching)
        num_replicas = self.strategy.num_replicas_in_sync
        num_local = num_replicas // len(self.cluster.members)
        first = self.cluster.number * num_local
        replicas = range(first, first + num_local)
        # Nobody asks beyond the last batch: told that there is no end, TensorFlow does not ask all
        # workers before each batch.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        # By our own slices: TensorFlow's sharding would leave an uneven last batch to one worker
        # and nothing to others.
        return self.strategy.distribute_datasets_from_function(
            lambda _: sliced(dataset, replicas, num_replicas).apply(endless), fetching
        )

    def consult(self, seconds: float) -> tuple[str, float]:
        """(who asked to stop, "" for nobody.

        The mean of `seconds` over the workers), the same on all of them.
        """
        if self.cluster is None:
            return self.notice.signal, seconds
        flags = np.zeros(len(self.cluster.members) + 1)
        flags[self.cluster.number], flags[-1] = bool(self.notice.signal), seconds
        *asked, total = self._sum(tf.constant(flags)).numpy().tolist()
        names = [self.cluster.name(number) for number, flag in enumerate(asked) if flag]
        own = f"{self.notice.signal} to " if self.notice.signal else "a signal to "
        return own + " and ".join(names) if names else "", total / len(asked)

    def _sum_over_workers(self, flags: tf.Tensor) -> tf.Tensor:
        def replica() -> tf.Tensor:
            # An operation of the replica: a collective asks its input where to work.
            own = tf.identity(flags) / num_local
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        assert self.cluster is not None, "one process has nobody to consult"
        num_local = self.strategy.num_replicas_in_sync / len(self.cluster.members)
        return self.strategy.experimental_local_results(self.strategy.run(replica))[0]


def sliced(dataset: tf.data.Dataset, replicas: range, num_replicas: int) -> tf.data.Dataset:
    """Global batches -> the slices of these replicas, one after the other.

    As even as can be, and empty where rows are few.
    """

    def part(*batch: Any, number: tf.Tensor) -> Any:
        num_rows = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]
        start, end = num_rows * number // num_replicas, num_rows * (number + 1) // num_replicas
        return tf.nest.map_structure(lambda each: each[start:end], batch)

    def parts(*batch: Any) -> tf.data.Dataset:
        return tf.data.Dataset.range(replicas.start, replicas.stop).map(
            lambda number: part(*batch, number=number)
        )

    return dataset.flat_map(parts).prefetch(2)


@contextmanager
def team(
    devices: Sequence[str] | int | None,
    limit: float,
    card: Message,
    choose: Callable[[], int | None],
    notice: Notice,
) -> Iterator[Team]:
    """The team of this process, until the end of the block.

    devices, limit: `TrainerParams.devices` and `worker_wait_seconds`. card: what has to be the same
    on all workers. choose: gives the step of the checkpoint to go on from; asked on the chief only.
    Has to come before TensorFlow's first operation in this process where TF_CONFIG names several
    workers.

    Raises UserError for devices that are not there and workers that do not come; LostWorkerError,
    from the block, for one that is lost.
    """
    cluster = clusters.read()
    if cluster is None:
        found = [each.name.removeprefix("/device:") for each in tf.config.list_logical_devices()]
        with alone():
            strategy = tf.distribute.MirroredStrategy(
                [f"/{name}" for name in chosen(devices, found)]
            )
        log.info(
            "training on %d replica(s): %s",
            strategy.num_replicas_in_sync,
            ", ".join(strategy.extended.worker_devices),
        )
        yield Team(strategy, choose(), None, notice)
        return
    names = _make_visible(devices)

    def look() -> None:
        if notice.signal:
            raise StoppedError("while waiting for the other workers", notice.signal)

    links, decision = meet(
        cluster,
        {**card, "devices": len(names)},
        {"step": choose() if cluster.is_chief else None},
        limit,
        look,
    )
    is_orderly = False
    try:
        with _losses_named(cluster, links):
            links.on_lost = _abort
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
            notice.listen()  # TensorFlow takes SIGTERM for itself
            log.info(
                "%s: training on %d replica(s) of %d workers",
                cluster.name(cluster.number),
                strategy.num_replicas_in_sync,
                len(cluster.members),
            )
            yield Team(strategy, decision["step"], cluster, notice)
        is_orderly = True
    except LostWorkerError:
        raise
    except UserError:  # all of them came to the same
        is_orderly = True
        raise
    finally:
        links.close(is_orderly)


@contextmanager
def _losses_named(cluster: Cluster, links: Links) -> Iterator[None]:
    """Says which worker it was instead of what TensorFlow saw of it."""
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
    """Without TF_CONFIG: a training within is this process's own.

    (MirroredStrategy reads it, too: an empty one is an error to it, and one with a single worker
    changes its devices' names.)
    """
    text = os.environ.pop(clusters.VARIABLE, None)
    try:
        yield
    finally:
        if text is not None:
            os.environ[clusters.VARIABLE] = text


def _abort() -> None:
    """Ends the collective that waits for a lost worker.

    Without this only TensorFlow's own time limits would.
    """
    from tensorflow.python.eager import context

    context.context().abort_collective_ops(tf.errors.UNAVAILABLE, "another worker was lost")


def chosen(devices: Sequence[str] | int | None, found: Sequence[str]) -> list[str]:
    """Names such as "GPU:0" of those to train on, out of those that TensorFlow found.

    Raises UserError for one that is not there.
    """
    gpus = [name for name in found if name.startswith("GPU:")]
    if devices is None:
        return gpus or ["CPU:0"]
    here = f"here are {', '.join(found)}"
    if isinstance(devices, int):
        if devices > len(gpus):
            raise UserError(
                f"trainer.devices = {devices} means as many GPUs; {here}. Lower it, or leave it out"
                " for every GPU or the CPU."
            )
        return gpus[:devices]
    names = [name.upper() for name in devices]
    if missing := [name for name in names if name not in found]:
        raise UserError(
            f"trainer.devices names {', '.join(missing)}; {here}. Name some of these, or leave it"
            " out for every GPU or the CPU."
        )
    return names


def _make_visible(devices: Sequence[str] | int | None) -> list[str]:
    """Hides the GPUs that are not chosen.

    MultiWorkerMirroredStrategy takes all that it sees. Starts nothing in TensorFlow.
    """
    physical = {
        each.name.removeprefix("/physical_device:"): each
        for each in tf.config.list_physical_devices()
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
