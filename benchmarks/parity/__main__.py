"""How far rounding moves an export's answers, and how far a defect does: the tolerance is between.

    python -m benchmarks.parity [--output FOLDER] [--only NAME ...] [--rows
    250] [--servers 4]

Trains networks of many shapes on a few hundred rows each, exports them, and has other processes
answer the rows that the exporter compares: in batches of 128 and of 1, with the CPU's vector units
as they are and limited to AVX2 and SSE4.1 (ONEDNN_MAX_CPU_ISA); `seqline serve` answers for the
first --servers networks. Then defects are planted: weights off by a thousandth, biases off by 1e-3,
embedding rows shifted, tokens swapped, a direction reversed; in SavedModels a changed vocabulary
line, a changed normalisation, another max_length, two labels swapped.

Columns, differences of log-odds but for the first: the largest difference of a probability; the
largest difference between an export and its trained network (`rounding`); the trained network's
own, float32 against float64 (`noise`); the tolerance that follows from it; the smallest of the
weight defects (`defect`) and which one it was. --output keeps
what was trained: a second call measures without training again.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import common
from benchmarks.parity.answers import VECTOR_UNITS, answer_elsewhere, ask_server
from benchmarks.parity.damages import FILES, files
from benchmarks.parity.data import prepared
from benchmarks.parity.networks import NETWORKS, train


def differences(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """(the largest difference of log-odds, the largest of a probability)."""
    from seqline.model import rounding

    return float(rounding.log_odds_differences(one, other).max()), float(np.abs(one - other).max())


def summary(name: str, folder: Path) -> dict[str, Any]:
    """The measurements of a network: {column: value}, and `defects`, the size of each."""
    from seqline.model import rounding

    trained, changed = np.load(folder / "network.npz"), np.load(folder / "defects.npz")
    moved: dict[str, tuple[float, float]] = {
        "in this process": differences(changed["none"], trained["float32"][: len(changed["none"])])
    }

    for units in VECTOR_UNITS:
        answers = np.load(folder / f"answers-{units or 'all'}.npz")
        for key in answers.files:
            signature, output, size = key.split(".")
            if output == "probabilities":
                probabilities = answers[key]
                moved[f"{signature}, batch {size}, {units or 'all units'}"] = differences(
                    probabilities, trained["float32"][: len(probabilities)]
                )
    if (folder / "server.npz").exists():
        probabilities = np.load(folder / "server.npz")["probabilities"]
        moved["the server"] = differences(probabilities, trained["float32"][: len(probabilities)])
    few = trained["float32"][: len(changed["none"])]
    sizes = {key: differences(changed[key], few)[0] for key in changed.files if key != "none"}
    noise = differences(trained["float32"], trained["float64"])[0]
    weights = {key: size for key, size in sizes.items() if "reversed" not in key}
    smallest = min(weights, key=lambda key: weights[key])
    worst = max(moved, key=lambda key: moved[key][0])

    return {
        "network": name,
        "probability": max(largest for _, largest in moved.values()),
        "rounding": moved[worst][0],
        "where": worst,
        "noise": noise,
        "tolerance": rounding.tolerance(noise),
        "reversed": sizes.get("a direction reversed"),
        "defect": weights[smallest],
        "which": smallest,
        "moved": {key: largest for key, (largest, _) in moved.items()},
        "defects": sizes,
    }


def folder_of(root: Path, name: str) -> Path:
    return root / "networks" / name.replace(", ", "-").replace(" ", "_").replace("=", "")


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "--only", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME"
    )
    parser.add_argument("--rows", type=int, default=250)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument(
        "--files",
        nargs="*",
        default=list(FILES),
        choices=list(NETWORKS),
        metavar="NAME",
        help="damaged as files, too",
    )

    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (arguments.output or Path(temporary)).absolute()
        folders = {name: folder_of(root, name) for name in arguments.only}
        for name, folder in folders.items():
            if not (folder / "defects.npz").exists():
                shutil.rmtree(folder, ignore_errors=True)
                examples, features = prepared(
                    NETWORKS[name][0], arguments.data, arguments.rows, root
                )
                train(name, examples, features, folder)

        data = {folder: root / "data" / NETWORKS[name][0] for name, folder in folders.items()}
        for units in VECTOR_UNITS:
            answer_elsewhere(list(data), data, units)
        for folder in list(data)[: arguments.servers]:
            if not (folder / "server.npz").exists():
                ask_server(folder, data[folder])
        planted = files(folders, data) if arguments.files else {}
        report([summary(name, folder) for name, folder in folders.items()], planted)


def report(networks: list[dict[str, Any]], planted: dict[str, dict[str, str]]) -> None:
    print(
        f"{'network':<27} {'prob.':>8} {'rounding':>9} {'noise':>8} {'tolerance':>9}"
        f" {'reversed':>9} {'defect':>8}"
    )

    for row in networks:
        turned = f"{row['reversed']:.1e}" if row["reversed"] is not None else "-"
        print(
            f"{row['network']:<27} {row['probability']:>8.1e} {row['rounding']:>9.1e}"
            f" {row['noise']:>8.1e} {row['tolerance']:>9.1e} {turned:>9} {row['defect']:>8.1e} "
            f" {row['which']}"
        )

    for name, caught in planted.items():
        print(f"\n{name}, in its file:")
        for defect, by in caught.items():
            print(f"  {defect:<42} {by}")

    common.print_result({"networks": networks, "files": planted})


if __name__ == "__main__":
    main()
