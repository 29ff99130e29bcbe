"""Mutated requests against the parsers, the HTTP layer and gRPC, by Hypothesis, for a given time.

    python -m tests.soak.request_fuzz [--minutes 20] [--seed 0]

Three targets share the time. The parser is called in this process: it returns or raises
RefusedError. The HTTP layer gets valid requests with a few mutations over raw sockets, each
followed by a second request: no 5xx, no answer that is not HTTP, and no more answers than h11, an
independent parser, sees requests; requests that no server may take end the connection. gRPC gets
random TensorProtos: a status that blames the client, or an answer. The server must live and log no
traceback.
"""

import argparse
import base64
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from serving import examples, tensors
from serving.errors import RefusedError
from serving.limits import RequestLimits
from tests.soak.raw_http import FORBIDDEN, MODEL, SECOND, VALID, answers_in, exchange, requests_in
from tests.soak.server_process import free_port, has_grpc
from tests.support.served import Server, half_plus, serving

EXAMPLES = 300  # of one call of Hypothesis
LIMITS = RequestLimits(max_rows=100)
SHOWN = 10


@dataclass
class Found:
    """What a target did: how often each outcome, and what is wrong, each kind once."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    def complain(self, kind: str, about: Any) -> None:
        self.wrong.setdefault(kind, repr(about)[:600])


# The parser.

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=9).map(lambda data: {"b64": base64.b64encode(data).decode()})
    | st.sampled_from([{"b64": "YQ"}, {"b64": "Y\nQ=="}, {"b64": 1}, {"b64": "é"}, [], {}, 1e400])
)
NAMES = st.sampled_from(["x", "text", "a", "b", "examples", "b64", "\ud800", ""])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=25,
)
KEYS = st.sampled_from(["instances", "inputs", "examples", "context", "signature_name", "x"])
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=3) | VALUES
DTYPES = ["bool", "object", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32"]
DTYPES += ["float64", "complex64"]
SPECS = st.dictionaries(
    st.sampled_from(["x", "a", "b", "text"]),
    st.builds(
        tensors.Tensor,
        node=st.just("n"),
        dtype=st.sampled_from(DTYPES).map(np.dtype),
        shape=st.none() | st.lists(st.integers(-1, 3), max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=3,
)

PIECES = [
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"[",
    b"]",
    b"{",
    b'"',
    b",",
    b":",
    b"\\",
    b"\xff",
    b"9",
]
PIECES += [rb"\ud800", b"1e999", b"NaN", b"-", b"Infinity", b"\xef\xbb\xbf", b"chunked", b"0x"]


def splices(data: bytes) -> st.SearchStrategy[bytes]:
    """The same bytes with a few of them replaced, repeated, removed or inserted."""
    pieces = st.sampled_from(PIECES) | st.binary(max_size=6)
    change = st.tuples(st.integers(0, len(data)), st.integers(0, 12), pieces)

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        changed = data
        for start, length, piece in changes:
            changed = changed[:start] + piece + changed[start + length :]
        return changed

    return st.lists(change, min_size=1, max_size=3).map(apply)


BODIES = DOCUMENTS.map(lambda document: json.dumps(document).encode()).flatmap(
    lambda body: st.just(body) | splices(body)
) | st.binary(max_size=60)


def fuzz_parser(found: Found) -> Callable[[], None]:
    """A test of the parser alone."""

    @given(BODIES, SPECS)
    def test(body: bytes, specs: dict[str, tensors.Tensor]) -> None:
        for read in (
            lambda document: tensors.read_inputs(document, specs, LIMITS),
            lambda document: examples.read_examples(document, LIMITS),
        ):
            try:
                read(tensors.parse(body))
                found.outcomes["read"] += 1
            except RefusedError as error:
                found.outcomes["refused"] += 1
                if len(str(error)) > 2000:
                    found.complain("a long error", body)
            except Exception as error:
                found.complain(f"{type(error).__name__}: {str(error)[:100]}", (body, specs))

    return test


# HTTP.


def judge_http(data: bytes, got: bytes, found: Found) -> list[tuple[int, bytes]]:
    answers = answers_in(got)
    if answers is None:
        found.complain("an answer that is not HTTP", (data, got))
        return []
    found.outcomes[" ".join(str(status) for status, _ in answers) or "no answer"] += 1
    if any(status >= 500 and status not in (501, 503, 505) for status, _ in answers):
        found.complain("a 5xx", (data, got))
    return answers


def fuzz_http(server: Server, found: Found) -> Callable[[], None]:
    """A test of the HTTP layer over sockets."""
    host, port = server.url.removeprefix("http://").split(":")

    @given(st.sampled_from(VALID).flatmap(splices))
    def test(first: bytes) -> None:
        data = first + SECOND
        got, _ = exchange((host, int(port)), data)
        answers = judge_http(data, got, found)
        count, is_mistaken = requests_in(data)
        if len(answers) > count + is_mistaken:
            found.complain(f"{len(answers)} answers to {count} requests", (data, got))
        if server.process.poll() is not None:
            found.complain("the server ended", data)

    return test


def try_forbidden(server: Server, found: Found) -> None:
    """Requests that no server may take."""
    host, port = server.url.removeprefix("http://").split(":")
    for name, data in FORBIDDEN.items():
        got, is_closed = exchange((host, int(port)), data + SECOND)
        answers = judge_http(data, got, found)
        statuses = [status for status, _ in answers]
        print(f"  {name:<40} {statuses}, {'closed' if is_closed else 'OPEN'}", flush=True)
        if any(status < 400 for status in statuses):
            found.complain(f"{name}: answered {statuses}", data)
        if len(answers) > 1 or not is_closed:
            found.complain(f"{name}: {statuses}, and the connection goes on", data)


# gRPC.


def fuzz_grpc(port: int, found: Found) -> Callable[[], None]:
    """A test of random TensorProtos."""
    import grpc
    from tensorflow.core.framework import tensor_pb2
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(f"127.0.0.1:{port}")
    )
    sizes = st.lists(st.integers(-2, 4) | st.sampled_from([2**31, 2**62, -(2**63)]), max_size=4)
    floats = st.lists(st.floats(width=32), max_size=5)

    @given(
        st.integers(0, 30),
        sizes,
        st.binary(max_size=20),
        floats,
        st.sampled_from(["x", "y", "", "\ud7ff"]),
        st.sampled_from(["", "serving_default", "classify", "tensorflow/serving/regress", "gone"]),
        st.booleans(),
    )
    def test(
        dtype: int,
        shape: list[int],
        content: bytes,
        values: list[float],
        name: str,
        signature: str,
        is_unknown_rank: bool,
    ) -> None:
        proto = tensor_pb2.TensorProto(dtype=dtype, tensor_content=content, float_val=values)
        proto.tensor_shape.unknown_rank = is_unknown_rank
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = MODEL
        request.model_spec.signature_name = signature
        request.inputs[name].CopyFrom(proto)
        try:
            stub.Predict(request, timeout=30)
            found.outcomes["OK"] += 1
        except grpc.RpcError as error:
            code = error.code().name
            found.outcomes[code] += 1
            if code in ("UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "DATA_LOSS"):
                found.complain(f"{code}: {error.details()[:200]}", request)

    return test


def repeat(make: Callable[[], Callable[[], None]], minutes: float, first_seed: int) -> None:
    """Calls a test, which `make` makes, with new seeds until the time is over."""
    end, number = time.monotonic() + minutes * 60, 0
    while time.monotonic() < end:
        run = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(seed(first_seed + number)(make()))
        run()
        number += 1


def measure(given_: argparse.Namespace, folder: Path) -> dict[str, Found]:
    half_plus(folder / MODEL / "1", 3)
    found = {"parser": Found(), "forbidden": Found(), "http": Found()}
    more = []
    if has_grpc():
        found["grpc"] = Found()
        port = free_port()
        more = [f"--port={port}"]
    minutes = given_.minutes / (len(found) - 1)

    repeat(partial(fuzz_parser, found["parser"]), minutes, given_.seed)
    arguments = (f"--model_name={MODEL}", f"--model_base_path={folder / MODEL}", *more)
    with serving(folder, *arguments) as server:
        server.wait(f"/v1/models/{MODEL}", "AVAILABLE")
        before = server.rss()
        try_forbidden(server, found["forbidden"])
        repeat(partial(fuzz_http, server, found["http"]), minutes, given_.seed)
        if more:
            repeat(partial(fuzz_grpc, port, found["grpc"]), minutes, given_.seed)

        grown = server.rss() - before
        print(f"memory of the server: {before >> 20} MB, then {grown >> 20} MB more")
        answer = server.post(f"/v1/models/{MODEL}:predict", {"instances": [1.0]})
        if answer.text.replace(" ", "").replace("\n", "") != '{"predictions":[3.5]}':
            found["http"].complain("a valid request afterwards", answer.text)
        log = server.log.read_text(errors="replace")
        print(f"log of the server: {len(log)} bytes")
        if "Traceback" in log:
            found["http"].complain("a traceback in the log", log[log.index("Traceback") :])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given_, Path(folder))

    for name, target in found.items():
        total = target.outcomes.total()
        common = ", ".join(f"{what} {count}" for what, count in target.outcomes.most_common(SHOWN))
        print(f"{name:<10} {total:>8} requests: {common}")
        for kind, example in target.wrong.items():
            print(f"WRONG: {name}: {kind}: {example}")
    wrong = {name: target.wrong for name, target in found.items() if target.wrong}
    counts = {name: target.outcomes.total() for name, target in found.items()}
    print(json.dumps({"minutes": given_.minutes, "requests": counts, "wrong": wrong}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
