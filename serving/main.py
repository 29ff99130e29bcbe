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
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from serving import config
from serving.config import ConfigError, ModelConfig
from serving.flags import parse
from serving.predict import standard_error_kept

log = logging.getLogger("seqline.serve")

NEEDED = {"uvicorn": "uvicorn", "starlette": "starlette", "prometheus_client": "prometheus-client"}
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
        _check_packages()
        configs = config.models_of(flags)
        listening = _listen(flags.host, flags.rest_api_port)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    # A descriptor of its own, see `_serve`.
    errors = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    logging.basicConfig(
        stream=errors, format="%(asctime)s %(levelname).1s %(message)s", level=logging.WARNING
    )
    log.setLevel(logging.INFO)

    with listening:
        asyncio.run(_serve(flags, configs, listening))
    return 0


def _check_packages() -> None:
    from importlib.util import find_spec

    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"seqline serve needs {', '.join(missing)}: {shlex.quote(sys.executable)} -m pip"
            f" install {' '.join(missing)}"
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


async def _serve(
    flags: argparse.Namespace, configs: list[ModelConfig], listening: socket.socket
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
    with standard_error_kept():
        import tensorflow as tf

        from serving.app import App
        from serving.batching import Batcher, Limits
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
    server = _stoppable_server(app)

    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()  # A million objects of TensorFlow's modules, which need no further collection.

    watching = asyncio.create_task(_watch(flags, configs, versions.update))
    announcing = asyncio.create_task(_announce(server, listening, flags.port_file))
    await server.serve(sockets=[listening])

    for task in (watching, announcing):
        task.cancel()
    log.info("stopped")
    # The interpreter's own exit would wait for a version that is being loaded.
    os._exit(0)


def _load(flags: argparse.Namespace, folder: Path) -> Any:
    """Loads a version and warms it up. Called in the loader's thread."""
    from serving.model import LoadedModel

    model = LoadedModel(
        folder, flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
    )
    try:
        sent = model.warm_up()
    except Exception:
        model.close()
        raise

    log.info("%s/%s: loaded, %d warm-up requests", folder.parent.name, folder.name, sent)
    return model


def _stoppable_server(app: Any) -> Any:
    """A uvicorn server that SIGTERM and Ctrl-C end when it has answered what it is answering."""
    import uvicorn

    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=75,
        ws="none",
    )
    server = uvicorn.Server(settings)

    # uvicorn's own handlers would raise the signal again after an orderly stop, and it
    # has no setting for that: the method is replaced.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    return server


async def _announce(server: Any, listening: socket.socket, port_file: Path | None) -> None:
    """Logs the address and writes the port file when the server accepts requests."""
    while not server.started:
        await asyncio.sleep(0.01)

    host, port = listening.getsockname()[:2]
    log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    if port_file:
        aside = port_file.with_name(f".{port_file.name}.{os.getpid()}")
        aside.write_text(f"{port}\n")
        os.replace(aside, port_file)


async def _watch(
    flags: argparse.Namespace,
    configs: list[ModelConfig],
    update: Callable[[list[ModelConfig]], Awaitable[None]],
) -> None:
    """Reads the config file and the base paths regularly. An error that stays is logged once."""
    loop = asyncio.get_running_loop()
    logged = ""
    config_read = loop.time()

    while True:
        try:
            await update(configs)
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
                configs = _read_again(flags, configs)
                logged = ""
            except ConfigError as error:
                if str(error) != logged:
                    log.error("%s The models stay as they were.", error)
                logged = str(error)


def _read_again(flags: argparse.Namespace, configs: list[ModelConfig]) -> list[ModelConfig]:
    if flags.model_config_file:
        return config.read(flags.model_config_file)
    return config.models_still_served(flags, configs)
