from dataclasses import replace
from pathlib import Path

import pytest

from seqline.errors import UserError
from seqline.host import memory
from seqline.model import network, size
from tests.support.networks import SPEC

SPECS = {
    "as it is": {},
    "two directions": {"bidirectional": True, "pooling": "mean_max"},
    "three layers": {"num_layers": 3, "bidirectional": True},
    "wide embedding": {"embedding_dim": 7},
    "no skip branch": {"skip_dim": 0},
    "bigrams": {"bigram_buckets": 8, "num_bigrams": 4},
    "sequences": {"num_tokens": 0, "dim": 2, "word_dropout": 0.0, "num_layers": 2},
}


@pytest.mark.parametrize("changes", SPECS.values(), ids=SPECS)
def test_the_number_of_parameters_is_that_of_the_network(changes: dict[str, object]) -> None:
    spec = replace(SPEC, **changes)  # type: ignore[arg-type]  # mypy cannot know the fields
    model = network.build(spec)
    trained = sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)
    assert sum(size.num_parameters(spec).values()) == trained


def test_what_cannot_be_trained_on_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # embedding 11 x 4, recurrence 4 x 5 + 5 x 5 + 5, skip branch 11 x 3, labels 9 x 3
    spec = replace(SPEC, num_classes=3)
    assert sum(size.num_parameters(spec).values()) == 44 + 50 + 33 + 27 == 154

    monkeypatch.setattr(size, "total_bytes", lambda: 154 * 16)
    size.check(spec)
    monkeypatch.setattr(size, "total_bytes", lambda: None)
    size.check(spec)
    monkeypatch.setattr(size, "total_bytes", lambda: 154 * 16 - 1)
    with pytest.raises(UserError, match=r"would have 154 parameters .* Lower trainer\.rnn_units\."):
        size.check(spec)
    with pytest.raises(UserError, match=r"Lower tuner\.ranges\.rnn_units\."):
        size.check(spec, "tuner.ranges.rnn_units")

    # A row of 1,000 steps holds 4 * 1,000 * 5 bytes of states, if padding is read like text.
    monkeypatch.setattr(size, "total_bytes", lambda: 20_000)
    size.check(replace(spec, max_length=1000))
    with pytest.raises(UserError, match=r"Lower transform\.max_length\."):
        size.check(replace(spec, max_length=1000, masking=False))


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemTotal:  1000 kB\nMemFree:  1 kB\nSwapTotal:  10 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUP_LIMITS", (limit,))

    assert memory.total_bytes() == 1010 * 1024
    limit.write_text("max\n")
    assert memory.total_bytes() == 1010 * 1024
    limit.write_text("512000\n")
    assert memory.total_bytes() == 512000 + 10 * 1024
