"""Counts of shards: the sum of any groups of them, in any order, is that in their own order."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.row_counts import MAX_FORMS, Nearest, RowCounts
from components.example_gen.shard_sum import ShardSum, SumShards

LABELS = st.sampled_from(["a", "b", "c"])
SPLITS = st.sampled_from(["train", "eval"])
NUMBERS = st.integers(1, 5)
BY_LABEL = st.dictionaries(SPLITS, st.dictionaries(LABELS, NUMBERS, min_size=1))
NAMES = st.sampled_from([f"n{number}" for number in range(9)])


@st.composite
def counts_of_shard(draw: Any) -> RowCounts:
    num_rows = draw(BY_LABEL)
    return RowCounts(
        num_read=draw(NUMBERS),
        num_bad=draw(st.dictionaries(NAMES, NUMBERS)),
        quoted=draw(st.lists(NAMES, max_size=5)),
        num_rows=num_rows,
        places={
            split: {label: draw(NAMES) for label in labels} for split, labels in num_rows.items()
        },
        dims=draw(st.dictionaries(NAMES, NAMES, max_size=2)),
        nearest={label: Nearest(draw(NUMBERS), draw(NUMBERS)) for label in draw(st.sets(LABELS))},
        left_out=draw(BY_LABEL),
        num_empty_files=draw(NUMBERS),
        empty_files=draw(st.lists(NAMES, max_size=3)),
        num_normalized=draw(NUMBERS),
        written=draw(st.dictionaries(NAMES, NUMBERS)),
        num_swallowed=draw(NUMBERS),
        swallowing=draw(st.lists(NAMES, max_size=5)),
        contents=draw(st.lists(NUMBERS, unique=True, max_size=3)),
    )


def as_lists(counts: RowCounts) -> list[Any]:
    """The counts, with the order of the keys where it says which come first."""
    ordered = [counts.num_bad, counts.dims, counts.written, counts.num_rows, counts.places]
    return [counts, *(list(field) for field in ordered)]


@given(st.lists(counts_of_shard(), min_size=1, max_size=6), st.data())
def test_the_order_of_shards_does_not_matter(shards: list[RowCounts], data: Any) -> None:
    whole = RowCounts()
    for counts in shards:
        whole.merge(counts)

    combine = SumShards()
    accumulators = [combine.create_accumulator() for _ in range(3)]
    for number in data.draw(st.permutations(range(len(shards)))):
        place = data.draw(st.integers(0, 2))
        accumulators[place] = combine.add_input(accumulators[place], (number, shards[number]))

    accumulators = data.draw(st.permutations(accumulators))
    summed = combine.extract_output(combine.merge_accumulators(accumulators))
    assert as_lists(summed) == as_lists(whole)


def test_a_sum_has_one_place_for_each_label_however_many_shards_there_are() -> None:
    one = RowCounts(
        num_read=2,
        num_rows={"train": {"a": 2}},
        places={"train": {"a": "f:1"}},
        written={f"form {number}": 1 for number in range(MAX_FORMS)},
        errors=[["unreadable", 2]],
    )

    whole = ShardSum()
    for number in (2, 0, 1):
        whole.merge(ShardSum.of(number, replace(one, places={"train": {"a": f"f:{number}"}})))

    assert whole.keyed["places"] == {("train", "a"): ((0, 0), "f:0")}
    assert whole.listed["errors"] == [((0, 0), ["unreadable", 2])]
    assert whole.counts() == replace(
        one,
        num_read=6,
        num_rows={"train": {"a": 6}},
        places={"train": {"a": "f:0"}},
        written={f"form {number}": 3 for number in range(MAX_FORMS)},
    )
