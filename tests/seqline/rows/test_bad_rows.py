import re

import pytest

from seqline.errors import DataError
from seqline.rows.bad_rows import NUM_QUOTED, BadRows


@pytest.mark.parametrize(("num_bad", "fraction"), [(29, 0.29), (57, 0.57), (7, 0.07)])
def test_bad_rows_exactly_at_the_limit_pass(num_bad: int, fraction: float) -> None:
    BadRows(num_bad, 100, []).check("example_gen", fraction)
    with pytest.raises(
        DataError, match=rf"^{num_bad + 1} of 100 rows \(.*\) cannot be used; .* allows {num_bad}: "
    ):
        BadRows(num_bad + 1, 100, ["a:3: bad"]).check("example_gen", fraction)


@pytest.mark.parametrize(
    ("num_bad", "num_read", "enough"),
    [
        (1, 40, 0.03),
        (1, 60, 0.02),
        (4, 100, 0.04),
        (2, 3, 0.67),
        (199, 200, 0.995),
        (12, 1003, 0.012),
    ],
)
def test_the_error_names_a_fraction_that_lets_the_rows_pass(
    num_bad: int, num_read: int, enough: float
) -> None:
    bad_rows = BadRows(num_bad, num_read, ["a:3: the text is empty"])
    with pytest.raises(
        DataError,
        match=(
            rf"a:3: the text is empty.*\. Correct them, or set b\.max_bad_fraction to {enough:g} to"
            r" skip and list them\.$"
        ),
    ):
        bad_rows.check("b", 0.01)
    bad_rows.check("b", enough)


def test_where_all_rows_are_bad_no_fraction_helps() -> None:
    with pytest.raises(DataError) as raised:
        BadRows(3, 3, ["a:3: bad"]).check("b", 0.99, "What was computed is kept.")
    assert str(raised.value) == (
        "3 of 3 rows (100.00%) cannot be used; b.max_bad_fraction 0.99 allows 2: a:3: bad ... and 2"
        " more. Correct them. What was computed is kept."
    )


def test_some_bad_rows_are_quoted() -> None:
    rows = [f"a:{line}: bad" for line in range(NUM_QUOTED)]
    assert BadRows(NUM_QUOTED, 9000, rows).listed == "; ".join(rows)
    assert BadRows(NUM_QUOTED + 1000, 9000, rows).listed.endswith("; a:4: bad ... and 1,000 more")
    assert re.fullmatch(r"1,000 of 9,000 rows \(11\.11%\)", BadRows(1000, 9000, rows).share)
