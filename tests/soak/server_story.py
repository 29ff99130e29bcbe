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
import http.client
import itertools
import json
import multiprocessing
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from components.pusher.publish import push, rollback
from tests.soak import small_run
from tests.soak.attackers import Attackers
from tests.soak.attackers import bodies as worst_bodies
from tests.support.command_line import environment

NAME = "small"
TIMEOUT = 120.0
PHASES = ("alone", "versions", "attacked")
# The share of the requests in each phase.
SHARES = {"alone": 0.2, "versions": 0.3, "attacked": 0.5}
# Two models, or a model and its answer over the wire: the same, or another one.
SAME, OTHER = 1e-5, 1e-3
WRONG_SHOWN = 20
# After a rollback from one to another, a push has to be of a third: the first stays rolled back.
NUM_MODELS = 3
KEEP_VERSIONS = 4

# Text -> for each model (label, probabilities).
Answers = dict[str, list[tuple[str, list[float]]]]


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


def is_same(one: Any, other: Any, tolerance: float) -> bool:
    (label, probabilities), (other_label, other_probabilities) = one, other
    pairs = zip(probabilities, other_probabilities, strict=True)
    return label == other_label and all(abs(a - b) <= tolerance for a, b in pairs)


class Shared:
    """What the good clients and the story tell each other, across processes.

    Attributes:
        phase: The number of the phase that requests belong to; -1 ends the clients.
        counts: The requests of each phase so far.
        newest: The newest version that a client saw.
        models: Version -> which model it is, by its number in an array; -1 for none.
    """

    def __init__(self, context: Any) -> None:
        self.phase = context.Value("i", 0)
        self.counts = [context.Value("q", 0) for _ in PHASES]
        self.newest = context.Value("q", 0)
        self.models = context.Array("i", [-1] * 1000)


def ask_over_rest(
    address: tuple[str, int], answers: Answers, shared: Shared, told: Connection
) -> None:
    """Asks one text after the other on one connection, and sends what came of it."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)

    def ask(text: str) -> tuple[int, Any]:
        body = json.dumps({"instances": [text]})
        try:
            connection.request("POST", f"/v1/models/{NAME}:predict", body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it again
            raise
        if response.status != 200:
            raise ValueError(f"{response.status}: {content[:200]!r}")
        [row] = json.loads(content)["predictions"]
        version = int(response.headers["x-model-version"])
        return version, (row["label"], row["probabilities"])

    keep_asking(ask, answers, shared, told)


def ask_over_grpc(
    address: tuple[str, int], answers: Answers, shared: Shared, told: Connection
) -> None:
    """The same over gRPC, with the stubs of tensorflow-serving-api."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    channel = grpc.insecure_channel(f"{address[0]}:{address[1]}")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(text: str) -> tuple[int, Any]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = NAME
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
        got = stub.Predict(request, timeout=TIMEOUT)
        label = tf.make_ndarray(got.outputs["label"])[0].decode()
        probabilities = tf.make_ndarray(got.outputs["probabilities"])[0].tolist()
        return got.model_spec.version.value, (label, probabilities)

    keep_asking(ask, answers, shared, told)


def keep_asking(ask: Any, answers: Answers, shared: Shared, told: Connection) -> None:
    """Asks until the story ends; sends {seconds of each phase, wrong, failed, versions}."""
    seconds: list[list[float]] = [[] for _ in PHASES]
    wrong: list[str] = []
    failed: Counter[str] = Counter()
    seen: Counter[int] = Counter()
    texts = sorted(answers)
    last, number = 0, 0
    told.send("ready")

    while (phase := shared.phase.value) >= 0:
        number += 1
        text = texts[number % len(texts)]
        started = time.perf_counter()
        try:
            version, answer = ask(text)
        except Exception as error:
            failed[f"{PHASES[phase]}: {type(error).__name__}: {error}"[:300]] += 1
            time.sleep(0.01)
            continue

        seconds[phase].append(time.perf_counter() - started)
        with shared.counts[phase].get_lock():
            shared.counts[phase].value += 1
        if version not in seen:
            with shared.newest.get_lock():
                shared.newest.value = max(version, shared.newest.value)

        seen[version] += 1
        complaint = judge(version, last, answer, answers[text], shared)
        if complaint:
            wrong.append(f"{PHASES[phase]}: {complaint}")
        last = version

    told.send(
        {
            "seconds": seconds,
            "wrong": len(wrong),
            "such": wrong[:WRONG_SHOWN],
            "failed": failed,
            "versions": seen,
        }
    )


def judge(version: int, last: int, answer: Any, expected: list[Any], shared: Shared) -> str | None:
    """What is wrong with an answer; None if it is right."""
    model = shared.models[version]
    if model < 0:
        return f"version {version} was never pushed, or was damaged"
    if version < last:
        return f"version {version} after {last}"
    if not is_same(answer, expected[model], SAME):
        return f"version {version} answered {answer}, not {expected[model]}"
    return None


