"""TensorFlow Serving's gRPC API and the standard health service, in the server's event loop.

Each method takes the bytes of a request: only so can a limit be checked before a message is built.
A method is declared as one that reads a stream, although its clients send one message, since gRPC
reads the one message of a plain method before it calls it: without a deadline, for every client at
once. Here at most `num_reading` messages are read at a time, each for at most READ_SECONDS.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import tensorflow as tf
from grpc_health.v1 import health_pb2

from serving.access import Access
from serving.app import App
from serving.errors import RefusedError, short
from serving.grpc_service import FailedCall, PredictionService
from serving.holding import Held
from serving.model import ABOUT_INPUT

log = logging.getLogger("seqline.serve")

# Seconds in which a request must arrive, and in which a stop lets the running ones end.
READ_SECONDS = 20.0
STOP_SECONDS = 30.0
# How often a health watch looks, and how many there may be.
WATCH_SECONDS = 0.5
MAX_WATCHES = 100
# Status of an HTTP answer -> that of an RPC.
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
# Number of a status, as TensorFlow's errors have it -> the status.
BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
HEALTH = "grpc.health.v1.Health"


def _options(max_body_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # Another server on the port is an error, not a partner.
        ("grpc.max_receive_message_length", max_body_bytes),
        ("grpc.max_send_message_length", -1),
        # No compression: a compressed message has a limit only before it is inflated.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.max_concurrent_streams", 100),
        ("grpc.max_allowed_incoming_connections", 1000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # A client that is gone or idle is let go. It may send keepalive pings of its own.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.max_connection_age_ms", 3_600_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


@dataclass
class Call:
    """A call.

    Attributes:
        method: As REST's, for the metrics.
        held: What it holds until it is answered.
        model: The model's name, "" for none that exists.
        version: The version that answers.
    """

    method: str
    held: Held
    model: str = ""
    version: str = ""


Method = Callable[[bytes, Call], Awaitable[bytes]]


class GrpcServer:
    """The gRPC server of an App: its models, its batches, its limits, its metrics.

    Args:
        app: The REST side.
        access: Who may ask.
        host: Where to listen.
        port: Where to listen.
    """

    def __init__(self, app: App, access: Access, host: str, port: int) -> None:
        self.app = app
        self.access = access
        self.num_watches = 0
        self.stopping = False
        num_reading = max(8, app.total.most // app.limits.max_body_bytes)
        self.reading = asyncio.Semaphore(num_reading)

        service = PredictionService(app)
        # As many as may wait, and the watches; gRPC refuses the next one before it is read.
        most = app.batcher.limits.max_queued + MAX_WATCHES
        self.server = grpc.aio.server(
            options=_options(app.limits.max_body_bytes), maximum_concurrent_rpcs=most
        )
        self.server.add_generic_rpc_handlers(
            [
                self._handlers(
                    "tensorflow.serving.PredictionService",
                    {
                        "Predict": service.predict,
                        "Classify": service.classify,
                        "Regress": service.regress,
                        "MultiInference": service.multi_inference,
                        "GetModelMetadata": service.get_model_metadata,
                    },
                ),
                self._handlers(
                    "tensorflow.serving.ModelService",
                    {
                        "GetModelStatus": service.get_model_status,
                        "HandleReloadConfigRequest": service.handle_reload_config_request,
                    },
                ),
                grpc.method_handlers_generic_handler(
                    HEALTH,
                    {
                        "Check": grpc.stream_unary_rpc_method_handler(self._check),
                        "Watch": grpc.stream_stream_rpc_method_handler(self._watch),
                    },
                ),
            ]
        )

        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if access.tls is None:
            self.server.add_insecure_port(self.address)
        else:
            tls = access.tls
            credentials = grpc.ssl_server_credentials(
                [(tls.key, tls.certificate)], tls.client_ca, tls.client_ca is not None
            )
            self.server.add_secure_port(self.address, credentials)

    async def start(self) -> None:
        await self.server.start()

    async def stop(self) -> None:
        """Takes no more calls, and ends the running ones, at the latest after STOP_SECONDS."""
        self.stopping = True
        await self.server.stop(STOP_SECONDS)

    # Calls.

    def _handlers(self, service: str, methods: dict[str, Method]) -> Any:
        return grpc.method_handlers_generic_handler(
            service,
            {
                name: grpc.stream_unary_rpc_method_handler(self._handler(name, method))
                for name, method in methods.items()
            },
        )

    def _handler(self, name: str, method: Method) -> Any:
        """What gRPC calls for a method: reads the request, counts it, and words its failure."""

        async def handle(messages: Any, context: grpc.aio.ServicerContext) -> bytes:
            call = Call(name, Held(self.app.total))
            started = time.monotonic()
            code, message, answer = grpc.StatusCode.OK, "", b""

            try:
                answer = await self._answer(method, call, context)
            except asyncio.CancelledError:  # The client is gone, or its deadline has passed.
                self._count(call, grpc.StatusCode.CANCELLED, started)
                raise
            except (FailedCall, RefusedError, *ABOUT_INPUT) as error:
                code, message = _status_of(error)
            except Exception:
                log.exception("gRPC %s", name)
                code = grpc.StatusCode.INTERNAL
                message = "Internal error; the server's log has more."

            self._count(call, code, started)
            if code is not grpc.StatusCode.OK:
                await context.abort(code, message.encode("utf-8", "replace").decode())
            return answer

        return handle

    async def _answer(self, method: Method, call: Call, context: Any) -> bytes:
        self._authorize(context)
        body = await self._read(context)
        try:
            call.held.add(len(body))
            return await method(body, call)
        finally:
            call.held.release()

    def _authorize(self, context: Any) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization")
        if not self.access.is_allowed(given):
            raise FailedCall(
                grpc.StatusCode.UNAUTHENTICATED,
                "This server wants its token: authorization: Bearer TOKEN",
            )

    async def _read(self, context: Any) -> bytes:
        """The one message of a call."""
        try:
            async with asyncio.timeout(READ_SECONDS), self.reading:
                body = await context.read()
        except TimeoutError:
            raise FailedCall(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"The request did not arrive within {READ_SECONDS:g} s.",
            ) from None

        if body is grpc.aio.EOF:
            raise RefusedError("The call has no message.")
        return body

    def _count(self, call: Call, code: grpc.StatusCode, started: float) -> None:
        self.app.metrics.on_rpc(
            call.model, call.version, call.method, code.name, time.monotonic() - started
        )

    # Health.

    async def _check(self, messages: Any, context: grpc.aio.ServicerContext) -> bytes:
        status = self._health(await self._service_name(context))
        if status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no model of that name.")
        return health_pb2.HealthCheckResponse(status=status).SerializeToString()

    async def _watch(self, messages: Any, context: grpc.aio.ServicerContext) -> None:
        if self.num_watches >= MAX_WATCHES:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_WATCHES} clients watch already."
            )

        self.num_watches += 1
        try:
            name = await self._service_name(context)
            last = None
            while True:
                status = self._health(name)
                if status != last:
                    response = health_pb2.HealthCheckResponse(status=status)
                    await context.write(response.SerializeToString())
                last = status
                if self.stopping:
                    return
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            self.num_watches -= 1

    async def _service_name(self, context: grpc.aio.ServicerContext) -> str:
        """The model that a health request asks about, "" for the whole server."""
        try:
            body = await self._read(context)
            name: str = health_pb2.HealthCheckRequest.FromString(body).service
            if name:  # The state of the whole server is for everybody, as /healthz is.
                self._authorize(context)
            return name
        except Exception as error:
            if not isinstance(error, FailedCall):
                error = FailedCall(grpc.StatusCode.INVALID_ARGUMENT, "This is no health request.")
            await context.abort(error.code, str(error))
            raise  # Not reached: abort raises.

    def _health(self, name: str) -> int:
        """SERVING while the model, or for "" the server, has a version that takes requests."""
        versions, status = self.app.versions, health_pb2.HealthCheckResponse
        if name and name not in versions.models:
            return status.SERVICE_UNKNOWN
        is_ready = bool(versions.models[name].available()) if name else not versions.not_ready()
        return status.SERVING if is_ready and not self.stopping else status.NOT_SERVING


def _status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status and the message of a call that was refused."""
    if isinstance(error, FailedCall):
        return error.code, str(error)
    if isinstance(error, RefusedError):
        return CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error)
    assert isinstance(error, tf.errors.OpError)
    return BY_NUMBER[error.error_code], short(error.message)
