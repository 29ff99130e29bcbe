"""Compares a model with the served version on the same rows.

Only rows on which one of them is right and the other wrong tell them apart: rows that only the
served version has right are `lost`, rows that only the model has right are `gained`.
"""

import math

from components.evaluator.metrics import accuracy, macro_f1
from components.evaluator.tally import UNIT, Tally
from seqline.component import Figures
from seqline.intervals import Z_95


def compare_with_served(tally: Tally, allowed: float) -> Figures:
    """The served version's figures on the rows of a tally, and the model's loss against it.

    Args:
        tally: The rows.
        allowed: The accuracy that may be lost.
    """
    num = tally.num_rows
    return {
        "accuracy": accuracy(tally.served_cells),
        "macro_f1": macro_f1(tally.served_cells),
        "cross_entropy": tally.served_loss * UNIT / num,
        "num_lost": tally.lost,
        "num_gained": tally.gained,
        "loss_of_accuracy": (tally.lost - tally.gained) / num,
        "loss_interval": loss_interval(tally.lost, tally.gained, num),
        "p_value": p_value(tally.lost, tally.gained, num, allowed),
    }


def p_value(lost: int, gained: int, num_rows: int, allowed: float) -> float:
    """The p-value of the loss: how probable at least so many lost rows are by chance.

    By chance means that the model's accuracy is the served version's less `allowed`. It is
    McNemar's one-sided test by the binomial distribution; the observed count itself counts half
    (mid-p; M. Fagerland, S. Lydersen and P. Laake, BMC Medical Research Methodology 13:91, 2013).
    Each of the rows that tell the two apart is lost with probability 1/2. If a loss is allowed, the
    probability is the one that gives this loss on average: (1 + allowed * rows / those rows) / 2.
    """
    apart = lost + gained
    probability = min(1.0, (1 + allowed * num_rows / apart) / 2) if apart else 1.0
    if probability >= 1:
        return 1.0
    return (
        binomial_tail(lost, apart, probability) + binomial_tail(lost + 1, apart, probability)
    ) / 2


def binomial_tail(least: int, num: int, probability: float) -> float:
    """P(X >= least) for X successes in `num` trials with this probability, which is in (0, 1)."""
    if least <= 0 or least > num:
        return float(least <= 0)
    if least > num * probability:
        return min(1.0, _sum(least, num, probability, 1))
    return max(0.0, 1 - _sum(least - 1, num, probability, -1))


def _sum(start: int, num: int, probability: float, step: int) -> float:
    """The sum of the probabilities of start, start + step, ...

    The start is on the far side of the mean, so the terms fall. The sum ends when they vanish.
    """
    odds = probability / (1 - probability)
    term = math.exp(
        math.lgamma(num + 1)
        - math.lgamma(start + 1)
        - math.lgamma(num - start + 1)
        + start * math.log(probability)
        + (num - start) * math.log1p(-probability)
    )

    total, count = 0.0, start
    while 0 <= count <= num and term > total * 1e-18:
        total += term
        if step > 0:
            term *= (num - count) / (count + 1) * odds
        else:
            term *= count / (num - count + 1) / odds
        count += step

    return total


def loss_interval(lost: int, gained: int, num_rows: int) -> tuple[float, float]:
    """The 95 % interval of the lost accuracy.

    It adds half a row to each of the four cells (A. Agresti and Y. Min, Statistics in Medicine 24,
    2005).
    """
    rows, one, two = num_rows + 2, lost + 0.5, gained + 0.5
    centre = (one - two) / rows
    half = Z_95 * math.sqrt((one + two) - (one - two) ** 2 / rows) / rows
    return max(-1.0, centre - half), min(1.0, centre + half)
