"""Metrics for Prometheus under TensorFlow Serving's names, so that its dashboards work here, too.

Times are in microseconds. TensorFlow Serving does not have the labels `version` and `code`, the
HTTP status.
"""

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

PREFIX = ":tensorflow:serving:"
MICROSECONDS = [100 * 2**power for power in range(18)]  # 0.1 ms to 13 s
ROWS = [2**power for power in range(13)]
# HTTP status -> the name that TensorFlow Serving counts it under.
STATUS = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Metrics:
    """The server's metrics.

    Attributes:
        registry: Holds all of them, and the process's own.
    """

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        # Requests, from their last byte to their answer.
        self.requests = Counter(
            f"{PREFIX}request_count",
            "Requests by model and status.",
            ["model_name", "version", "method", "code", "status"],
            registry=registry,
        )

        self.latency = Histogram(
            f"{PREFIX}request_latency",
            "Microseconds from a request's last byte to its answer.",
            ["model_name", "API", "entrypoint"],
            buckets=MICROSECONDS,
            registry=registry,
        )

        # Batches, each a call of a model.
        self.runtime = Histogram(
            f"{PREFIX}runtime_latency",
            "Microseconds of a batch in TensorFlow.",
            buckets=MICROSECONDS,
            registry=registry,
        )

        self.batch_size = Histogram(
            f"{PREFIX}batching_session:batch_size",
            "Rows of a batch.",
            buckets=ROWS,
            registry=registry,
        )

        # The state of the server at the moment.
        self.loaded = Gauge(
            f"{PREFIX}loaded_version",
            "1 for each version that takes requests.",
            ["model_name", "version"],
            registry=registry,
        )

        self.running = Gauge(
            f"{PREFIX}running_batches", "Batches that TensorFlow runs.", registry=registry
        )
        self.waiting = Gauge(
            f"{PREFIX}queued_requests", "Requests that wait for a thread.", registry=registry
        )

        # Looks at places in object stores.
        self.polls = Counter(
            f"{PREFIX}remote_polls",
            "Looks at a place in an object store: OK, or ERROR while it cannot be read.",
            ["place", "status"],
            registry=registry,
        )
        self.failing = Gauge(
            f"{PREFIX}remote_poll_failing",
            "1 for each place in an object store whose last look failed.",
            ["place"],
            registry=registry,
        )

    def on_poll(self, place: str, problem: str) -> None:
        self.polls.labels(place, "ERROR" if problem else "OK").inc()
        self.failing.labels(place).set(bool(problem))

    def on_batch(self, rows: int, seconds: float) -> None:
        self.batch_size.observe(rows)
        self.runtime.observe(1e6 * seconds)

    def on_request(self, model: str, version: str, method: str, code: int, seconds: float) -> None:
        self.requests.labels(model, version, method, str(code), STATUS.get(code, "UNKNOWN")).inc()
        self.latency.labels(model, method.capitalize(), "REST").observe(1e6 * seconds)

    def on_rpc(self, model: str, version: str, method: str, status: str, seconds: float) -> None:
        """Counts a call of gRPC, which has no HTTP status."""
        self.requests.labels(model, version, method.lower(), "", status).inc()
        self.latency.labels(model, method, "GRPC").observe(1e6 * seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        # prometheus_client insists on the suffix _total; TensorFlow Serving does without.
        return prometheus_client.generate_latest(self.registry).replace(
            b":request_count_total", b":request_count"
        )
