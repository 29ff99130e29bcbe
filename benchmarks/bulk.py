"""Classifies many rows by `seqline infer`, next to a plain Python loop, and kills it once.

    python -m benchmarks.bulk [--rows 1000000] [--dataset agnews_small] [--model serving_dir]

The rows repeat those of <data>/<dataset>/train.jsonl and test.jsonl ({"text", "label"}), or are
made up where these files do not exist; each has an id. Three ways run in processes of their own,
from start to end: a tenth of the rows by `seqline infer`; all of them by `seqline infer`; all of
them by a loop that reads the same file line by line, asks the same SavedModel's serving_default for
256 rows at a time in file order, and writes the same lines. Then `seqline infer` runs once more,
is killed by SIGKILL at a moment drawn from --seed, and is started again: its files are compared
with the undisturbed run's. Without --model one is trained for two epochs.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

from benchmarks.common import (
    Table,
    parser,
    print_result,
    read_jsonl,
    seqline,
    settings,
    write_jsonl,
)

PEER_BATCH = 256
WORDS = [
    first + second
    for first in ("ba", "ko", "mi", "ru", "te")
    for second in ("lan", "ne", "pol", "sta", "vic")
]


def texts(data: Path) -> list[tuple[str, str]]:
    """(text, label) of real rows; of random ones with 5 to 80 words where there are none."""
    files = [data / "train.jsonl", data / "test.jsonl"]
    if all(file.is_file() for file in files):
        rows = [row for file in files for row in read_jsonl(file)]
        return [(row["text"], row["label"]) for row in rows]
    draw = random.Random(0)
    rows_made = []
    for number in range(10_000):
        favoured = WORDS[number % 4 :: 4]
        rows_made.append(
            (
                " ".join(draw.choice(favoured + WORDS) for _ in range(draw.randint(5, 80))),
                f"class {number % 4}",
            )
        )

    return rows_made


def write_rows(path: Path, labelled: list[tuple[str, str]], count: int) -> None:
    """Writes `count` rows, in an order that mixes lengths and classes."""
    order = list(range(len(labelled)))
    random.Random(1).shuffle(order)
    rows = [
        {"id": f"row-{number}", "text": labelled[order[number % len(order)]][0]}
        for number in range(count)
    ]
    write_jsonl(path, rows)


def train(labelled: list[tuple[str, str]], folder: Path) -> Path:
    """Pushes a model of these rows; two epochs are enough for something to ask."""
    rows = folder / "labelled.jsonl"
    write_jsonl(rows, [{"text": text, "label": label} for text, label in labelled])
    config = folder / "bulk.toml"
    config.write_text(f"[example_gen]\nsource = {json.dumps(str(rows))}\n")
    served = folder / "serving"
    places = ["--root", str(folder / "root"), "--serving-dir", str(served)]
    quick = {
        "trainer.num_epochs": 2,
        "evaluator.baseline": "none",
        "evaluator.min_gain_over_majority": 0.0,
    }
    seqline("run", str(config), *places, *settings(quick))
    return served


def infer(rows: Path, output: Path, model: Path) -> list[str]:
    places = ["--output", str(output), "--model", str(model)]
    return [sys.executable, "-m", "pipeline", "infer", str(rows), *places, "--keep", "id"]


def measure(command: list[str]) -> tuple[float, float, float]:
    """(seconds, CPU seconds, peak resident set of its largest process in MB).

    Ends everything if the command fails.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    errors = process.stderr.read() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {os.waitstatus_to_exitcode(status)}:\n{errors}")
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def kill(command: list[str], output: Path, num_notes: int) -> None:
    """Starts a command and kills it when so many chunks are there."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(output.glob("chunks/*-*.json"))) < num_notes:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        raise SystemExit("the run had ended when the signal came")
    time.sleep(2)  # its worker ends itself when it sees that nobody waits


def digests(output: Path) -> dict[str, str]:
    """The digests of the files that a run leaves, without its log and its lock."""
    files = [path for path in output.iterdir() if path.name not in ("log.txt", ".lock")]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files}


def peer(rows: Path, output: Path, model: Path) -> None:
    """The plain loop. Imports TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    serve = tf.saved_model.load(str(model)).signatures["serving_default"]
    with rows.open(encoding="utf-8") as file, output.open("w", encoding="utf-8") as answers:
        for number, batch in _numbered(_batches(file)):
            answer = serve(text=tf.constant([row["text"] for row in batch]))
            columns = (
                answer[name].numpy().tolist() for name in ("label", "class_id", "probabilities")
            )
            for line, (row, label, class_id, probabilities) in enumerate(
                zip(batch, *columns, strict=True), start=number
            ):
                rounded = [round(probability, 6) for probability in probabilities]
                own = {"label": label.decode(), "class_id": class_id, "probabilities": rounded}
                answers.write(
                    json.dumps({"file": str(rows), "line": line, **row, **own}, ensure_ascii=False)
                    + "\n"
                )


