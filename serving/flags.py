"""The flags of `seqline serve`. A flag of tensorflow_model_server means the same here."""

import argparse
import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving import foreign_flags
from serving.arguments import OneLineParser
from serving.predict import SERVING_DIR
from serving.protos import batching_parameters
from serving.remote import is_remote

# The name of a model whose folder does not give it one.
MODEL_NAME = "seqline"
MAX_BATCH_SIZE = 64


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line. A wrong flag ends the program with exit code 2."""
    parser = OneLineParser(
        "seqline serve", "TensorFlow Serving's REST API on SavedModels, for this machine."
    )
    _add_address(parser)
    _add_access(parser)
    _add_models(parser)
    _add_batching(parser)
    _add_limits(parser)
    _add_connections(parser)
    _add_threads(parser)
    _add_logs(parser)

    try:
        known = foreign_flags.without(arguments, parser.prog)
        flags = parser.parse_args(known)
        if flags.batching_parameters_file:
            # Flags that are given themselves count more than those of the file.
            parser.set_defaults(**_batching_file(flags.batching_parameters_file))
            flags = parser.parse_args(known)
    except ValueError as error:
        parser.error(str(error))
    return flags


def _add_address(parser: OneLineParser) -> None:
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only)",
    )

    parser.add_argument(
        "--rest_api_port",
        type=int,
        default=8501,
        help="port of HTTP (default: %(default)s); 0 for any free one",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        help="port of gRPC; 0 for none (default: %(default)s; TensorFlow Serving's is 8500)",
    )
    parser.add_argument(
        "--port_file", type=Path, help="where to write the REST port once requests are accepted"
    )
    parser.add_argument("--version", action=_Version)


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the versions, and end")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        for package in ("seqline", "tensorflow"):
            try:
                print(package, importlib.metadata.version(package))
            except importlib.metadata.PackageNotFoundError:
                print(package, "is not installed as a package")
        parser.exit()


def _add_access(parser: OneLineParser) -> None:
    parser.add_argument(
        "--allowed_hosts",
        default="",
        help=(
            "hosts that requests may name, separated by commas; * for any (default: localhost and"
            " its addresses if --host is one of them, else any)"
        ),
    )
    parser.add_argument(
        "--token_file", type=Path, help="a file with the bearer token that requests must have"
    )

    parser.add_argument(
        "--ssl_certificate_file", type=Path, help="the server's certificate, in PEM: serve by TLS"
    )
    parser.add_argument("--ssl_key_file", type=Path, help="its key, in PEM, not encrypted")
    parser.add_argument(
        "--ssl_config_file", type=Path, help="both, in TensorFlow Serving's SSLConfig as text"
    )


def _add_models(parser: OneLineParser) -> None:
    # By flags alone: one model, or every model under a folder.
    parser.add_argument(
        "--model_name",
        help=(
            "name of the model in paths (default: its folder's under --model_base_path, else"
            f" {MODEL_NAME})"
        ),
    )

    parser.add_argument(
        "--model_base_path",
        type=_place,
        default=Path(SERVING_DIR),
        help=(
            "folder with the versions of a model, or with a folder for each of several models,"
            " also in gs://, s3:// or az:// (default: %(default)s)"
        ),
    )

    # By a file.
    parser.add_argument(
        "--model_config_file",
        type=_place,
        help="a ModelServerConfig as text: several models, version policies, labels",
    )

    parser.add_argument(
        "--unverified",
        action="store_true",
        help="serve versions whose files are not those that were pushed, too",
    )

    # Both are read again and again.
    poll = "seconds between looks at %s (default: %%(default)s); 0 for one look only"
    parser.add_argument(
        "--model_config_file_poll_wait_seconds",
        type=_duration,
        default=1.0,
        help=poll % "the config file",
    )
    parser.add_argument(
        "--file_system_poll_wait_seconds",
        type=_duration,
        default=1.0,
        help=poll % "the base paths",
    )


def _add_batching(parser: OneLineParser) -> None:
    parser.add_argument(
        "--enable_batching",
        type=_boolean,
        nargs="?",
        const=True,
        default=True,
        help="join waiting requests (default: true)",
    )
    parser.add_argument(
        "--batching_parameters_file", type=Path, help="a BatchingParameters as text: these flags"
    )

    parser.add_argument(
        "--max_batch_size",
        type=_positive,
        default=MAX_BATCH_SIZE,
        help="rows of a batch (default: %(default)s)",
    )

    parser.add_argument(
        "--batch_timeout_micros",
        type=_duration,
        default=1000,
        help="how long a request may wait for others (default: %(default)s)",
    )
    parser.add_argument(
        "--num_batch_threads",
        type=_positive,
        default=os.cpu_count() or 1,
        help="batches that run at once (default: the cores)",
    )


def _add_limits(parser: OneLineParser) -> None:
    parser.add_argument(
        "--max_queued_requests",
        type=_positive,
        default=1000,
        help="requests that may wait; beyond, 503 (default: %(default)s)",
    )

    parser.add_argument(
        "--max_body_bytes",
        type=_positive,
        default=2 << 20,
        help="of one request, as sent and inflated; beyond, 413 (default: %(default)s)",
    )

    parser.add_argument(
        "--max_total_bytes",
        type=_positive,
        default=96 << 20,
        help="of all requests in flight, with their answers; beyond, 503 (default: %(default)s)",
    )

    parser.add_argument(
        "--max_text_bytes",
        type=_positive,
        default=64 << 10,
        help="of one string: a text, a token, a tf.Example; beyond, 413 (default: %(default)s)",
    )

    parser.add_argument(
        "--max_held_bytes",
        type=_positive,
        default=32 << 20,
        help="of one request's values as read or answered; beyond, 413 (default: %(default)s)",
    )

    parser.add_argument(
        "--max_read_seconds",
        type=_positive,
        default=10,
        help="processor time to read one body; beyond, 413 (default: %(default)s)",
    )

    parser.add_argument(
        "--max_rows",
        type=_positive,
        default=10_000,
        help="of one request; beyond, 413 (default: %(default)s)",
    )


def _add_connections(parser: OneLineParser) -> None:
    parser.add_argument(
        "--max_connections",
        type=_positive,
        help=(
            "beyond, the one that has waited longest is closed (default: half of the files that the"
            " process may open, at most 4096)"
        ),
    )

    parser.add_argument(
        "--header_timeout_seconds",
        type=_duration,
        default=10.0,
        help="in which a request's headers must arrive (default: %(default)s)",
    )
    parser.add_argument(
        "--min_bytes_per_second",
        type=_positive,
        default=4096,
        help="at which a body must arrive and an answer be read (default: %(default)s)",
    )
    parser.add_argument(
        "--idle_timeout_seconds",
        type=_duration,
        default=75.0,
        help="until the next request of a connection (default: %(default)s)",
    )

    parser.add_argument(
        "--rest_api_timeout_in_ms",
        type=_duration,
        default=0,
        help="for an answer; beyond, 504; 0 for any time (default: %(default)s)",
    )
    parser.add_argument(
        "--shutdown_timeout_seconds",
        type=_duration,
        default=25.0,
        help="for requests in flight after SIGTERM (default: %(default)s)",
    )


def _add_logs(parser: OneLineParser) -> None:
    parser.add_argument(
        "--log_format",
        choices=("text", "json"),
        default="text",
        help="of the log on the standard error stream (default: %(default)s)",
    )
    parser.add_argument(
        "--access_log",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="log each request (default: false)",
    )


def _add_threads(parser: OneLineParser) -> None:
    parser.add_argument(
        "--tensorflow_intra_op_parallelism",
        type=int,
        default=0,
        help="threads of one operation; 0 lets TensorFlow choose",
    )
    parser.add_argument(
        "--tensorflow_inter_op_parallelism",
        type=int,
        default=0,
        help="operations of one call at once; 0 lets TensorFlow choose",
    )


def _batching_file(path: Path) -> dict[str, Any]:
    """The flags that a file with BatchingParameters stands for.

    Raises:
        ValueError: It cannot be read, or asks for something else; a line for the user.
    """
    place = f"--batching_parameters_file {path}"
    try:
        parameters = batching_parameters(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{place}: {error.strerror}.") from None
    except ValueError as error:
        raise ValueError(f"{place} is no BatchingParameters: {error}") from None

    if parameters.allowed_batch_sizes:
        raise ValueError(
            f"{place}: allowed_batch_sizes is not supported, as batches are not padded to a size;"
            " remove it."
        )

    found = {}
    for name in ("max_batch_size", "batch_timeout_micros", "num_batch_threads"):
        if parameters.HasField(name):
            found[name] = getattr(parameters, name).value
    if parameters.HasField("max_enqueued_batches"):
        rows = found.get("max_batch_size", MAX_BATCH_SIZE)
        found["max_queued_requests"] = parameters.max_enqueued_batches.value * rows

    wrong = [name for name, value in found.items() if value < (name != "batch_timeout_micros")]
    if wrong:
        raise ValueError(f"{place}: {wrong[0]} is {found[wrong[0]]}; give a positive number.")
    return found


def _place(text: str) -> Path | str:
    """A path, or the URL of a place in an object store, which a Path would change."""
    return text if is_remote(text) else Path(text)


def _duration(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a duration")
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
