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

from serving import config
from serving.arguments import OneLineParser
from serving.config import ConfigError, ModelConfig
from serving.predict import SERVING_DIR, find_models, standard_error_kept

log = logging.getLogger("seqline.serve")

NEEDED = {"uvicorn": "uvicorn", "starlette": "starlette", "prometheus_client": "prometheus-client"}
# Of a model whose folder gives it no name.
MODEL_NAME = "seqline"
# How long a thread may hold Python's lock while others wait (seconds). 5 ms, the default, is longer
# than a request takes.
SWITCH_INTERVAL = 0.0005


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(
        "seqline serve", "TensorFlow Serving's REST API on SavedModels, for this machine."
    )
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only)",
    )
    add(
        "--rest_api_port",
        type=int,
        default=8501,
        help="port (default: %(default)s); 0 for any free one",
    )
    add("--port_file", type=Path, help="where to write the port once requests are accepted")
    add(
        "--model_name",
        help=(
            "name of the model in paths (default: its folder's under --model_base_path, else"
            f" {MODEL_NAME})"
        ),
    )
    base_path = (
        "folder with the versions of a model, or with a folder for each of several models (default:"
        " %(default)s)"
    )
    add("--model_base_path", type=Path, default=Path(SERVING_DIR), help=base_path)
    add(
        "--model_config_file",
        type=Path,
        help="a ModelServerConfig as text: several models, version policies, labels",
    )
    poll = "seconds between looks at %s (default: %%(default)s); 0 for one look only"
    add(
        "--model_config_file_poll_wait_seconds",
        type=_seconds,
        default=1.0,
        help=poll % "the config file",
    )
    add("--file_system_poll_wait_seconds", type=_seconds, default=1.0, help=poll % "the base paths")
    add(
        "--enable_batching",
        type=_boolean,
        default=True,
        help="join waiting requests (default: true)",
    )
    add(
        "--max_batch_size",
        type=_positive,
        default=64,
        help="rows of a batch (default: %(default)s)",
    )
    add(
        "--batch_timeout_micros",
        type=_seconds,
        default=1000,
        help="how long a request may wait for others (default: %(default)s)",
    )
    add(
        "--num_batch_threads",
        type=_positive,
        default=os.cpu_count() or 1,
        help="batches that run at once (default: the cores)",
    )
    add(
        "--max_queued_requests",
        type=_positive,
        default=1000,
        help="requests that may wait; beyond, 503 (default: %(default)s)",
    )
    add(
        "--max_body_bytes",
        type=_positive,
        default=16 << 20,
        help="of one request; beyond, 413 (default: %(default)s)",
    )
    add(
        "--max_total_bytes",
        type=_positive,
        default=256 << 20,
        help="of all requests in flight; beyond, 503 (default: %(default)s)",
    )
    add(
        "--max_rows",
        type=_positive,
        default=10_000,
        help="of one request; beyond, 413 (default: %(default)s)",
    )
    add(
        "--tensorflow_intra_op_parallelism",
        type=int,
        default=0,
        help="threads of one operation; 0 lets TensorFlow choose",
    )
    add(
        "--tensorflow_inter_op_parallelism",
        type=int,
        default=0,
        help="operations of one call at once; 0 lets TensorFlow choose",
    )
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
    """Serves until SIGTERM or Ctrl-C.

    Returns the exit code: 0, or 2 for a wrong flag or a port that is taken.
    """
    flags = parse(arguments)
    try:
        _check_packages()
        configs = _configs(flags)
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


def _configs(flags: argparse.Namespace) -> list[ModelConfig]:
    """The models to serve, as they are now.

    Of the config file; of the base path, or of each folder with versions under it.
    """
    if flags.model_config_file:
        return config.read(flags.model_config_file)
    name, base_path = flags.model_name, flags.model_base_path
    if name is not None:
        config.check_name(name, "--model_name")
    models = find_models(base_path)
    holds_versions = any(base_path.glob("[0-9]*/saved_model.pb"))
    if not models or (holds_versions and base_path != Path(SERVING_DIR)):
        return [ModelConfig(name or MODEL_NAME, base_path)]
    if holds_versions:  # from before models had names
        models = {MODEL_NAME: base_path, **models}
    if name is None:
        return [
            ModelConfig(config.check_name(each, "--model_base_path"), folder)
            for each, folder in models.items()
        ]
    if name not in models and len(models) > 1:
        raise ConfigError(
            f"--model_name {name}: {base_path} holds {', '.join(models)}. Name one of them, or its"
            " folder by --model_base_path."
        )
    return [ModelConfig(name, models.get(name, next(iter(models.values()))))]


def _seen_again(flags: argparse.Namespace, configs: list[ModelConfig]) -> list[ModelConfig]:
    """The models under the base path now.

    One whose folder went stays: its last version is served on.
    """
    found = _configs(flags)
    names = {each.name for each in found}
    return found + [
        each
        for each in configs
        if each.name not in names and each.base_path != flags.model_base_path
    ]


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 1 << 16:
        raise ConfigError(
            f"--rest_api_port {port} is no port. Give one up to 65535, or 0 for any free one."
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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow would log each wrong request

    with (
        standard_error_kept()
    ):  # no log level counts while TensorFlow is loaded, nor where it finds no GPU
        import tensorflow as tf
        import uvicorn

        from serving.app import App
        from serving.batching import Batcher, Limits
        from serving.metrics import Metrics
        from serving.model import LoadedModel
        from serving.versions import Versions

        tf.config.list_physical_devices("GPU")

    def load(folder: Path) -> LoadedModel:
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

    metrics = Metrics()
    timeout = flags.batch_timeout_micros / 1e6
    limits = Limits(
        flags.enable_batching,
        flags.max_batch_size,
        timeout,
        flags.num_batch_threads,
        flags.max_queued_requests,
    )
    batcher = Batcher(limits, metrics.on_batch)
    versions = Versions(load)
    app = App(
        versions, batcher, metrics, flags.max_body_bytes, flags.max_rows, flags.max_total_bytes
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=75,
            ws="none",
        )
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


async def _watch(
    flags: argparse.Namespace,
    configs: list[ModelConfig],
    update: Callable[[list[ModelConfig]], Awaitable[None]],
) -> None:
    """Looks at the config file and the base paths again and again.

    What is wrong with them is said once.
    """
    loop = asyncio.get_running_loop()
    said = ""
    config_read = loop.time()
    while True:
        try:
            await update(configs)
        except Exception:
            log.exception("the look at the base paths failed")
        waits = [
            flags.file_system_poll_wait_seconds,
            flags.model_config_file_poll_wait_seconds if flags.model_config_file else 0,
        ]
        if not any(waits):
            return
        await asyncio.sleep(min(wait for wait in waits if wait))
        if not flags.model_config_file or (waits[1] and loop.time() >= config_read + waits[1]):
            config_read = loop.time()
            try:
                configs = (
                    config.read(flags.model_config_file)
                    if flags.model_config_file
                    else _seen_again(flags, configs)
                )
                said = ""
            except ConfigError as error:
                if str(error) != said:
                    log.error("%s The models stay as they were.", error)
                said = str(error)
