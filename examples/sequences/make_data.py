"""Writes digits.jsonl: 1,797 handwritten digits, each a sequence of 8 lines of 8 grey values.

They come with scikit-learn (Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI
Machine Learning Repository, 1998; CC BY 4.0), so nothing is downloaded.
"""

import json
from pathlib import Path

from sklearn.datasets import load_digits


def write(path: Path) -> None:
    """Writes one object a line: lines [8, 8] from 0 to 16, and the digit."""
    digits = load_digits()
    with path.open("w", encoding="utf-8", newline="") as file:
        for image, digit in zip(digits.images, digits.target, strict=True):
            row = {"lines": image.astype(int).tolist(), "digit": int(digit)}
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write(Path(__file__).parent / "digits.jsonl")
