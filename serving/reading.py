"""Reads a request's body: inflates it, parses it, and makes its tensors."""

import zlib
from dataclasses import dataclass
from typing import Any

from serving import examples, tensors
from serving.errors import RefusedError
from serving.limits import RequestLimits
from serving.tensors import Tensor

# Content-Encoding -> how zlib begins. Some clients send "deflate" without zlib's header.
INFLATED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
ENCODINGS = ("", "identity", *INFLATED)
RAW_DEFLATE = -15


@dataclass(frozen=True)
class Question:
    """How a body is to be read.

    Attributes:
        encoding: Its Content-Encoding, one of ENCODINGS.
        default: The signature that it asks if it names none. None to read tf.Examples, for a
            signature that is chosen later.
        signatures: Name -> the inputs of a signature.
        of_examples: The names of those that take tf.Examples.
    """

    encoding: str
    default: str | None
    signatures: dict[str, dict[str, Tensor]]
    of_examples: list[str]


@dataclass(frozen=True)
class ReadRequest:
    """What a body holds.

    Attributes:
        signature: The signature to ask. "" if the body names none, and the question no default.
        by_row: Whether it is in row format.
        inputs: Input -> array or Strings. tf.Examples are under "examples".
    """

    signature: str
    by_row: bool
    inputs: dict[str, Any]


def read(question: Question, body: bytes | bytearray, limits: RequestLimits) -> ReadRequest:
    """Reads a body.

    Raises:
        RefusedError: It is not what the signature takes, or too much.
    """
    document = tensors.parse(inflate(question.encoding, body, limits))
    name = tensors.signature_name(document)

    if question.default is None:
        read_examples = examples.read_examples(document, limits)
        limits.check_inputs({"examples": read_examples})
        return ReadRequest(name, True, {"examples": read_examples})

    name = name or question.default
    if name not in question.signatures:
        raise unknown_signature(name, question.signatures)
    by_row, inputs = tensors.read_inputs(document, question.signatures[name], limits)
    if name in question.of_examples:
        [serialized] = inputs.values()
        examples.check_serialized(serialized)
    return ReadRequest(name, by_row, inputs)


def unknown_signature(name: str, known: Any) -> RefusedError:
    return RefusedError(
        f'Serving signature name: "{name[:100]}" not found in signature def; there are'
        f" {', '.join(known)}"
    )


def inflate(encoding: str, body: bytes | bytearray, limits: RequestLimits) -> bytes:
    """The body without its Content-Encoding. It never holds more than max_body_bytes of it."""
    if encoding not in INFLATED:
        return bytes(body)

    wbits = INFLATED[encoding]
    if encoding == "deflate" and (len(body) < 2 or int.from_bytes(body[:2], "big") % 31):
        wbits = RAW_DEFLATE

    inflated = bytearray()
    while body:
        member = zlib.decompressobj(wbits)
        try:
            inflated += member.decompress(body, limits.max_body_bytes + 1 - len(inflated))
        except zlib.error as error:
            raise RefusedError(
                f"The request's body is not {encoding}, as its Content-Encoding says: {error}"
            ) from None

        limits.check_body(len(inflated))
        if not member.eof:
            raise RefusedError(f"The request's body ends before its {encoding} does.")
        if wbits != INFLATED["gzip"]:
            break
        body = member.unused_data  # gzip files may be joined.
    return bytes(inflated)
