import numpy as np
import pytest

from components.trainer.pool import CENTER, PULL, Answers, fit_pool
from seqline.model.wide import log_softmax, pooled


def answers(seed: int, rows: int = 200) -> Answers:
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=rows)
    truth = np.eye(3)[labels]
    wide = log_softmax(truth + rng.normal(size=(rows, 3)))
    recurrent = log_softmax(6 * truth + 6 * rng.normal(size=(rows, 3)))  # too sure
    return Answers(wide, recurrent, labels)


def test_no_other_weights_have_a_lower_loss() -> None:
    part = answers(0)

    def loss(weights: np.ndarray) -> float:
        logs = pooled(part.wide, part.recurrent, weights)  # type: ignore[arg-type] - not None
        mean = -logs[np.arange(len(part.labels)), part.labels].mean()
        return float(mean + PULL * ((weights - CENTER) ** 2).sum())

    found = fit_pool([part])
    assert 0 < found[1] < 0.5 < found[0]  # who is too sure counts less
    for step in ([0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01]):
        assert loss(found + np.array(step)) > loss(found)


def test_shards_are_pooled_together() -> None:
    one, two = answers(0), answers(1)
    assert one.recurrent is not None
    assert two.recurrent is not None
    joined = Answers(
        np.concatenate([one.wide, two.wide]),
        np.concatenate([one.recurrent, two.recurrent]),
        np.concatenate([one.labels, two.labels]),
    )
    assert fit_pool([one, two]) == pytest.approx(fit_pool([joined]))
