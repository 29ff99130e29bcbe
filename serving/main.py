"""Starts the server, watches the models, and stops in an orderly way."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from serving import config, logs
from serving.access import Access, AccessError
from serving.access import read as read_access
from serving.asking import standard_error_kept
from serving.config import ConfigError, ModelConfig
from serving.connections import WAITING_TO_BE_ACCEPTED
from serving.flags import parse
from serving.lean_imports import tensorflow_alone
from serving.mirror import Mirrors
from serving.verify import verified

log = logging.getLogger("seqline.serve")

NEEDED = {
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "starlette": "starlette",
    "prometheus_client": "prometheus-client",
}
NEEDED_BY_GRPC = {
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "tensorflow_serving": "tensorflow-serving-api",
}
DAMAGED = "Push it again or roll back (seqline rollback); --unverified serves it as it is"
# Seconds that a thread may hold Python's lock while others wait. The default, 5 ms, is longer than
# a request takes.
SWITCH_INTERVAL = 0.0005


def main(arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or Ctrl-C.

    Returns:
        The exit code: 0, or 2 for a wrong flag or a port that is taken.
    """
    flags = parse(arguments)
    try:
        _check_packages(NEEDED)
        access = read_access(flags)
        mirrors = Mirrors()
        configs = config.models_of(flags, mirrors)
        _check_port_file(flags.port_file)
        _check_grpc(flags.host, flags.port)
        listening = _listen(flags.host, flags.rest_api_port)
    except (AccessError, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    logs.start(flags.log_format)
    log.setLevel(logging.INFO)
    logging.getLogger("seqline.access").setLevel(logging.INFO)

    with listening:
        asyncio.run(_serve(flags, configs, mirrors, access, listening))
    return 0


def _check_packages(needed: Mapping[str, str]) -> None:
    from importlib.util import find_spec

    missing = [package for module, package in needed.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"seqline serve needs {', '.join(missing)}: {shlex.quote(sys.executable)} -m pip"
            f" install {' '.join(missing)}"
        )


def _check_port_file(path: Path | None) -> None:
    if path and (path.is_dir() or not os.access(path.parent, os.W_OK)):
        raise ConfigError(
            f"--port_file {path} cannot be written; give a file in a folder that can."
        )


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 1 << 16:
        raise ConfigError(
            f"--rest_api_port {port} is not a port. Give one up to 65535, or 0 for any free one."
        )

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]

        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"--host {host} --rest_api_port {port}: {reason}. Give a free port, or 0 for any."
        ) from None

    return listening


def _check_grpc(host: str, port: int) -> None:
    """Refuses a port that gRPC cannot have, before the models are loaded."""
    if not port:
        return
    _check_packages(NEEDED_BY_GRPC)
    if not 0 <= port < 1 << 16:
        raise ConfigError(f"--port {port} is not a port. Give one up to 65535, or 0 for no gRPC.")

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise ConfigError(
            f"--host {host} --port {port}: {error.strerror or error}. Give a free port, or 0 for no"
            " gRPC."
        ) from None


async def _serve(
    flags: argparse.Namespace,
    configs: list[ModelConfig],
    mirrors: Mirrors,
    access: Access,
    listening: socket.socket,
) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow would log each wrong request.

    from serving.limits import RequestLimits
    from serving.readers import Readers

    # Its processes start while TensorFlow is imported.
    request_limits = RequestLimits(
        flags.max_body_bytes, flags.max_rows, flags.max_text_bytes, flags.max_held_bytes
    )
    readers = Readers(request_limits, flags.max_read_seconds)

    # TensorFlow ignores its log level while it is loaded, and when it finds no GPU.
    with standard_error_kept(), tensorflow_alone():
        import tensorflow as tf

        from serving.app import App
        from serving.batching import Batcher, Limits
        from serving.http_server import make_server
        from serving.metrics import Metrics
        from serving.versions import Versions

        tf.config.list_physical_devices("GPU")

    metrics = Metrics()
    limits = Limits(
        enabled=flags.enable_batching,
        max_batch_size=flags.max_batch_size,
        timeout=flags.batch_timeout_micros / 1e6,
        num_threads=flags.num_batch_threads,
        max_queued=flags.max_queued_requests,
        max_output_bytes=flags.max_held_bytes,
    )
    batcher = Batcher(limits, metrics.on_batch)
    versions = Versions(partial(_load, flags))
    app = App(versions, batcher, metrics, readers, request_limits, flags.max_total_bytes)
    server, connections = make_server(flags, app, access)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    grpc_server = await _start_grpc(flags, app, access) if flags.port else None

    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()  # A million objects of TensorFlow's modules, which need no further collection.

    watching = asyncio.create_task(_watch(flags, configs, mirrors, versions, metrics))
    announcing = asyncio.create_task(_announce(server, listening, access, flags.port_file))
    sweeping = asyncio.create_task(connections.sweep())
    port = listening.getsockname()[1]
    await server.serve(sockets=[listening])
    if grpc_server is not None:
        await grpc_server.stop()

    for task in (watching, announcing, sweeping):
        task.cancel()
    _remove_port_file(flags.port_file, port)
    log.info("stopped")
    # The interpreter's own exit would wait for a version that is being loaded.
    os._exit(0)


