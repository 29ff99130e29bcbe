import pytest

from seqline.intervals import wilson_interval


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_the_published_one(
    hits: int, total: int, low: float, high: float
) -> None:
    # 8 of 10 is the textbook example; the others: R. G. Newcombe, Statistics in Medicine 17, 1998,
    # table I, method 3.
    assert wilson_interval(hits / total, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("total", [1, 7, 1000])
def test_wilson_interval_stays_within_0_and_1(total: int) -> None:
    for hits in (0, total):
        low, high = wilson_interval(hits / total, total)
        assert 0 <= low < high <= 1
        assert low <= hits / total + 1e-15
        assert high >= hits / total - 1e-15
