"""Flags, start and stop. The flags that tensorflow_model_server has, too, mean the same here."""

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
from pathlib import Path
from typing import Any

from pipeline.serve import config
from pipeline.serve.config import ConfigError, ModelConfig

log = logging.getLogger("seqline.serve")

NEEDED = {"uvicorn": "uvicorn", "starlette": "starlette", "prometheus_client": "prometheus-client"}
# How long a thread may hold Python's lock while others wait (seconds). 5 ms, the default, is longer than a request takes.
SWITCH_INTERVAL = 0.0005


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("seqline serve", description="TensorFlow Serving's REST API on SavedModels, for this machine.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--rest_api_port", type=int, default=8501, help="port (default: %(default)s); 0 for any free one")
    add("--port_file", type=Path, help="where to write the port once requests are accepted")
    add("--model_name", default="seqline", help="name of the model in paths (default: %(default)s)")
    add("--model_base_path", type=Path, default=Path("serving_dir"), help="folder with the versions (default: %(default)s)")
    add("--model_config_file", type=Path, help="a ModelServerConfig as text: several models, version policies, labels")
    poll = "seconds between looks at %s (default: %%(default)s); 0 for one look only"
    add("--model_config_file_poll_wait_seconds", type=_seconds, default=1.0, help=poll % "the config file")
    add("--file_system_poll_wait_seconds", type=_seconds, default=1.0, help=poll % "the base paths")
    add("--enable_batching", type=_boolean, default=True, help="join waiting requests (default: true)")
    add("--max_batch_size", type=_positive, default=64, help="rows of a batch (default: %(default)s)")
    add("--batch_timeout_micros", type=_seconds, default=1000, help="how long a request may wait for others (default: %(default)s)")
    add("--num_batch_threads", type=_positive, default=os.cpu_count() or 1, help="batches that run at once (default: the cores)")
    add("--max_queued_requests", type=_positive, default=1000, help="requests that may wait; beyond, 503 (default: %(default)s)")
    add("--max_body_bytes", type=_positive, default=16 << 20, help="of one request; beyond, 413 (default: %(default)s)")
    add("--max_total_bytes", type=_positive, default=256 << 20, help="of all requests in flight; beyond, 503 (default: %(default)s)")
    add("--max_rows", type=_positive, default=10_000, help="of one request; beyond, 413 (default: %(default)s)")
    add("--tensorflow_intra_op_parallelism", type=int, default=0, help="threads of one operation; 0 lets TensorFlow choose")
    add("--tensorflow_inter_op_parallelism", type=int, default=0, help="operations of one call at once; 0 lets TensorFlow choose")
    return parser.parse_args(arguments)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is no duration")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return text.lower() in ("true", "1")


def main(arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or Ctrl-C. Returns the exit code: 0, or 2 for a wrong flag or a port that is taken."""
    flags = parse(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname).1s %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    try:
        _check_packages()
        configs = _configs(flags)
        listening = _listen(flags.host, flags.rest_api_port)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with listening:
        asyncio.run(_serve(flags, configs, listening))
    return 0


def _check_packages() -> None:
    from importlib.util import find_spec

    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(f"seqline serve needs {', '.join(missing)}: {shlex.quote(sys.executable)} -m pip install {' '.join(missing)}")


def _configs(flags: argparse.Namespace) -> list[ModelConfig]:
    if flags.model_config_file:
        return config.read(flags.model_config_file)
    return [ModelConfig(config.check_name(flags.model_name, "--model_name"), flags.model_base_path)]


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 1 << 16:
        raise ConfigError(f"--rest_api_port {port} is no port. Give one up to 65535, or 0 for any free one.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"--host {host} --rest_api_port {port}: {reason}. Give a free port, or 0 for any.") from None
    return listening


async def _serve(flags: argparse.Namespace, configs: list[ModelConfig], listening: socket.socket) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow would log each wrong request

    import uvicorn

    from pipeline.serve.app import App
    from pipeline.serve.batching import Batcher, Limits
    from pipeline.serve.metrics import Metrics
    from pipeline.serve.model import LoadedModel
    from pipeline.serve.versions import Versions

    def load(folder: Path) -> LoadedModel:
        model = LoadedModel(folder, flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism)
        try:
            sent = model.warm_up()
        except Exception:
            model.close()
            raise
        log.info("%s/%s: loaded, %d warm-up requests", folder.parent.name, folder.name, sent)
        return model

    metrics = Metrics()
    timeout = flags.batch_timeout_micros / 1e6
    limits = Limits(flags.enable_batching, flags.max_batch_size, timeout, flags.num_batch_threads, flags.max_queued_requests)
    batcher = Batcher(limits, metrics.on_batch)
    versions = Versions(load)
    app = App(versions, batcher, metrics, flags.max_body_bytes, flags.max_rows, flags.max_total_bytes)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False, timeout_keep_alive=75, ws="none")
    )
    # Not uvicorn's own handlers: they raise the signal once more behind a stop that went well.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()  # TensorFlow's modules: a million objects that no collection needs to look at again
    watching = asyncio.create_task(_watch(flags, configs, versions.update))
    announcing = asyncio.create_task(_announce(server, listening, flags.port_file))
    await server.serve(sockets=[listening])
    for task in (watching, announcing):
        task.cancel()
    log.info("stopped")
    # Not the interpreter's own way out: it would wait for a version that is being loaded.
    os._exit(0)


async def _announce(server: Any, listening: socket.socket, port_file: Path | None) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = listening.getsockname()[:2]
    log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    if port_file:
        aside = port_file.with_name(f".{port_file.name}.{os.getpid()}")
        aside.write_text(f"{port}\n")
        os.replace(aside, port_file)


async def _watch(flags: argparse.Namespace, configs: list[ModelConfig], update: Callable[[list[ModelConfig]], Awaitable[None]]) -> None:
    """Looks at the config file and the base paths again and again; what is wrong with them is said once."""
    loop = asyncio.get_running_loop()
    said = ""
    config_read = loop.time()
    while True:
        try:
            await update(configs)
        except Exception:
            log.exception("the look at the base paths failed")
        waits = [flags.file_system_poll_wait_seconds, flags.model_config_file_poll_wait_seconds if flags.model_config_file else 0]
        if not any(waits):
            return
        await asyncio.sleep(min(wait for wait in waits if wait))
        if waits[1] and loop.time() >= config_read + waits[1]:
            config_read = loop.time()
            try:
                configs, said = config.read(flags.model_config_file), ""
            except ConfigError as error:
                if str(error) != said:
                    log.error("%s The models stay as they were.", error)
                said = str(error)
