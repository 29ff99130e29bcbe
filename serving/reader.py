"""A process that reads long bodies, beside the server: `python -m serving.reader`.

Python's JSON parser holds the interpreter's lock for the whole body, so that no thread of the
server would answer meanwhile. The process has a low priority, a bounded memory, and a bounded time
for each body. It imports no TensorFlow. It ends when the server does, whatever ends the server: its
socket, on descriptor 0, then has no other end.
"""

import gc
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from serving import reading
from serving.errors import RefusedError
from serving.limits import RequestLimits
from serving.reading import Question, ReadRequest
from serving.strings import Strings, pack
from serving.tensors import Tensor

# How much less than the server's its share of a busy processor is.
NICE = 10
# Bytes of Python objects for a byte of JSON: `{"":0},` becomes a dict.
OBJECT_BYTES = 64
MORE_BYTES = 256 << 20
# Sizes of the header and of all buffers after it.
SIZES = struct.Struct("!IQ")


def main() -> None:
    """Reads bodies until the server closes the socket."""
    # The server finishes its requests after Ctrl-C and SIGTERM, and needs this process for it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICE)
    gc.disable()  # JSON has no cycles, and a collection visits each of its objects.

    settings = json.loads(sys.argv[1])
    limits, seconds = RequestLimits(**settings["limits"]), settings["seconds"]
    _limit_memory(limits)

    with socket.socket(fileno=os.dup(0)) as server:
        while message := receive(server):
            header, body = message
            # CPU time, after which the system ends the process: it may be inside the parser.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            try:
                answer = _answer(header, body, limits)
            except RefusedError as error:
                answer = {"error": str(error), "status": error.status}, []
            except MemoryError:
                text = "The request takes too much memory to read. Send its rows in several."
                answer = {"error": text, "status": 413}, []
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

            del message, body
            try:
                send(server, *answer)
            except OSError:
                return


def _limit_memory(limits: RequestLimits) -> None:
    try:
        import resource
    except ImportError:  # Not on Windows.
        return

    held = OBJECT_BYTES * limits.max_body_bytes + 4 * limits.max_held_bytes + MORE_BYTES
    before = 0
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm", encoding="ascii") as file:
            before = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (before + held, before + held))


def _answer(
    header: Any, body: bytearray, limits: RequestLimits
) -> tuple[dict[str, Any], list[Any]]:
    signatures = {
        name: {key: Tensor("", _dtype(dtype), shape) for key, (dtype, shape) in inputs.items()}
        for name, inputs in header["signatures"].items()
    }
    question = Question(header["encoding"], header["default"], signatures, header["of_examples"])
    return pack_request(reading.read(question, body, limits))


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # noqa: F401  # It makes bfloat16 and others known to numpy.

        return np.dtype(name)


def pack_request(request: ReadRequest) -> tuple[dict[str, Any], list[Any]]:
    """A header and buffers for what was read."""
    described, buffers = [], list[Any]()
    for name, value in request.inputs.items():
        if value.dtype.kind == "O":
            strings = pack(value)
            sent = [strings.ends.tobytes(), strings.blob]
        else:
            sent = [np.ascontiguousarray(value).tobytes()]
        described.append((name, value.dtype.str, value.shape, [len(buffer) for buffer in sent]))
        buffers += sent

    return {
        "signature": request.signature,
        "by_row": request.by_row,
        "inputs": described,
    }, buffers


def unpack_request(header: dict[str, Any], received: bytearray) -> ReadRequest:
    """What `pack_request` packed. The values are views of the buffer."""
    buffer, inputs = memoryview(received).toreadonly(), dict[str, Any]()
    for name, dtype, shape, sizes in header["inputs"]:
        if len(sizes) == 2:
            ends = np.frombuffer(buffer[: sizes[0]], np.int64)
            inputs[name] = Strings(buffer[sizes[0] : sum(sizes)], ends, tuple(shape))
        else:
            inputs[name] = np.frombuffer(buffer[: sizes[0]], dtype).reshape(shape)
        buffer = buffer[sum(sizes) :]
    return ReadRequest(header["signature"], header["by_row"], inputs)


def send(connection: socket.socket, header: Any, buffers: Sequence[Any]) -> None:
    encoded = json.dumps(header).encode()
    connection.sendall(SIZES.pack(len(encoded), sum(map(len, buffers))) + encoded)
    for buffer in buffers:
        connection.sendall(buffer)


def receive(connection: socket.socket) -> tuple[Any, bytearray] | None:
    """A header and what follows it; None if the other end closed the connection."""
    sizes = _receive_bytes(connection, SIZES.size)
    if sizes is None:
        return None
    num_header, num_buffer = SIZES.unpack(sizes)
    header = _receive_bytes(connection, num_header)
    buffer = _receive_bytes(connection, num_buffer)
    if header is None or buffer is None:
        return None
    return json.loads(header), buffer


def _receive_bytes(connection: socket.socket, size: int) -> bytearray | None:
    received = bytearray(size)
    view, position = memoryview(received), 0
    while position < size:
        try:
            count = connection.recv_into(view[position:])
        except ConnectionError:
            return None
        if not count:
            return None
        position += count
    view.release()
    return received


if __name__ == "__main__":
    main()
