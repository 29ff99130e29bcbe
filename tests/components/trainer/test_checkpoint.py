from pathlib import Path

import numpy as np
import pytest

from components.trainer import checkpoint
from components.trainer.checkpoint import TrainingProgress
from seqline.errors import UserError


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None

    for step in (1, 2, 3):
        checkpoint.save(
            tmp_path,
            TrainingProgress(step=step, best=(0.5, -1.0)),
            [np.full(2, step)],
            [np.zeros(1)],
        )

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000002.npz",
        "checkpoint-000000003.npz",
    ]
    newest = tmp_path / "checkpoint-000000003.npz"
    newest.write_bytes(newest.read_bytes()[:100])
    assert checkpoint.newest(tmp_path) == 2
    progress, state, best_weights = checkpoint.load(tmp_path, 2)
    with pytest.raises(UserError, match=r"checkpoint-000000003\.npz cannot be read"):
        checkpoint.load(tmp_path, 3)
    assert (progress.step, progress.best) == (2, (0.5, -1.0))
    assert (state[0].tolist(), best_weights[0].tolist()) == ([2, 2], [0])


def test_a_flipped_byte_is_never_taken_for_another_state(tmp_path: Path) -> None:
    """Of a header, of a number, of a member's name in the list of members: every byte."""
    state, best = [np.arange(3, dtype=np.float32), np.ones(2)], [np.zeros(1)]
    written = TrainingProgress(step=1, best=(0.5, -1.0))
    checkpoint.save(tmp_path, written, state, best)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()

    num_refused = 0
    for place in range(len(content)):
        for mask in (0x01, 0xFF):
            damaged = bytearray(content)
            damaged[place] ^= mask
            path.write_bytes(damaged)
            if checkpoint.newest(tmp_path) is None:
                num_refused += 1
                continue
            # What is left are bytes that nothing depends on, such as the time of a member.
            progress, read_state, read_best = checkpoint.load(tmp_path, 1)
            assert progress == written
            for before, after in zip([*state, *best], [*read_state, *read_best], strict=True):
                np.testing.assert_array_equal(before, after, strict=True)
    assert num_refused > len(content)
