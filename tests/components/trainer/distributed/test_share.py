"""Workers' shares of the rows, of several workers in threads of this process."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.trainer.counting import count
from components.trainer.distributed.cluster import Cluster
from components.trainer.distributed.share import Share, owners
from components.trainer.distributed.strategy import Team
from components.trainer.input import dataset, shuffled
from components.trainer.interruption import StopSignal
from seqline.data.features import EVAL, TRAIN
from tests.support.training import SEQUENCES, write_features


class ThreadTeam(Team):
    """A worker in a thread, which adds up numbers with the other threads."""

    def __init__(self, number: int, parts: list[np.ndarray], barrier: threading.Barrier) -> None:
        members = tuple(("worker", index, f"h:{index + 1}") for index in range(len(parts)))
        cluster = Cluster(members, number)
        super().__init__(tf.distribute.get_strategy(), None, cluster, StopSignal())
        self.number, self.parts, self.barrier = number, parts, barrier

    def summed(self, values: np.ndarray) -> np.ndarray:
        self.parts[self.number] = values
        self.barrier.wait(30)
        total = np.sum(self.parts, axis=0)
        self.barrier.wait(30)
        return total


def on_workers(
    num_workers: int, source: Path, dim: int, folder: Path, work: Callable[[Share], None]
) -> list[Share]:
    """Does some work on each worker at the same time."""
    parts, barrier = [np.zeros(0)] * num_workers, threading.Barrier(num_workers)
    shares = []
    for number in range(num_workers):
        (folder / f"{num_workers}-{number}").mkdir(parents=True)
        team = ThreadTeam(number, parts, barrier)
        shares.append(Share(team, source, dim, folder / f"{num_workers}-{number}"))

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return shares


def rows_of(batch: Sequence[np.ndarray]) -> list[str]:
    """The rows of a batch, without padding, in some order."""
    inputs, label, *weight = batch
    columns = [*(inputs if isinstance(inputs, tuple) else (inputs,)), label, *weight]
    rows = [[np.asarray(column[row]).tolist() for column in columns] for row in range(len(label))]
    if isinstance(inputs, tuple):
        rows = [[values[:length], length, *rest] for values, length, *rest in rows]
    else:
        rows = [[[token for token in ids if token], *rest] for ids, *rest in rows]
    return sorted(map(json.dumps, rows))


def whole(batches: Sequence[Sequence[Sequence[np.ndarray]]]) -> list[list[str]]:
    """The batches of all workers, put together again."""
    return [
        sorted(row for part in parts for row in rows_of(part))
        for parts in zip(*batches, strict=True)
    ]


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 130 texts in six shards of 20 to 25 rows, with weights, the same in eval."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("weighted")
    rows = [
        {
            "ids": rng.integers(1, 99, rng.integers(0, 9)).tolist(),
            "label": [number % 3],
            "weight": [number / 8],
        }
        for number in range(130)
    ]
    places = np.cumsum([20, 25, 20, 23, 22])
    shards = [list(part) for part in np.split(np.array(rows, object), places)]
    for split in (TRAIN, EVAL):
        write_features(root, split, shards)
    return root


@pytest.mark.parametrize(
    ("num_workers", "pad_to"),
    [
        (3, None),
        *(
            pytest.param(number, pad_to, marks=pytest.mark.slow)
            for number in (2, 4, 6)
            for pad_to in (None, 6)
        ),
    ],
)
def test_workers_read_the_batches_of_one_process_and_each_its_own_rows(
    weighted: Path, tmp_path: Path, num_workers: int, pad_to: int | None
) -> None:
    def batches(share: Share | None) -> tuple[list, list]:
        how = {"num_classes": 3, "batch_size": 16, "pad_to": pad_to}
        paths = share.paths(TRAIN) if share else None
        passes = {"seed": 1, "first_pass": 0, "num_passes": 2, "first_batch": 3}
        train = shuffled(
            weighted, 130, **passes, **how, block_rows=64, is_weighted=True, paths=paths
        )
        held_out = dataset(weighted, EVAL, 130, **how, paths=share.paths(EVAL) if share else None)
        return list(train.as_numpy_iterator()), list(held_out.as_numpy_iterator())

    def index(share: Share) -> None:
        share.index(TRAIN)
        share.index(EVAL)

    shares = on_workers(num_workers, weighted, 0, tmp_path, index)
    alone, together = batches(None), [batches(share) for share in shares]
    for place in (0, 1):
        assert whole([own[place] for own in together]) == whole([alone[place]])

    num_rows = [sum(len(label) for _, label in own[1]) for own in together]
    assert sum(num_rows) == 130
    assert max(num_rows) - min(num_rows) <= 10


def test_rows_of_numbers_and_batches_without_a_row(sequences: Path, tmp_path: Path) -> None:
    def batches(share: Share | None) -> list:
        paths = share.paths(TRAIN) if share else None
        how = {"num_classes": 2, "batch_size": 3, "pad_to": None, "dim": 2}
        return list(dataset(sequences, TRAIN, 40, **how, paths=paths).as_numpy_iterator())

    shares = on_workers(4, sequences, 2, tmp_path, lambda share: share.index(TRAIN))
    together = [batches(share) for share in shares]
    assert whole(together) == whole([batches(None)])
    assert 0 in [len(label) for own in together for _, label in own]
    assert sum(len(label) for own in together for _, label in own) == len(SEQUENCES)


def test_counts_are_those_of_all_workers(weighted: Path, tmp_path: Path) -> None:
    alone, counted = count(weighted, 3, 64, 98, 0), []

    def work(share: Share) -> None:
        counted.append(count(weighted, 3, 64, 98, 0, share))

    on_workers(3, weighted, 0, tmp_path, work)
    assert alone.classes.tolist() == [44, 43, 43]
    for counts in counted:
        assert counts.classes.tolist() == alone.classes.tolist()
        assert counts.bigrams.tolist() == alone.bigrams.tolist()
    assert len(counted) == 3


def test_files_that_are_read_together_are_divided_evenly() -> None:
    assert [owners(file, 4, 2) for file in range(4)] == [(0, 0), (0, 0), (1, 1), (1, 1)]
    assert [owners(file, 4, 4) for file in range(4)] == [(n, n, n, n) for n in range(4)]
    assert [owners(file, 4, 3) for file in range(4)] == [
        *((0, 0, 0), (0, 1, 1), (1, 1, 2), (2, 2, 2))
    ]
    assert owners(0, 1, 3) == owners(4, 5, 3) == (0, 1, 2)
    assert [owners(file, 6, 2) for file in (4, 5)] == [(0, 0), (1, 1)]
    for num_workers in range(1, 20):
        turns = [owner for file in range(4) for owner in owners(file, 4, num_workers)]
        assert np.bincount(turns).tolist() == [4] * num_workers


def test_whole_files_are_read_where_they_are(weighted: Path, tmp_path: Path) -> None:
    first, second = on_workers(2, weighted, 0, tmp_path, lambda share: share.index(TRAIN))
    files = sorted(map(str, (weighted / "Split-train").iterdir()))
    for share, places in ((first, [0, 1, 4]), (second, [2, 3, 5])):
        kept = [place for place, path in enumerate(share.paths(TRAIN)) if path in files]
        assert kept == places
