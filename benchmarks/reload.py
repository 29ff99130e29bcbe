"""Requests without a pause while versions are pushed and rolled back: none may fail or be wrong.

    python -m benchmarks.reload --model serving_dir [--requests 100000] [--connections 32] [--pushes
    20] [--rollbacks 5]

Makes `pushes` variants of a SavedModel of texts (the same graph, weights that differ), starts
`python -m serving` on an empty folder and publishes the variants by components.pusher.push, evenly
over the requests; a rollback publishes an earlier variant's files again. The connections go on
until all of that is done. Every answer must be the one that its version (header x-model-version)
gives in this process, to 1e-5; that version must have been pushed by then, and no newer one may
have been seen AVAILABLE before the request was sent. The last line is one JSON object; its ratios
compare latencies with the peer, the same server and requests before the first change (`calm`: one
version, no pushes).
"""

import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import common

TEXTS = [
    " ".join(words.split() * repeats)
    for repeats in (1, 3, 6)
    for words in (
        "the government won the vote",
        "shares of the bank fell again",
        "a goal in the last minute",
        "new phones and a film",
    )
]
TOLERANCE = 1e-5
Change = tuple[str, int]  # ("push" or "rollback", number of the variant)


def plan(pushes: int, rollbacks: int) -> list[Change]:
    """Which variant each version is, in order.

    A rollback, to the variant before the newest, behind every few pushes.
    """
    changes: list[Change] = []
    for number in range(pushes):
        changes.append(("push", number))
        if number and (number + 1) * rollbacks // pushes > number * rollbacks // pushes:
            changes.append(("rollback", number - 1))
    return changes


