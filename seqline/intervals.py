"""Confidence intervals."""

import math

# The quantile of the normal distribution that leaves 2.5 % on either side: an interval of this many
# standard errors to both sides covers the true value in 95 % of samples.
Z_95 = 1.959963984540054


def wilson_interval(rate: float, total: int) -> tuple[float, float]:
    """The 95 % score interval of a rate in `total` rows.

    E. B. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    weight = Z_95**2 / total
    centre = (rate + weight / 2) / (1 + weight)
    half = Z_95 * math.sqrt(rate * (1 - rate) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)