async def _start_grpc(flags: argparse.Namespace, app: Any, access: Access) -> Any:
    # A client's failed handshake shall not fill the log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from serving.grpc_server import GrpcServer

    server = GrpcServer(app, access, flags.host, flags.port)
    await server.start()
    log.info("listening for gRPC on %s", server.address)
    return server


def _load(flags: argparse.Namespace, folder: Path) -> Any:
    """Loads a version that is what was pushed and warms it up. Called in the loader's thread."""
    from serving.model import LoadedModel

    model = None
    try:
        with verified(folder, DAMAGED, flags.unverified):
            model = LoadedModel(
                folder, flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
            )
            sent = model.warm_up()
    except Exception:
        if model is not None:
            model.close()
        raise

    log.info("%s/%s: loaded, %d warm-up requests", folder.parent.name, folder.name, sent)
    return model


async def _announce(
    server: Any, listening: socket.socket, access: Access, port_file: Path | None
) -> None:
    """Logs the address and writes the port file when the server accepts requests."""
    while not server.started:
        await asyncio.sleep(0.01)
    # asyncio accepts as many at once as the system may keep waiting; the second may be more.
    listening.listen(WAITING_TO_BE_ACCEPTED)

    host, port = listening.getsockname()[:2]
    scheme = "https" if access.tls else "http"
    log.info("listening on %s://%s:%d", scheme, f"[{host}]" if ":" in host else host, port)

    if port_file:
        try:
            # A name that no one can have put a link at before.
            descriptor, aside = tempfile.mkstemp(prefix=f".{port_file.name}.", dir=port_file.parent)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{port}\n")
            os.chmod(aside, 0o644)  # as a program that waits for it may be another user's
            os.replace(aside, port_file)
        except OSError as error:
            log.error("--port_file %s cannot be written: %s", port_file, error.strerror)
            server.should_exit = True


def _remove_port_file(port_file: Path | None, port: int) -> None:
    """Removes the port file, unless another server has written its port there."""
    if port_file:
        with contextlib.suppress(OSError):
            if port_file.read_text() == f"{port}\n":
                port_file.unlink()


async def _watch(
    flags: argparse.Namespace,
    configs: list[ModelConfig],
    mirrors: Mirrors,
    versions: Any,
    metrics: Any,
) -> None:
    """Reads the config file and the base paths regularly. An error that stays is logged once."""
    loop = asyncio.get_running_loop()
    logged = ""
    config_read = loop.time()
    problems: dict[str, str] = {}

    while True:
        try:
            used = [_used_folder(flags, mirrors), *(model.base_path for model in configs)]
            looked = await loop.run_in_executor(None, mirrors.poll, versions.choose_copies(), used)
            _tell(looked, problems, metrics)
            problems = looked
            await versions.update(configs)
        except Exception:
            log.exception("the base paths cannot be read")

        file_wait = flags.file_system_poll_wait_seconds
        config_wait = flags.model_config_file_poll_wait_seconds if flags.model_config_file else 0
        if not file_wait and not config_wait:
            return

        await asyncio.sleep(min(wait for wait in (file_wait, config_wait) if wait))
        is_due = config_wait and loop.time() >= config_read + config_wait
        if is_due or not flags.model_config_file:
            config_read = loop.time()
            try:
                configs = await loop.run_in_executor(None, _read_again, flags, configs, mirrors)
                logged = ""
            except ConfigError as error:
                if str(error) != logged:
                    log.error("%s The models stay as they were.", error)
                logged = str(error)


def _used_folder(flags: argparse.Namespace, mirrors: Mirrors) -> Path:
    """The folder of --model_base_path, unless a config file is read instead of it."""
    return Path() if flags.model_config_file else config.base_folder(flags, mirrors)


def _tell(looked: dict[str, str], problems: dict[str, str], metrics: Any) -> None:
    """Counts looks at object stores, and logs what has become of them since the last."""
    for place, problem in looked.items():
        metrics.on_poll(place, problem)
        if problem and problem != problems.get(place):
            log.error("%s What is loaded is served on.", problem)
        if not problem and problems.get(place):
            log.info("%s can be read again", place)


def _read_again(
    flags: argparse.Namespace, configs: list[ModelConfig], mirrors: Mirrors
) -> list[ModelConfig]:
    if flags.model_config_file:
        return config.read(flags.model_config_file, mirrors)
    return config.models_still_served(flags, configs, mirrors)