def make_variants(model: Path, folder: Path, count: int) -> list[Path]:
    """Copies of a SavedModel with weights that differ from copy to copy."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    names = sorted(reader.get_variable_to_dtype_map())
    values = [reader.get_tensor(name) for name in names]

    paths = []
    for number in range(count):
        random = np.random.default_rng(number)
        path = Path(shutil.copytree(model, folder / str(number)))
        shutil.rmtree(path / "variables")
        changed = [
            (
                value + random.normal(0, 0.2 * value.std() + 1e-3, value.shape).astype(value.dtype)
                if isinstance(value, np.ndarray) and value.dtype.kind == "f"
                else value
            )
            for value in values
        ]
        tf.raw_ops.SaveV2(
            prefix=str(path / "variables" / "variables"),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=changed,
        )
        paths.append(path)

    return paths


def expected_answers(variants: list[Path]) -> np.ndarray:
    """[variant, text, class] probabilities, each text alone."""
    from serving.model import LoadedModel

    answers = []
    for path in variants:
        loaded = LoadedModel(path)
        texts = [np.array([text.encode()], object) for text in TEXTS]
        answers.append(
            [loaded.run("serving_default", {"text": text})["probabilities"][0] for text in texts]
        )
        loaded.close()

    probabilities = np.array(answers)
    distances = [
        np.abs(probabilities[a] - probabilities[b]).max(axis=1).min()
        for a in range(len(probabilities))
        for b in range(a)
    ]
    assert not distances or min(distances) > 100 * TOLERANCE, "the variants cannot be told apart"

    return probabilities


async def ask_all(
    port: int,
    connections: int,
    per_connection: int,
    started: Any,
    known: Any,
    answers: np.ndarray,
    variant_of: list[int],
) -> dict:
    """Sends the requests of one process of clients.

    Args:
        port: The server's.
        connections: Connections at the same time.
        per_connection: Requests of each.
        started: By version, when its push began.
        known: By version, when it was first seen AVAILABLE; at 0, the answers so far.
        answers: The probabilities, [variant, text, class].
        variant_of: By version, its variant.

    Returns:
        {latencies: (when sent, seconds), wrong: sentences, seen: version -> answers}.
    """
    latencies: list[tuple[float, float]] = []
    wrong: list[str] = []
    seen: dict[int, int] = {}

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = 0
        while (
            turn < per_connection or not known[-1]
        ):  # the changes may take longer than the requests
            turn += 1
            text = (number + turn) % len(TEXTS)
            body = json.dumps({"instances": [TEXTS[text]]}).encode()
            sent = time.monotonic()
            oldest = max(
                (
                    version
                    for version in range(1, len(known))
                    if known[version] and known[version] < sent
                ),
                default=0,
            )
            head = (
                "POST /v1/models/seqline:predict HTTP/1.1\r\nHost: x\r\nContent-Length:"
                f" {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in headers[1:] if line)
            content = await reader.readexactly(int(fields["content-length"]))
            received = time.monotonic()
            latencies.append((sent, received - sent))
            with known.get_lock():
                known[0] += 1
            if " 200 " not in headers[0]:
                wrong.append(f"{headers[0]}: {content[:200]!r}")
                continue
            version = int(fields["x-model-version"])
            seen[version] = seen.get(version, 0) + 1
            probabilities = json.loads(content)["predictions"][0]["probabilities"]
            if np.abs(answers[variant_of[version], text] - probabilities).max() > TOLERANCE:
                wrong.append(f"version {version}, text {text}: {probabilities}")
            elif not started[version] or received < started[version] or version < oldest:
                wrong.append(f"version {version} was not alive; {oldest} was there")

        writer.close()

    await asyncio.gather(*(ask(number) for number in range(connections)))

    return {"latencies": latencies, "wrong": wrong, "seen": seen}


def client(queue: Any, *arguments: Any) -> None:
    try:
        queue.put(asyncio.run(ask_all(*arguments)))
    except BaseException as error:
        queue.put({"latencies": [], "wrong": [f"a connection broke: {error!r}"], "seen": {}})
        raise


def available(port: int) -> list[int]:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/v1/models/seqline", timeout=60
        ) as got:
            states = json.load(got)["model_version_status"]
    except urllib.error.HTTPError:  # no version yet
        return []
    return [int(state["version"]) for state in states if state["state"] == "AVAILABLE"]


def publish(
    number: int, variant: Path, serving_dir: Path, port: int, started: Any, known: Any
) -> None:
    """Pushes a version and waits until it takes requests."""
    from components.pusher.publish import push

    started[number] = time.monotonic()
    assert push(variant, serving_dir)["version"] == number
    while number not in available(port):
        time.sleep(0.02)
    known[number] = time.monotonic()


def quantiles(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    return {
        f"p{percent}": round(
            1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 2
        )
        for percent in (50, 99)
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--model", type=Path, default=Path("serving_dir"))
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--pushes", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=5)
    parser.add_argument("--flags", nargs="*", default=[], help="more flags for the server")
    arguments = parser.parse_args()
    from serving.predict import find_model

    changes = plan(arguments.pushes, arguments.rollbacks)
    variant_of = [-1, *(variant for _, variant in changes)]

    with tempfile.TemporaryDirectory(prefix="reload-") as temporary:
        folder = Path(temporary)
        (folder / "variants").mkdir()
        variants = make_variants(find_model(arguments.model), folder / "variants", arguments.pushes)
        answers = expected_answers(variants)
        result = measure(arguments, folder, changes, variants, answers, variant_of)

    common.print_result(result)


def measure(
    arguments: Any,
    folder: Path,
    changes: list[Change],
    variants: list[Path],
    answers: np.ndarray,
    variant_of: list[int],
) -> dict:
    context = multiprocessing.get_context("spawn")
    started, known = context.Array("d", len(changes) + 1), context.Array("d", len(changes) + 1)
    serving_dir, port_file = folder / "serving_dir", folder / "port"
    command = [
        sys.executable,
        "-m",
        "serving",
        "--rest_api_port=0",
        f"--port_file={port_file}",
        f"--model_base_path={serving_dir}",
    ]
    server = subprocess.Popen([*command, "--file_system_poll_wait_seconds=0.2", *arguments.flags])

    try:
        while not port_file.exists():
            assert server.poll() is None
            time.sleep(0.05)
        port = int(port_file.read_text())
        publish(1, variants[changes[0][1]], serving_dir, port, started, known)
        processes = 2
        share = arguments.connections // processes
        each = arguments.requests // (share * processes)
        queue: Any = context.Queue()
        clients = [
            context.Process(
                target=client, args=(queue, port, share, each, started, known, answers, variant_of)
            )
            for _ in range(processes)
        ]
        before, begun = common.resident_mb(server.pid), time.monotonic()
        for process in clients:
            process.start()
        total = share * processes * each
        for number, (_, variant) in enumerate(changes[1:], start=2):
            while known[0] < total * (number - 1) / (
                len(changes) + 1
            ):  # evenly, and the first behind a calm share
                time.sleep(0.01)
            publish(number, variants[variant], serving_dir, port, started, known)
        results = [queue.get() for _ in clients]
        for process in clients:
            process.join()
        seconds = time.monotonic() - begun
        after = common.resident_mb(server.pid)
        server.send_signal(signal.SIGTERM)
        exit_code = server.wait(60)
    finally:
        server.kill()
        server.wait()

    return report(
        changes, results, started, seconds, (before, after), exit_code, arguments.connections
    )


def report(
    changes: list[Change],
    results: list[dict],
    started: Any,
    seconds: float,
    memory: Any,
    exit_code: int,
    connections: int,
) -> dict:
    latencies = sorted(pair for result in results for pair in result["latencies"])
    wrong = [each for result in results for each in result["wrong"]]
    seen: dict[int, int] = {}
    for result in results:
        for version, count in result["seen"].items():
            seen[version] = seen.get(version, 0) + count
    first_change = started[2] if len(changes) > 1 else float("inf")
    calm, busy = (
        quantiles([each for sent, each in latencies if sent < first_change]),
        quantiles([each for _, each in latencies]),
    )
    print(f"{'':12} {'p50 ms':>8} {'p99 ms':>8}")
    for name, figures in (("calm", calm), ("all", busy)):
        print(f"{name:12} {figures['p50']:8.2f} {figures['p99']:8.2f}")
    print(f"requests by version: {dict(sorted(seen.items()))}")
    for each in wrong[:10]:
        print(f"WRONG: {each}")
    kinds = [kind for kind, _ in changes]
    return {
        "requests": len(latencies),
        "connections": connections,
        "pushes": kinds.count("push"),
        "rollbacks": kinds.count("rollback"),
        "failed_or_wrong": len(wrong),
        "versions_seen": len(seen),
        "requests_per_second": round(len(latencies) / seconds),
        "calm_ms": calm,
        "all_ms": busy,
        "max_ms": round(1000 * max(each for _, each in latencies), 1),
        "ratio_to_calm": {name: round(busy[name] / calm[name], 2) for name in calm},
        "server_mb": {"before": memory[0], "after": memory[1]},
        "server_exit_code": exit_code,
    }


if __name__ == "__main__":
    main()
