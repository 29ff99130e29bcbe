"""How far float32 may move a network's answers, and how far apart two answers are.

**The measure.** Two answers to a row, p and q, are compared by log-odds: with d_i = log p_i - log
q_i their difference is max d - min d, the largest change of log(p_i / p_j) over all pairs of
classes. The softmax's normalisation drops out, so this is the largest difference between two
logits' errors, however sure the network is: an output bias that is off by 1e-3 shows as 1e-3 in
every row, while it moves a probability of 0.999 by 1e-6 only. A difference of d moves no
probability by more than d / 4, because
|dp| = p (1 - p) |d log-odds| <= |d log-odds| / 4.

**What float32 may do.** u = 2**-24 is the unit roundoff, gamma_n = n u / (1 - n u) the bound of a
sum or an inner product of n terms in any order: |fl(x y) - x y| <= gamma_n |x| |y| (N. J. Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1; the order is why
batches, vector units and compilers differ). With U units, E numbers of a step's input, T steps, W
the recurrent weights and x the input's projection:

    a step      e_t <= |diag(1 - h_t^2) W| e_{t-1} + c,   c <= gamma_{U+E+2} (|W| |h| + |x|) + a few
                u for tanh
    T steps     e_T <= c (L^T - 1) / (L - 1),             L the largest norm of diag(1 - h_t^2) W; c
                T for L = 1
    pooling     e_T for last, the largest e_t for max, the mean of e_t + gamma_T |h| for mean
    logits      |W_out| e + gamma_n |W_out| |h|, n the classifier's inputs; the skip branch adds
                gamma_m |rows| for a mean of m rows
    softmax     2 max |error of a logit| + u |logit_i - logit_j| + a few u, of log(p_i / p_j)

The bound is useless as a tolerance: L is above 1 in trained networks, and 1.1^500 is 5e20, while
rounding errors have either sign and grow with about the square root of their number (N. J. Higham
and T. Mary, SIAM J. Sci. Comput. 41, 2019). How much a network amplifies is in its weights and
nowhere else, from less than 1 to chaos. So it is measured (Higham's running error analysis, section
3.3, with a second precision in place of running bounds): the trained network answers the same rows
in float32 and in float64. Their largest difference is this network's `noise`. Every correct float32
evaluation errs by about as much, two of them differ by up to about twice that, and the tolerance is
FACTOR times the noise. A defect is amplified like rounding is, and so stays in proportion to it.
docs/exporting.md has what was measured; benchmarks/parity.py measures it.
"""

from math import ceil, log10

import numpy as np

# Of the noise. The largest differences that were measured are two to three times the noise, and ten
# times below the tolerance.
FACTOR = 50.0
# Of a network with little noise on few rows: a twentieth of what a bias that is off by 1e-3 does.
LEAST = 5e-5
# A network with more noise than a fiftieth of this answers at random, as far as float32 goes: 1e-2
# is up to 0.0025 of a probability.
MOST = 1e-2
# For a SavedModel that does not say how exact it is.
UNKNOWN = 1e-4
# Smaller probabilities are not told apart: below is where float32 has fewer digits.
SMALLEST = 1e-30


def log_odds_differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The largest change of log(p_i / p_j) of each row, [rows], between probabilities [rows,
    classes]; NaN where one is NaN.
    """
    changes = _log(one) - _log(other)
    return changes.max(axis=-1) - changes.min(axis=-1)


def tolerance(noise: float) -> float:
    """What answers of a network with this noise may differ by, in log-odds.

    Two digits, rounded up.
    """
    wanted = min(max(FACTOR * noise, LEAST), MOST)
    digits = 1 - int(np.floor(log10(wanted)))
    # First to nine digits: 10 * 1e-6 must not become 1.1e-05.
    return ceil(round(wanted * 10**digits, 9)) / 10**digits


def origin(noise: float) -> str:
    """Where `tolerance` comes from, for a message."""
    if FACTOR * noise < LEAST:
        return "what float32 may do to any network"
    if FACTOR * noise > MOST:
        return f"the most that rounding may do to log-odds; this network's own is {noise:.1e}"
    return f"{FACTOR:g} times the network's own float32 rounding on these rows, {noise:.1e}"


def margins(probabilities: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """By how much each row's likeliest class is ahead of the class named, in log-odds, [rows].

    0 where it is that class.
    """
    logs = _log(probabilities)
    return logs.max(axis=-1) - np.take_along_axis(logs, class_ids[:, None], axis=-1)[:, 0]


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
