"""The tolerance for a network's answers, and the difference between two answers.

**The measure.** Two answers to a row, p and q, are compared by log-odds. With d_i = log p_i - log
q_i, their difference is max d - min d: the largest change of log(p_i / p_j) over all pairs of
classes. The softmax's normalisation drops out, so this is the largest difference between two
logits' errors, however sure the network is. For example, an output bias that is off by 1e-3 shows
as 1e-3 in every row, although it moves a probability of 0.999 by only 1e-6. A difference of d moves
no probability by more than d / 4, because |dp| = p (1 - p) |d log-odds| <= |d log-odds| / 4.

**The bound of float32.** u = 2**-24 is the unit roundoff. gamma_n = n u / (1 - n u) bounds a sum or
an inner product of n terms in any order: |fl(x y) - x y| <= gamma_n |x| |y| (N. J. Higham, Accuracy
and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1). The order is why batches,
vector units and compilers differ. With U units, E numbers of a step's input, T steps, the recurrent
weights W and the projected input x:

    a step      e_t <= |diag(1 - h_t^2) W| e_{t-1} + c,
                c <= gamma_{U+E+2} (|W| |h| + |x|) + a few u for tanh
    T steps     e_T <= c (L^T - 1) / (L - 1), with L the largest norm of diag(1 - h_t^2) W;
                c T for L = 1
    pooling     e_T for last, the largest e_t for max, the mean of e_t + gamma_T |h| for mean
    logits      |W_out| e + gamma_n |W_out| |h| for n inputs of the classifier;
                the skip branch adds gamma_m |rows| for a mean of m rows
    softmax     2 max |error of a logit| + u |logit_i - logit_j| + a few u, of log(p_i / p_j)

**The noise.** This bound is useless as a tolerance. L is above 1 in trained networks, and 1.1^500
is 5e20, but rounding errors have either sign and grow with about the square root of their number
(N. J. Higham and T. Mary, SIAM J. Sci. Comput. 41, 2019). How much a network amplifies them depends
on its weights alone, and ranges from less than 1 to chaos. So it is measured: the trained network
answers the same rows in float32 and in float64 (Higham's running error analysis, section 3.3, with
a second precision in place of running bounds). The largest difference is the network's `noise`.
Every correct float32 evaluation errs by about as much, and two of them differ by up to about twice
as much. The tolerance is FACTOR times the noise. A network amplifies a defect as it amplifies
rounding, so that the two stay in proportion. docs/exporting.md has the measurements;
benchmarks/parity.py makes them.
"""

from math import ceil, log10

import numpy as np

# The tolerance as a multiple of the noise. The largest measured differences are two to three times
# the noise, and a tenth of the tolerance or less.
FACTOR = 50.0
# The least tolerance, for a network with little noise on few rows: a twentieth of the difference
# that an error of 1e-3 in a bias makes.
LEAST = 5e-5
# The greatest tolerance. It moves a probability by up to 0.0025. The answers of a network with more
# noise than a fiftieth of it are random, as far as float32 can tell.
MOST = 1e-2
# The tolerance for a SavedModel whose noise is unknown.
UNKNOWN = 1e-4
# Smaller probabilities count as this one: float32 has fewer digits below.
SMALLEST = 1e-30


def log_odds_differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference of two answers to each row: the largest change of log(p_i / p_j), [rows].

    It is NaN for a row with a NaN.

    Args:
        one: Probabilities [rows, classes].
        other: Probabilities [rows, classes].
    """
    changes = _log(one) - _log(other)
    return changes.max(axis=-1) - changes.min(axis=-1)


def tolerance(noise: float) -> float:
    """The greatest difference between correct answers of a network with this noise, in log-odds.

    It has two digits, rounded up.
    """
    wanted = min(max(FACTOR * noise, LEAST), MOST)
    digits = 1 - int(np.floor(log10(wanted)))
    # Rounded to nine digits first: 10 * 1e-6 must not become 1.1e-05.
    return ceil(round(wanted * 10**digits, 9)) / 10**digits


def origin(noise: float) -> str:
    """Tells where `tolerance` comes from."""
    if FACTOR * noise < LEAST:
        return "what float32 may do to any network"
    if FACTOR * noise > MOST:
        return f"the most that rounding may do to log-odds; this network's own is {noise:.1e}"
    return f"{FACTOR:g} times the network's own float32 rounding on these rows, {noise:.1e}"


def margins(probabilities: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """The lead of each row's likeliest class over a given class in log-odds, [rows].

    It is 0 if the given class is the likeliest.

    Args:
        probabilities: [rows, classes].
        class_ids: The given class of each row [rows].
    """
    logs = _log(probabilities)
    return logs.max(axis=-1) - np.take_along_axis(logs, class_ids[:, None], axis=-1)[:, 0]


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))
