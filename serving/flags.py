"""The flags of `seqline serve`. A flag of tensorflow_model_server means the same here."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from serving.arguments import OneLineParser
from serving.predict import SERVING_DIR

# The name of a model whose folder does not give it one.
MODEL_NAME = "seqline"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line. A wrong flag ends the program with exit code 2."""
    parser = OneLineParser(
        "seqline serve", "TensorFlow Serving's REST API on SavedModels, for this machine."
    )
    _add_address(parser)
    _add_models(parser)
    _add_batching(parser)
    _add_limits(parser)
    _add_threads(parser)
    return parser.parse_args(arguments)


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
        help="port (default: %(default)s); 0 for any free one",
    )
    parser.add_argument(
        "--port_file", type=Path, help="where to write the port once requests are accepted"
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
        type=Path,
        default=Path(SERVING_DIR),
        help=(
            "folder with the versions of a model, or with a folder for each of several models"
            " (default: %(default)s)"
        ),
    )

    # By a file.
    parser.add_argument(
        "--model_config_file",
        type=Path,
        help="a ModelServerConfig as text: several models, version policies, labels",
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
        default=True,
        help="join waiting requests (default: true)",
    )

    parser.add_argument(
        "--max_batch_size",
        type=_positive,
        default=64,
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
