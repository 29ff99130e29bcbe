"""How often the gates refuse a model that equals the served one, and catch a worse one.

    python -m benchmarks.gates [--retrainings 200] [--repeats 10] [--rows 500 1000 2000 5000]
    [--seed 0]

Retrainings are simulated: the served version is right on 90 % of the test rows; the new model
differs from it on 8 % of them, as two trainings with other seeds do, and loses more than it gains
by as much as it is worse. Rows have one of five labels and one of four lengths: the gates judge
overall and nine slices, and a refusal by either counts. Settings are the defaults (alpha 0.05, no
loss allowed), and once with one point allowed. Beside it what people do without a test: refuse
whenever the accuracy is lower by more than what is allowed.

A row of the table is `--retrainings` retrainings, `--repeats` times over: their mean, the fewest
and the most. A batch of 200 at a true rate of 5 % has 4 to 16 false alarms (95 %). The last line is
one JSON object.
"""

from typing import Any

import numpy as np

from benchmarks import common
from components.evaluator import EvaluatorParams, gates
from components.evaluator.paired import compare_with_served
from components.evaluator.tally import Tally

ACCURACY, APART = 0.9, 0.08
SLICES = {"label": 5, "length": 4}
# (points worse, points allowed)
CASES = [(0.0, 0.0), (0.01, 0.0), (0.03, 0.0), (0.0, 0.01), (0.01, 0.01), (0.03, 0.01)]


def retraining(
    random: np.random.Generator, num_rows: int, worse: float, params: EvaluatorParams
) -> tuple[bool, bool, bool]:
    """(the gates refuse, the one overall does, a lower accuracy does) of one simulated pair of
    models.
    """
    # Of all rows both are right, the served one alone, the new one alone, neither.
    lost, gained = (APART + worse) / 2, (APART - worse) / 2
    kind = random.choice(4, num_rows, p=[ACCURACY - lost, lost, gained, 1 - ACCURACY - gained])
    truth = random.integers(SLICES["label"], size=num_rows)
    columns = {"label": truth, "length": random.integers(SLICES["length"], size=num_rows)}
    wrong = (truth + 1) % SLICES["label"]
    predicted, served = (np.where((kind == 0) | (kind == alone), truth, wrong) for alone in (2, 1))

    def tally(rows: Any) -> Tally:
        total = Tally()
        zeros = np.zeros(len(truth[rows]))
        total.add(truth[rows], predicted[rows], zeros, (served[rows], zeros))
        return total

    allowed = params.max_loss_of_accuracy or 0.0
    slices = []
    for feature, column in columns.items():
        for value in range(SLICES[feature]):
            of_slice = tally(column == value)
            figures = {
                "feature": feature,
                "value": str(value),
                "num_rows": of_slice.num_rows,
                "accuracy": 0.0,
            }
            slices.append(
                {
                    **figures,
                    "judged": of_slice.num_rows >= params.min_slice_rows,
                    "served": compare_with_served(of_slice, allowed),
                }
            )

    level, slice_level = gates.levels(sum(bool(each["judged"]) for each in slices), params.alpha)
    overall = {
        **compare_with_served(tally(slice(None)), allowed),
        "level": level,
        "slice_level": slice_level,
    }
    verdicts = [
        gates.against_served(overall, params).passed,
        gates.slices_against_served(overall, slices, params).passed,
    ]

    return False in verdicts, verdicts[0] is False, overall["loss_of_accuracy"] > allowed


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--retrainings", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 1000, 2000, 5000])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    print(
        f"{'rows':>6} {'worse':>6} {'allowed':>8}   refused (fewest-most of"
        f" {arguments.retrainings})   overall alone   refuse when lower"
    )

    results = []
    for num_rows in arguments.rows:
        for worse, allowed in CASES:
            params = EvaluatorParams(max_loss_of_accuracy=allowed)
            batches = [
                np.sum(
                    [
                        retraining(random, num_rows, worse, params)
                        for _ in range(arguments.retrainings)
                    ],
                    axis=0,
                )
                for _ in range(arguments.repeats)
            ]
            refused, alone, lower = (
                np.array(column) / arguments.retrainings for column in zip(*batches, strict=True)
            )
            results.append(
                {
                    "rows": num_rows,
                    "worse": worse,
                    "allowed": allowed,
                    "refused": float(refused.mean()),
                }
            )
            results[-1] |= {"fewest": float(refused.min()), "most": float(refused.max())}
            results[-1] |= {
                "overall_alone": float(alone.mean()),
                "refuse_when_lower": float(lower.mean()),
            }
            fewest, most = refused.min(), refused.max()
            spread = f"({fewest * arguments.retrainings:.0f}-{most * arguments.retrainings:.0f})"
            print(
                f"{num_rows:>6} {worse:>6.0%} {allowed:>8.0%} {refused.mean():>10.1%} {spread:<24}"
                f" {alone.mean():>14.1%} {lower.mean():>19.1%}",
                flush=True,
            )

    settings = {
        "retrainings": arguments.retrainings,
        "repeats": arguments.repeats,
        "accuracy": ACCURACY,
        "apart": APART,
    }
    common.print_result({**settings, "alpha": EvaluatorParams().alpha, "results": results})


if __name__ == "__main__":
    main()
