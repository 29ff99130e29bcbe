"""Requests with known answers, while versions change, are damaged, and others attack the server.

    python -m tests.soak.server_story [--requests 100000] [--pushes 20] [--rollbacks 5]
        [--connections 100] [--p99-ms 100] [--rss-mb 600] [--models FOLDER]

`seqline serve` runs as a process of its own on text models, made by `seqline run`, that answer
every text differently. Good clients, each on one connection that it keeps, ask for texts whose
answers are known: over REST, and over gRPC where the server has it. The requests come in three
phases: "alone"; "versions", while half of the pushes and rollbacks happen; and "attacked", while
the other half happen beside hostile clients (tests.soak.attackers). Between pushes a copy of a
version with one flipped byte appears, which must never be served.

An answer is wrong if it is not that of the version in its x-model-version header, if that version
was not there yet, if it is a damaged one, or if it is older than the client's answer before.
"""

import argparse
import itertools
import json
import multiprocessing
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.soak import small_run
from tests.soak.attackers import Attackers
from tests.soak.attackers import bodies as worst_bodies
from tests.soak.changes import NUM_MODELS, Story
from tests.soak.good_clients import (
    NAME,
    PHASES,
    WRONG_SHOWN,
    Answers,
    Shared,
    is_same,
    start_clients,
)
from tests.soak.server_process import Memory, serving

# The share of the requests in each phase.
SHARES = {"alone": 0.2, "versions": 0.3, "attacked": 0.5}
# The answers of two models differ by more.
OTHER = 1e-3


def make_models(folder: Path) -> list[Path]:
    """Text models that differ in the seed of their training."""
    models = []
    for seed in range(NUM_MODELS):
        place = folder / f"seed-{seed}"
        if not (place / small_run.ROOT).exists():
            small_run.make(place)
            # With a tuner and a bulk inferrer it would take longer, and serve no better.
            arguments = (
                "--to",
                "exporter",
                f"--set=trainer.seed={seed}",
                "--set=tuner.num_trials=0",
            )
            code, out = small_run.run(place, *arguments)
            assert code == 0, out
        models.append(small_run.stage_folders(place)["exporter"] / "saved_model")
    return models


def ask_models(models: list[Path], texts: list[str], told: Connection) -> None:
    """Sends the answers of the models to the texts, in a process of its own, for TensorFlow."""
    import tensorflow as tf

    answers: Answers = {text: [] for text in texts}
    for model in models:
        loaded = tf.saved_model.load(str(model))
        answer = loaded.signatures["serving_default"]
        for text in texts:
            got = answer(text=tf.constant([text]))
            label = got["label"].numpy()[0].decode()
            answers[text].append((label, got["probabilities"].numpy()[0].tolist()))
    told.send(answers)


