"""What one request may hold. The limits count before anything is held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.errors import RefusedError
from serving.strings import Strings, lengths


@dataclass(frozen=True)
class RequestLimits:
    """Limits of one request.

    Attributes:
        max_body_bytes: Bytes of the body, as it is sent and inflated.
        max_rows: Rows.
        max_text_bytes: Bytes of one string: a text, a token or a serialized tf.Example.
        max_held_bytes: Bytes of all its values once they are read. A `context` counts for each of
            its examples, and a row as the longest one where all rows are padded to it.
    """

    max_body_bytes: int = 2 << 20
    max_rows: int = 10_000
    max_text_bytes: int = 64 << 10
    max_held_bytes: int = 32 << 20

    def check_body(self, num_bytes: int) -> None:
        if num_bytes > self.max_body_bytes:
            raise RefusedError(
                f"The request's body has more than {self.max_body_bytes} bytes; send its rows in"
                " several.",
                status=413,
            )

    def check_rows(self, rows: int) -> None:
        if rows > self.max_rows:
            raise RefusedError(
                f"The request has {rows} rows; this server takes {self.max_rows} at most.",
                status=413,
            )

    def check_held(self, num_bytes: int, what: str = "The request's values take") -> None:
        if num_bytes > self.max_held_bytes:
            raise RefusedError(
                f"{what} {num_bytes} bytes; this server holds {self.max_held_bytes} at most. Send"
                " the rows in several requests.",
                status=413,
            )

    def check_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Refuses rows, strings and values beyond the limits.

        Args:
            inputs: Name -> array or Strings.
        """
        self.check_rows(max((len(value) for value in inputs.values() if value.shape), default=1))
        for name, value in inputs.items():
            if isinstance(value, Strings) or value.dtype.kind == "O":
                self.check_strings(lengths(value), f"Input {name}")
        self.check_held(sum(held_bytes(value) for value in inputs.values()))

    def check_strings(self, sizes: np.ndarray, what: str) -> None:
        """Refuses a string that is too long.

        Args:
            sizes: Bytes of each string [rows, ...].
            what: What has them, for the error.
        """
        if sizes.size and (longest := int(sizes.max())) > self.max_text_bytes:
            where = ""
            if sizes.ndim:
                where = f" of item {int(sizes.argmax()) * len(sizes) // sizes.size}"
            raise RefusedError(
                f"{what}: a string{where} has {longest} bytes; this server takes"
                f" {self.max_text_bytes} at most.",
                status=413,
            )


def held_bytes(value: Any) -> int:
    """Bytes that an input takes, each string as TensorFlow holds it."""
    if isinstance(value, Strings):
        return value.nbytes + 24 * value.size
    if value.dtype.kind == "O":
        return int(lengths(value).sum()) + 24 * value.size
    return int(value.nbytes)
