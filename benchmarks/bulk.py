"""Classifies many rows by `seqline infer`, beside a plain Python loop, and kills it once.

    python benchmarks/bulk.py [--rows 1000000] [--data ../shared/data/agnews_small] [--model
    serving_dir] [--seed 0]

The rows repeat those of <data>/train.jsonl and test.jsonl ({"text", "label"}), or are made up where
there are none, each with an id. Measured in processes of their own, from their start to their end:
a tenth of the rows and all of them by `seqline infer`; all of them by a loop that reads the same
file line by line, asks the same SavedModel's serving_default for 256 rows at a time in file order,
and writes the same lines. Then once more by `seqline infer`, killed by SIGKILL at a moment drawn
from --seed, and started again: its files are compared with the undisturbed run's. Without --model
one is trained for two epochs. The last line is one JSON object with the figures.
"""

import argparse
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
        rows = [
            json.loads(line)
            for file in files
            for line in file.read_text(encoding="utf-8").split("\n")
            if line
        ]
        return [(row["text"], row["label"]) for row in rows]
    draw = random.Random(0)
    found = []
    for number in range(10_000):
        favoured = WORDS[number % 4 :: 4]
        found.append(
            (
                " ".join(draw.choice(favoured + WORDS) for _ in range(draw.randint(5, 80))),
                f"class {number % 4}",
            )
        )
    return found


def write_rows(path: Path, found: list[tuple[str, str]], count: int) -> None:
    """`count` rows, in an order that mixes lengths and classes."""
    order = list(range(len(found)))
    random.Random(1).shuffle(order)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {"id": f"row-{number}", "text": found[order[number % len(order)]][0]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def train(found: list[tuple[str, str]], folder: Path) -> Path:
    """A model of these rows, pushed; two epochs are enough for something to ask."""
    rows = folder / "labelled.jsonl"
    rows.write_text(
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in found),
        encoding="utf-8",
    )
    settings = [
        "trainer.num_epochs=2",
        "evaluator.baseline=none",
        "evaluator.min_gain_over_majority=0.0",
    ]
    config = folder / "bulk.toml"
    config.write_text(f"[example_gen]\nsource = {json.dumps(str(rows))}\n")
    flags = [
        "--config",
        str(config),
        "--root",
        str(folder / "root"),
        "--serving-dir",
        str(folder / "serving"),
    ]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pipeline",
            "run",
            "bbc_news",
            *flags,
            *(f"--set={each}" for each in settings),
        ],
        check=True,
        stdout=2,
    )
    return folder / "serving"


def infer(rows: Path, output: Path, model: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pipeline",
        "infer",
        str(rows),
        "--output",
        str(output),
        "--model",
        str(model),
        "--keep",
        "id",
    ]


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
    """What a run ends with, without its log."""
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
                rounded = [round(each, 6) for each in probabilities]
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
    found = texts(data)
    served = model or train(found, folder)
    newest = max(
        (path for path in served.iterdir() if path.name.isdigit()),
        key=lambda path: int(path.name),
        default=served,
    )
    few, many = folder / "few.jsonl", folder / "many.jsonl"
    write_rows(few, found, count // 10)
    write_rows(many, found, count)
    figures: dict[str, object] = {"rows": count, "seed": seed}
    print(f"{'':<34} {'rows':>9} {'seconds':>8} {'CPU s':>7} {'rows/s':>7} {'peak MB':>8}")

    def show(name: str, key: str, rows: int, command: list[str]) -> tuple[float, float]:
        seconds, cpu, megabytes = measure(command)
        print(
            f"{name:<34} {rows:>9,} {seconds:>8.1f} {cpu:>7.1f} {rows / seconds:>7,.0f}"
            f" {megabytes:>8,.0f}",
            flush=True,
        )
        rates = {
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu, 1),
            "rows_per_second": round(rows / seconds),
        }
        figures[key] = {"rows": rows, **rates, "peak_mb": round(megabytes)}
        return seconds, cpu

    show("seqline infer, a tenth", "tenth", count // 10, infer(few, folder / "few", served))
    mine = show("seqline infer", "whole", count, infer(many, folder / "whole", served))
    command = [
        sys.executable,
        __file__,
        "--peer",
        str(many),
        str(folder / "loop.jsonl"),
        str(newest),
    ]
    loop = show(f"python loop, {PEER_BATCH} in file order", "loop", count, command)
    figures["times_as_fast_as_the_loop"] = round(loop[0] / mine[0], 2)
    figures["times_less_cpu_than_the_loop"] = round(loop[1] / mine[1], 2)
    others, difference = compare(folder / "whole", folder / "loop.jsonl")
    figures |= {"rows_with_another_label": others, "max_difference": round(difference, 7)}
    num_chunks = len(json.loads((folder / "whole" / "predictions.json").read_text())["files"])
    killed_at = max(1, int(random.Random(seed).uniform(0.2, 0.8) * num_chunks))
    kill(infer(many, folder / "killed", served), folder / "killed", killed_at)
    kept = len(list((folder / "killed").glob("chunks/*-*.json")))
    show(
        f"the rest, killed at {kept}/{num_chunks} chunks",
        "after_kill",
        count,
        infer(many, folder / "killed", served),
    )
    same = digests(folder / "killed") == digests(folder / "whole")
    figures |= {"chunks": num_chunks, "chunks_when_killed": kept, "same_bytes_after_kill": same}
    print(
        f"{loop[0] / mine[0]:.2f} times as fast as the loop, with {mine[1] / loop[1]:.2f} of its"
        f" CPU; labels that differ: {others}"
    )
    print(f"after the kill the bytes are {'the same' if same else 'OTHERS'}")
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        peer(*map(Path, sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/agnews_small"))
    parser.add_argument(
        "--model", type=Path, help="a SavedModel of texts, or a folder with versions of one"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model.absolute() if arguments.model else None
        figures = benchmark(arguments.rows, arguments.data, model, arguments.seed, Path(folder))
    print(json.dumps(figures))
    if not figures["same_bytes_after_kill"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