class Story:
    """Pushes, rollbacks and damaged versions, one after the other.

    Attributes:
        models: The models' folders.
        serving_dir: Where their versions are.
        current, rolled_back: The number of the model that was published last, and of the one that
            was rolled back from; -1 for none.
        wrong: What must not have happened.
        damaged: The damaged versions.
    """

    def __init__(self, models: list[Path], serving_dir: Path, shared: Shared) -> None:
        self.models, self.serving_dir, self.shared = models, serving_dir, shared
        self.current, self.rolled_back = NUM_MODELS - 1, -1
        self.wrong: list[str] = []
        self.damaged: list[Path] = []
        self.longest_wait = 0.0

    def push(self) -> int:
        """Pushes the next model that was neither served last nor rolled back from."""
        after = [(self.current + step) % NUM_MODELS for step in range(1, NUM_MODELS)]
        model = next(number for number in after if number != self.rolled_back)
        folder = self.models[model]

        def change() -> Any:
            return push(
                folder,
                self.serving_dir,
                keep_versions=KEEP_VERSIONS,
                model_name=NAME,
                name=NAME,
            )

        version = self._publish(model, change)
        self.rolled_back = -1
        return version

    def rollback(self) -> int:
        """Rolls back to the newest good version that has another model."""
        before = self.current
        numbers = sorted((int(path.name) for path in self._numbered()), reverse=True)
        to = next(number for number in numbers if self.shared.models[number] not in (-1, before))
        version = self._publish(self.shared.models[to], lambda: rollback(self.serving_dir, to))
        self.rolled_back = before
        return version

    def _publish(self, model: int, change: Callable[[], Any]) -> int:
        """Makes a change that gives the next version; returns its number."""
        # Before it happens: a client may see the version before the change returns.
        expected = self._highest() + 1
        self.shared.models[expected] = model
        try:
            version = int(change()["version"])
        except Exception:
            self.shared.models[expected] = -1
            raise

        if version != expected:
            self.shared.models[expected] = -1
            self.wrong.append(f"version {version} was pushed, expected {expected}")
        self.current = model
        for folder in self.damaged:
            shutil.rmtree(folder, ignore_errors=True)
        self.damaged = []
        return version

    def _numbered(self) -> list[Path]:
        return [path for path in self.serving_dir.glob("*") if path.name.isdecimal()]

    def _highest(self) -> int:
        return max((int(path.name) for path in self._numbered()), default=0)

    def damage(self, number: int) -> None:
        """Adds a copy of the newest version, with a byte flipped in one of its files."""
        newest = self.serving_dir / str(self._highest())
        copy = self.serving_dir / str(self._highest() + 1)
        aside = self.serving_dir / ".by-hand"
        shutil.copytree(newest, aside)

        names = ["variables/variables.data-00000-of-00001", "assets/labels", "saved_model.pb"]
        file = aside / names[number % len(names)]
        if not file.exists():
            file = max((path for path in aside.rglob("*") if path.is_file()), key=_size)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        aside.rename(copy)
        self.damaged.append(copy)

    def wait_until_served(self, version: int) -> None:
        started = time.monotonic()
        while self.shared.newest.value < version:
            if time.monotonic() > started + TIMEOUT:
                self.wrong.append(f"version {version} was not served after {TIMEOUT:.0f} s")
                return
            time.sleep(0.02)
        self.longest_wait = max(self.longest_wait, time.monotonic() - started)

    def change(self, kind: str, number: int) -> None:
        """One change, which must succeed and be served."""
        try:
            version = self.push() if kind == "push" else self.rollback()
        except Exception as error:
            self.wrong.append(f"{kind} {number}: {type(error).__name__}: {error}")
            return
        self.wait_until_served(version)


def _size(path: Path) -> int:
    return path.stat().st_size


class Memory:
    """The resident bytes of a process and its children, sampled in a thread."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.peak = 0
        self.most_descriptors = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        total = 0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def _watch(self) -> None:
        with suppress(psutil.Error):
            while True:
                self.peak = max(self.peak, self.now())
                self.most_descriptors = max(self.most_descriptors, self.process.num_fds())
                time.sleep(0.1)


@contextmanager
def serving(folder: Path, serving_dir: Path) -> Iterator[tuple[Any, dict[str, int], Path]]:
    """`seqline serve` as a process: (the process, ports by protocol, its log)."""
    log, port_file = folder / "server.log", folder / "port"
    flags = ["--rest_api_port=0", f"--port_file={port_file}", f"--model_name={NAME}"]
    flags += [f"--model_base_path={serving_dir}"]
    ports = {}
    if has_grpc():
        ports["grpc"] = free_port()
        flags.append(f"--port={ports['grpc']}")

    command = [sys.executable, "-m", "pipeline", "serve", *flags]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + TIMEOUT
        while not port_file.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        ports["rest"] = int(port_file.read_text())
        wait_until_loaded(ports["rest"], log)
        yield process, ports, log
    finally:
        process.kill()
        process.wait()


def has_grpc() -> bool:
    from serving import flags

    return hasattr(flags.parse([]), "port")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_until_loaded(port: int, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        with suppress(OSError):
            connection.request("GET", f"/v1/models/{NAME}")
            if b"AVAILABLE" in connection.getresponse().read():
                return
        connection.close()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def start_clients(ports: dict[str, int], num_rest: int, answers: Answers, shared: Shared) -> Any:
    """Starts the good clients, and waits until each is ready: [(process, pipe)]."""
    context = multiprocessing.get_context("spawn")
    kinds = [("rest", ask_over_rest)] * num_rest
    if "grpc" in ports:
        kinds.append(("grpc", ask_over_grpc))

    clients = []
    for protocol, target in kinds:
        ours, theirs = context.Pipe()
        arguments = (("127.0.0.1", ports[protocol]), answers, shared, theirs)
        process = context.Process(target=target, args=arguments, name=protocol, daemon=True)
        process.start()
        clients.append((process, ours))
    for _, ours in clients:
        ours.recv()
    return clients


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
        attackers = Attackers(address, worst_bodies(f"/v1/models/{NAME}"), given.connections)
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
    with tempfile.TemporaryDirectory() as folder:
        figures = tell(given, Path(folder))
    check_bounds(given, figures)
    print_figures(figures)
    print(json.dumps(figures))
    sys.exit(1 if figures["wrong"] or figures["wrong_answers"] else 0)


if __name__ == "__main__":
    main()
