"""A run with many classes and n-grams, end to end: time and memory of each stage, size and latency.

    python -m benchmarks.many_classes [--rows 100000] [--classes 1000] [--ngrams 1000000]

The texts are made: words of syllables, their ranks after Zipf; a word tends to be followed by one
of its own successors, as in phrases, so that about a million pairs and character n-grams are in two
texts or more; and a text has some words of its class, which other classes have, too. Classes have
different sizes. `seqline run` runs with `transform.ngrams` and without the gates on quality.

A stage's memory is the largest sum, at a moment, of the resident sizes of all processes (Linux
only; what processes share is counted in each). The latency is that of whole texts in process.
"""

import json
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.common import Table
from benchmarks.whole import NO_GATES, Measured, by_stage, measure, seqline

ONSETS = (*"bcdfghjklmnprstvw", "st", "tr", "pl", "br", "ch", "sh", "th")
VOWELS = (*"aeiou", "ai", "ea", "ou")
CODAS = ("", "", "n", "r", "s", "l", "t", "m", "nd", "rt")
NUM_WORDS = 25_000
# Of the ranks of words, after Zipf.
EXPONENT = 0.7
# Words that like to follow a word, and how often one of them does.
NUM_SUCCESSORS, FOLLOWS = 80, 0.8
# Words of a class, and how often one of them is next.
NUM_OF_CLASS, OF_CLASS = 40, 0.05
MEAN_LENGTH, SHORTEST, LONGEST = 80, 8, 400
NUM_REQUESTS = 20


def make_words(random: np.random.Generator) -> np.ndarray:
    """Different words of one to four syllables, [NUM_WORDS]."""
    words: dict[str, None] = {}
    while len(words) < NUM_WORDS:
        num = random.choice(4, p=[0.15, 0.4, 0.3, 0.15]) + 1
        syllables = (
            ONSETS[random.integers(len(ONSETS))]
            + VOWELS[random.integers(len(VOWELS))]
            + CODAS[random.integers(len(CODAS))]
            for _ in range(num)
        )
        words["".join(syllables)] = None
    return np.array(list(words))


def ranks(random: np.random.Generator, num_ranks: int, exponent: float, shape: Any) -> np.ndarray:
    """Random ranks from 0, falling off as 1/rank**exponent."""
    shares = np.cumsum(np.arange(1, num_ranks + 1.0) ** -exponent)
    return np.searchsorted(shares / shares[-1], random.random(shape)).clip(0, num_ranks - 1)


def write_texts(path: Path, num_rows: int, num_classes: int) -> None:
    """Writes rows of `text` and `label` as JSON lines."""
    random = np.random.default_rng(0)
    words = make_words(random)
    successors = ranks(random, NUM_WORDS, EXPONENT, (NUM_WORDS, NUM_SUCCESSORS))
    of_class = random.integers(0, NUM_WORDS, (num_classes, NUM_OF_CLASS))
    label = ranks(random, num_classes, 0.5, num_rows)

    # Longer texts first: those that are not at their end are the first ones.
    lengths = random.lognormal(np.log(MEAN_LENGTH), 0.4, num_rows).astype(int)
    lengths = -np.sort(-lengths.clip(SHORTEST, LONGEST))
    texts = np.full((num_rows, lengths[0]), -1, np.int32)
    texts[:, 0] = ranks(random, NUM_WORDS, EXPONENT, num_rows)
    for place in range(1, lengths[0]):
        num = int((lengths > place).sum())
        nearest = successors[texts[:num, place - 1], ranks(random, NUM_SUCCESSORS, 0.5, num)]
        drawn = ranks(random, NUM_WORDS, EXPONENT, num)
        following = np.where(random.random(num) < FOLLOWS, nearest, drawn)
        topical = of_class[label[:num], ranks(random, NUM_OF_CLASS, 1, num)]
        texts[:num, place] = np.where(random.random(num) < OF_CLASS, topical, following)

    with path.open("w", encoding="utf-8") as file:
        for row in random.permutation(num_rows).tolist():
            text = " ".join(words[texts[row, : lengths[row]]].tolist())
            file.write(json.dumps({"text": text, "label": f"class {label[row]}"}) + "\n")