def known_answers(models: list[Path], texts: list[str]) -> Answers:
    """Text -> answers, of the texts that the models answer differently."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=ask_models, args=(models, texts, theirs))
    process.start()
    answers: Answers = ours.recv()
    process.join()

    different = {
        text: given
        for text, given in answers.items()
        if not any(is_same(*pair, OTHER) for pair in itertools.combinations(given, 2))
    }
    assert len(different) >= 10, "the models answer alike"
    return different


def tell(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    shared = Shared(context)
    texts = [row["text"] for row in small_run.rows()[:60]]
    models = make_models(given.models or folder / "models")
    answers = known_answers(models, texts)
    serving_dir = folder / "serving_dir"
    story = Story(models, serving_dir, shared)
    story.push()

    shared.phase.value = 0
    with serving(folder, serving_dir) as (process, ports, log):
        memory = Memory(process.pid)
        clients = start_clients(ports, given.clients, answers, shared)
        address = ("127.0.0.1", ports["rest"])
        attackers = Attackers(address, worst_bodies(NAME), given.connections)
        before = memory.now()
        play(given, story, shared, attackers)
        shared.phase.value = -1
        results = [(client.name, pipe.recv()) for client, pipe in clients]
        time.sleep(2)
        after = memory.now()
        is_alive = process.poll() is None
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        log_text = log.read_text(errors="replace")
        exit_code = process.poll()

    figures = figures_of(results, story, attackers)
    if not is_alive:
        figures["wrong"].append(f"the server ended: {log_text[-500:]}")
    if exit_code != 0:
        figures["wrong"].append(f"SIGTERM ended the server with {exit_code}")
    if "Traceback" in log_text:
        first = log_text.index("Traceback")
        figures["wrong"].append(
            f"{log_text.count('Traceback')} tracebacks in its log: {log_text[first:][:600]}"
        )
    return figures | {
        "rss_mb": {"before": before >> 20, "peak": memory.peak >> 20, "after": after >> 20},
        "most_descriptors": memory.most_descriptors,
        "log_bytes": len(log_text),
        "protocols": sorted(ports),
    }


def play(given: argparse.Namespace, story: Story, shared: Shared, attackers: Attackers) -> None:
    """The three phases: the changes spread over the requests of the last two."""
    changes = ["push"] * given.pushes
    for number in range(given.rollbacks):
        changes.insert((number + 1) * len(changes) // (given.rollbacks + 1) + 1, "rollback")
    half = len(changes) // 2
    of_phase = {"alone": [], "versions": changes[:half], "attacked": changes[half:]}

    for phase, name in enumerate(PHASES):
        shared.phase.value = phase
        print(f"phase {name}: {len(of_phase[name])} changes", flush=True)
        if name == "attacked":
            attackers.start()

        wanted = int(given.requests * SHARES[name])
        for number, kind in enumerate(of_phase[name]):
            while shared.counts[phase].value < wanted * number // len(of_phase[name]):
                time.sleep(0.02)
            if number % 4 == 2:
                story.damage(number // 4)
                time.sleep(3.0)  # the server looks every second
            story.change(kind, number)

        while shared.counts[phase].value < wanted:
            time.sleep(0.02)
        if name == "attacked":
            attackers.stop()


def figures_of(
    results: list[tuple[str, Any]], story: Story, attackers: Attackers
) -> dict[str, Any]:
    seconds = {
        f"{protocol} {name}": sorted(
            value
            for kind, result in results
            if kind == protocol
            for value in result["seconds"][phase]
        )
        for protocol in sorted({kind for kind, _ in results})
        for phase, name in enumerate(PHASES)
    }
    failed: Counter[str] = sum((result["failed"] for _, result in results), Counter())
    seen: Counter[int] = sum((result["versions"] for _, result in results), Counter())
    such = [complaint for _, result in results for complaint in result["such"]]
    errors = {
        f"{name}: {status}": count
        for (name, status), count in attackers.answers.items()
        if status.startswith("500")
    }
    return {
        "requests": sum(map(len, seconds.values())),
        "wrong_answers": sum(result["wrong"] for _, result in results),
        "failed": failed.total(),
        "latency_ms": {name: of_latency(values) for name, values in seconds.items() if values},
        "versions_seen": len(seen),
        "newest_version": story._highest(),
        "longest_wait_for_a_version": round(story.longest_wait, 2),
        "attacks": {f"{a}: {b}": count for (a, b), count in sorted(attackers.answers.items())},
        "slowest_bodies": {
            name: round(value, 2) for name, value in sorted(attackers.slowest.items())
        },
        "wrong": [
            *such[:WRONG_SHOWN],
            *(f"failed {count} times: {what}" for what, count in failed.most_common(WRONG_SHOWN)),
            *story.wrong,
            *(f"attack {name}, {count} times" for name, count in errors.items()),
        ],
    }


def of_latency(values: list[float]) -> dict[str, float]:
    """The figures of sorted seconds, in ms."""
    figures = {
        "p50": statistics.median(values),
        "p99": values[len(values) * 99 // 100],
        "p99.9": values[len(values) * 999 // 1000],
        "max": values[-1],
    }
    return {name: round(value * 1000, 2) for name, value in figures.items()}


def check_bounds(given: argparse.Namespace, figures: dict[str, Any]) -> None:
    for name, latency in figures["latency_ms"].items():
        if latency["p99"] > given.p99_ms:
            figures["wrong"].append(f"{name}: p99 {latency['p99']} ms, bound {given.p99_ms}")
    grown = figures["rss_mb"]["peak"] - figures["rss_mb"]["before"]
    if grown > given.rss_mb:
        figures["wrong"].append(f"RSS grew by {grown} MB, bound {given.rss_mb}")


def print_figures(figures: dict[str, Any]) -> None:
    print(f"{'latency, ms':<18} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>8}")
    for name, latency in figures["latency_ms"].items():
        print(f"{name:<18} " + " ".join(f"{value:>8}" for value in latency.values()))
    for name in ("requests", "wrong_answers", "failed", "versions_seen", "newest_version"):
        print(f"{name:<26} {figures[name]}")
    for name in ("longest_wait_for_a_version", "rss_mb", "most_descriptors", "log_bytes"):
        print(f"{name:<26} {figures[name]}")
    for name, count in figures["attacks"].items():
        body = name.split(":")[0]
        slowest = figures["slowest_bodies"].get(body)
        print(f"{count:>7}  {name}" + (f"  (slowest {slowest} s)" if slowest else ""))
    for complaint in figures["wrong"]:
        print(f"WRONG: {complaint}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--pushes", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=5)
    parser.add_argument("--clients", type=int, default=1, help="good clients over REST")
    parser.add_argument("--connections", type=int, default=100, help="of each hostile kind")
    parser.add_argument("--p99-ms", type=float, default=100.0, help="bound of the good client")
    parser.add_argument("--rss-mb", type=int, default=600, help="bound of what is added")
    parser.add_argument("--models", type=Path, help="where to keep the models; made if missing")
    given = parser.parse_args()

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the server, too
    with tempfile.TemporaryDirectory() as folder:
        figures = tell(given, Path(folder))
    check_bounds(given, figures)
    print_figures(figures)
    print(json.dumps(figures))
    sys.exit(1 if figures["wrong"] or figures["wrong_answers"] else 0)


if __name__ == "__main__":
    main()