def _batches(lines: Iterator[str]) -> Iterator[list[dict[str, str]]]:
    while batch := [json.loads(line) for line in islice(lines, PEER_BATCH)]:
        yield batch


def _numbered(
    batches: Iterator[list[dict[str, str]]],
) -> Iterator[tuple[int, list[dict[str, str]]]]:
    number = 1
    for batch in batches:
        yield number, batch
        number += len(batch)


def compare(output: Path, peers: Path) -> tuple[int, float]:
    """(rows with another label than the peer's, greatest difference of a probability).

    Both have every row in the same order.
    """
    others, greatest = 0, 0.0
    with peers.open(encoding="utf-8") as file:
        for path in sorted(output.glob("predictions-*")):
            for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                mine, other = json.loads(line), json.loads(next(file))
                assert (mine["line"], mine["id"]) == (other["line"], other["id"]), line
                others += mine["label"] != other["label"]
                greatest = max(
                    greatest,
                    *(
                        abs(a - b)
                        for a, b in zip(mine["probabilities"], other["probabilities"], strict=True)
                    ),
                )
        assert not file.readline(), "the peer has more rows"

    return others, greatest


def benchmark(
    count: int, data: Path, model: Path | None, seed: int, folder: Path
) -> dict[str, object]:
    labelled = texts(data)
    served = model or train(labelled, folder)
    versions = [path for path in served.iterdir() if path.name.isdigit()]
    newest = max(versions, key=lambda path: int(path.name), default=served)
    few, many = folder / "few.jsonl", folder / "many.jsonl"
    write_rows(few, labelled, count // 10)
    write_rows(many, labelled, count)

    figures: dict[str, object] = {"rows": count, "seed": seed}
    table = Table(
        ("way", "<34"),
        ("rows", "9,"),
        ("seconds", "8.1f"),
        ("CPU s", "7.1f"),
        ("rows/s", "7,.0f"),
        ("peak MB", "8,.0f"),
    )

    def show(way: str, key: str, rows: int, command: list[str]) -> tuple[float, float]:
        seconds, cpu, megabytes = measure(command)
        table.row(way, rows, seconds, cpu, rows / seconds, megabytes)
        figures[key] = {
            "rows": rows,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu, 1),
            "rows_per_second": round(rows / seconds),
            "peak_mb": round(megabytes),
        }
        return seconds, cpu

    show("seqline infer, a tenth", "tenth", count // 10, infer(few, folder / "few", served))
    mine = show("seqline infer", "whole", count, infer(many, folder / "whole", served))
    answers = str(folder / "loop.jsonl")
    command = [sys.executable, "-m", "benchmarks.bulk", "--peer", str(many), answers, str(newest)]
    loop = show(f"python loop, {PEER_BATCH} in file order", "loop", count, command)
    figures["times_as_fast_as_the_loop"] = round(loop[0] / mine[0], 2)
    figures["times_less_cpu_than_the_loop"] = round(loop[1] / mine[1], 2)
    others, difference = compare(folder / "whole", folder / "loop.jsonl")
    figures |= {"rows_with_another_label": others, "max_difference": round(difference, 7)}

    num_chunks = len(json.loads((folder / "whole" / "predictions.json").read_text())["files"])
    killed_at = max(1, int(random.Random(seed).uniform(0.2, 0.8) * num_chunks))
    again = infer(many, folder / "killed", served)
    kill(again, folder / "killed", killed_at)
    kept = len(list((folder / "killed").glob("chunks/*-*.json")))
    show(f"the rest, killed at {kept}/{num_chunks} chunks", "after_kill", count, again)
    same = digests(folder / "killed") == digests(folder / "whole")
    figures |= {"chunks": num_chunks, "chunks_when_killed": kept, "same_bytes_after_kill": same}

    print(
        f"{loop[0] / mine[0]:.2f} times as fast as the loop, with {mine[1] / loop[1]:.2f} of its "
        f"CPU; labels that differ: {others}"
    )
    print(f"after the kill the bytes are {'the same' if same else 'OTHERS'}")

    return figures


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        peer(*map(Path, sys.argv[2:]))
        return
    arguments = parser(__doc__, dataset="agnews_small")
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument(
        "--model", type=Path, help="a SavedModel of texts, or a folder with versions of one"
    )
    arguments.add_argument("--seed", type=int, default=0)

    given = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model = given.model.absolute() if given.model else None
        data = given.data / given.dataset
        figures = benchmark(given.rows, data, model, given.seed, Path(folder))

    print_result(figures)
    sys.exit(0 if figures["same_bytes_after_kill"] else 1)


if __name__ == "__main__":
    main()