def memory_by_stage(folder: Path, measured: Measured) -> dict[str, int]:
    """The largest sum of resident sizes in each stage, in MiB."""
    sums: dict[float, int] = {}
    for process in measured.processes:
        for moment, _, num_bytes in process.looks:
            sums[moment] = sums.get(moment, 0) + num_bytes

    peaks = {}
    for name, execution in executions(folder).items():
        start = datetime.fromisoformat(execution["started"]).timestamp()
        during = [size for at, size in sums.items() if start <= at <= start + execution["seconds"]]
        peaks[name] = max(during, default=0) >> 20
    return peaks


def executions(folder: Path) -> dict[str, dict[str, Any]]:
    """Stage -> what its artifact says of the execution."""
    paths = (folder / "artifacts").glob("*/*/execution.json")
    return {path.parts[-3]: json.loads(path.read_text()) for path in paths}


def ask(saved_model: str, texts: list[str]) -> dict[str, float]:
    """Milliseconds of a request, the median, and MiB of a process that serves; in its own one."""
    import tensorflow as tf

    loaded = tf.saved_model.load(saved_model)
    answer = loaded.signatures["serving_default"]
    figures: dict[str, float] = {}
    for batch in (1, 256):
        spent = []
        for number in range(NUM_REQUESTS + 3):
            first = number * batch % max(1, len(texts) - batch)
            request = tf.constant(texts[first : first + batch])
            started = time.perf_counter()
            answer(text=request)["label"].numpy()
            spent.append(time.perf_counter() - started)
        figures[f"batch_{batch}_ms"] = 1000 * statistics.median(spent[3:])
    return {**figures, "serving_mb": common.peak_mb()}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--ngrams", type=int, default=1_000_000)
    parser.add_argument("--set", action="append", default=[], help="a setting of the run")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary one")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / "texts.jsonl"
        write_texts(source, arguments.rows, arguments.classes)

        settings = common.settings({**NO_GATES, "transform.ngrams": arguments.ngrams})
        settings += [part for value in arguments.set for part in ("--set", value)]
        measured = measure(seqline("run", str(source), "--to", "evaluator", *settings), folder)

        table = Table(("stage", "<18"), ("CPU s", "8.1f"), ("wall s", "8.1f"), ("peak MB", "8,d"))
        stages = by_stage(folder, measured)
        peaks = memory_by_stage(folder, measured)
        for name, figures in stages.items():
            figures["peak_mb"] = peaks.get(name, 0)
            table.row(name, *figures.values())
        table.row("all", measured.cpu_seconds, measured.wall_seconds, max(peaks.values()))

        done = executions(folder)
        result: dict[str, Any] = {"rows": arguments.rows, "classes": arguments.classes}
        transform, trainer = done["transform"]["figures"], done["trainer"]["figures"]
        names = ("num_sequences", "num_characters", "num_tokens")
        result |= {name: transform[name] for name in names if name in transform}
        names = ("num_wide_features", "eval_accuracy_wide", "eval_accuracy_recurrent", "pool")
        result |= {name: trainer[name] for name in (*names, "eval_accuracy") if name in trainer}
        result["saved_model_bytes"] = done["exporter"]["figures"]["num_bytes"]

        rows = common.read_jsonl(source)[:4096]
        [exported] = (folder / "artifacts" / "exporter").glob("*/saved_model")
        texts = [row["text"] for row in rows]
        result |= common.in_own_process(ask, str(exported), texts)

    for name, value in result.items():
        print(f"{name:24}{value}")
    common.print_result({**result, "cpu_seconds": measured.cpu_seconds, "stages": stages})


if __name__ == "__main__":
    main()
