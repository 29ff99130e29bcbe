"""Answers of exports in other processes: with limited vector units, and by the server.

`python -m benchmarks.parity.answers JOBS` is such a process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import common

# The limits of the vector units; "" for none.
VECTOR_UNITS = ("", "AVX2", "SSE41")
BATCH_SIZES = (128, 1)
# Rows that are also answered one by one.
NUM_ALONE = 24


def answer_elsewhere(folders: list[Path], examples: dict[Path, Path], units: str) -> None:
    """Has another process, with the vector units limited, answer for networks that it did not
    answer for before.
    """
    import tensorflow as tf

    from components.exporter import ExporterParams
    from components.exporter.parity_rows import choose_rows

    jobs = []
    for folder in folders:
        answers = folder / f"answers-{units or 'all'}.npz"
        if answers.exists():
            continue
        if not (folder / "examples").exists():
            data = examples[folder]
            rows = choose_rows(data / "examples", data / "features", ExporterParams())
            with tf.io.TFRecordWriter(str(folder / "examples")) as writer:
                for example in rows.examples:
                    writer.write(example)

        jobs.append(
            {
                "saved_model": str(folder / "saved_model"),
                "examples": str(folder / "examples"),
                "answers": str(answers),
            }
        )
    if not jobs:
        return
    path = folders[0].parent / f"jobs-{units or 'all'}.json"
    path.write_text(
        json.dumps(
            [
                {
                    **job,
                    "signatures": ["serving_default", "serving_fast"],
                    "batch_sizes": BATCH_SIZES,
                }
                for job in jobs
            ]
        )
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"} | (
        {"ONEDNN_MAX_CPU_ISA": units} if units else {}
    )
    subprocess.run(
        [sys.executable, "-m", "benchmarks.parity.answers", str(path)],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def ask(jobs: Path) -> None:
    """The other process.

    Answers every job with TensorFlow alone. A job: saved_model, examples, answers, signatures.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    import tensorflow as tf

    spec = spec_from_file_location(
        "prover", common.CHECKOUT / "components" / "exporter" / "plain_tensorflow.py"
    )
    assert spec is not None
    assert spec.loader is not None
    prover = module_from_spec(spec)
    spec.loader.exec_module(prover)

    for job in json.loads(jobs.read_text()):
        model = tf.saved_model.load(job["saved_model"])
        outputs: dict[str, list[np.ndarray]] = {}
        records = tf.data.TFRecordDataset(job["examples"])
        for size in job["batch_sizes"]:
            for examples in (records if size > 1 else records.take(NUM_ALONE)).batch(size):
                for name in job["signatures"] if size > 1 else ["serving_default"]:
                    signature = model.signatures[name]
                    specs = signature.structured_input_signature[1]
                    given = (
                        {"examples": examples}
                        if "examples" in specs
                        else prover.raw(tf, specs, examples)
                    )
                    answer = signature(**given)
                    for output in {"probabilities", "ids", "label"} & set(answer):
                        outputs.setdefault(f"{name}.{output}.{size}", []).append(
                            answer[output].numpy()
                        )

        arrays = {}
        for name, batches in outputs.items():
            if ".ids." in name:
                width = max(batch.shape[1] for batch in batches)
                batches = [
                    np.pad(batch, [(0, 0), (0, width - batch.shape[1])]) for batch in batches
                ]
            elif batches[0].dtype == object:
                batches = [batch.astype("S") for batch in batches]
            arrays[name] = np.concatenate(batches)

        np.savez(job["answers"], **arrays)
        print(job["answers"], flush=True)


def ask_server(folder: Path, data: Path) -> None:
    """Has `seqline serve` answer the first rows, one by one, as the infra_validator does."""
    from components.evaluator.answers import json_rows
    from components.evaluator.rows import rows
    from components.infra_validator.server import running

    request, _ = next(rows(data / "examples", "eval"))
    first = {name: value[:NUM_ALONE] for name, value in request.items()}
    with running("embedded", folder / "saved_model", folder / "server.log", 300) as server:
        answers = [
            server.ask({"instances": [row]})["predictions"][0]["probabilities"]
            for row in json_rows(first)
        ]
    np.savez(folder / "server.npz", probabilities=np.array(answers))


if __name__ == "__main__":
    ask(Path(sys.argv[1]))
