import json
from collections import Counter
from pathlib import Path

import pytest

from components.evaluator.distributed import from_json, read, to_json
from components.evaluator.tally import Calibration, Measured, Tally
from seqline.errors import DataError


def measured() -> Measured:
    made = Measured(
        num_examples=1,
        overall=Tally(
            cells=Counter({(0, 1): 2, (-1, 0): 3}),
            loss=2**70,
            loss_squared=5,
            served_cells=Counter({(1, 1): 4}),
            served_loss=6,
            lost=7,
            gained=8,
        ),
        slices={("lang", "d\ne"): Tally(loss=9)},
        ranks=Counter({0: 10, 3: 1}),
        calibration=Calibration(Counter({14: 11}), Counter({14: 9}), Counter({14: 2**44})),
        num_not_finite=12,
    )
    made.hardest.add([(-0.1, "shard-0", 3, {"label": "a\udc80", "loss": 0.1 + 0.2})])
    made.confidently_wrong.add([(float("inf"), "shard-1", 4, {"label": "b"})])
    return made


def test_what_a_job_writes_is_read_as_it_was() -> None:
    assert from_json(json.loads(json.dumps(to_json(measured())))) == measured()


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"[]", b"{}", b"[" * 100_000])
def test_anything_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_bytes(content)
    with pytest.raises(DataError, match="is not what the evaluator's job wrote"):
        read(tmp_path / "measured.json")
