"""The worst bodies that a client may send to a server with a text model, by kind.

Each is an attack on time or memory, or bytes that no model can read. None may get a 5xx, hold up
another client, or make the server grow beyond its bound.
"""

import base64
import gzip
import json
import zlib
from functools import cache

JSON = {"Content-Type": "application/json"}
GZIP = {**JSON, "Content-Encoding": "gzip"}
Body = tuple[str, dict[str, str], bytes]

LEGAL = 1_000_000  # Bytes below the default limit of a body.
HUGE = 16_000_000
# A letter with marks that are to be put in order, two by two.
MARKS = ("\u0301\u0323", "\u0323\u0301", "\u0301\u0334\u0323\u0345")


@cache
def bodies(model: str = "m") -> dict[str, Body]:
    """Name -> (path, headers, body)."""
    predict, classify = f"/v1/models/{model}:predict", f"/v1/models/{model}:classify"
    made: dict[str, Body] = {}
    for name, body in {**_structures(), **_texts(), **_rows(), **_base64()}.items():
        made[name] = (predict, JSON, body)
    for name, body in _examples().items():
        made[name] = (classify, JSON, body)
    for name, (headers, body) in _encoded().items():
        made[name] = (predict, headers, body)
    return made


def _instances(item: bytes, size: int) -> bytes:
    """A predict request of about so many bytes that repeats one value."""
    return b'{"instances":[' + item + (b"," + item) * (size // (len(item) + 1)) + b"]}"


def _dump(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def _structures() -> dict[str, bytes]:
    """JSON that becomes many objects, deep ones, or ones that are slow to read."""
    repeated = {
        "lists": b"[]",
        "objects": b"{}",
        "pairs": b'{"":0}',
        "b64 objects": b'{"b64":""}',
        "numbers": b"1",
        "decimals": b"1.5",
        "nulls": b"null",
        "strings": b'""',
        "lists of lists": b"[[]]",
        "ragged lists": b'["a"],["a","b"]',
        "long integers": b"9" * 4000,
        "too long integers": b"9" * 5000,
        "huge exponents": b"1e400",
        "long decimals": b"0." + b"3" * 4000,
    }
    made = {f"{name}, 1 MB": _instances(item, LEGAL) for name, item in repeated.items()}
    for name in ("lists", "objects", "numbers", "strings"):
        made[f"{name}, 16 MB"] = _instances(repeated[name], HUGE)
        made[f"{name}, 60 KB"] = _instances(repeated[name], 60_000)

    keys = b",".join(b'"%d":0' % number for number in range(90_000))
    return {
        **made,
        "columns of lists": b'{"inputs":[' + b"[]," * (LEGAL // 3) + b"[]]}",
        "deep lists": b'{"instances":' + b"[" * LEGAL,
        "deep lists, closed": b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}",
        "deep objects": b'{"instances":' + b'{"a":' * (LEGAL // 5),
        "the same key": b"{" + b'"instances":["a"],' * (LEGAL // 18) + b'"instances":["a"]}',
        "many keys": b"{" + keys + b"}",
        "many keys of a row": b'{"instances":[{' + keys + b"}]}",
        "a long key": b'{"instances":[{"' + b"k" * LEGAL + b'":"a"}]}',
        "a long name": _dump({"signature_name": "n" * LEGAL, "instances": ["a"]}),
        "a long integer": b'{"instances":[' + b"9" * LEGAL + b"]}",
        "white space": b"{" + b" " * LEGAL + b'"instances":["a"]}',
        "only white space, 16 MB": b" " * HUGE,
        "a long string outside": b'"' + b"a" * LEGAL + b'"',
        "cut": b'{"instances":["' + b"a" * LEGAL,
        "not UTF-8 at the end": b'{"instances":["' + b"a" * LEGAL + b'\xff"]}',
        "UTF-16": _dump({"instances": ["a" * 9]}).decode().encode("utf-16"),
        "NUL bytes": b"\0" * LEGAL,
        "trailing comma": b'{"instances":["a",]}',
        "lone surrogates": b'{"instances":["' + b"\\ud800" * (LEGAL // 6) + b'"]}',
        "escaped pairs": b'{"instances":["' + b"\\ud83d\\ude00" * (LEGAL // 12) + b'"]}',
    }


def _texts() -> dict[str, bytes]:
    """One text that is long, or slow to normalize or to split."""
    repeated = {
        "letters": "a",
        "words": "word ",
        "letters alone": "a ",
        "spaces": " ",
        "lines": "\n",
        "signs": ".,",
        "one mark": "\u0301",
        "marks of two classes": MARKS[0],
        "marks out of order": MARKS[1],
        "marks of four classes": MARKS[2],
        "ligatures that grow": "\ufdfa",
        "Hangul": "\u1112\u1161\u11ab",
        "emoji": "\U0001f468\u200d\U0001f469\u200d",
        "NULs": "\0",
        "right to left": "\u202e\u05d0",
        "capitals that grow": "\u0130",
    }
    made = {}
    for name, text in repeated.items():
        size = len(text.encode())
        for kind, length in (("60 KB", 60_000), ("1 MB", LEGAL)):
            made[f"text of {name}, {kind}"] = _dump({"instances": ["e" + text * (length // size)]})

    marks = "e" + MARKS[1] * (HUGE // 4)
    return {
        **made,
        "text of marks, 16 MB": _dump({"instances": [marks]}),
        "many texts of marks": _dump({"instances": ["e" + MARKS[1] * 240] * 1000}),
        "64 texts of marks": _dump({"instances": ["e" + MARKS[1] * 3800] * 64}),
        "escaped marks": b'{"instances":["' + b"\\u0323\\u0301" * (LEGAL // 12) + b'"]}',
    }


def _rows() -> dict[str, bytes]:
    """Many rows, allowed or not."""
    long_and_short = ["word " * 12_000] + ["a"] * 9_000
    return {
        "10,000 rows": _dump({"instances": ["a"] * 10_000}),
        "10,000 rows of words": _dump({"instances": ["the match was won by "] * 10_000}),
        "10,000 named rows": _dump({"instances": [{"text": "a"}] * 10_000}),
        "10,001 rows": _dump({"instances": ["a"] * 10_001}),
        "one long row and 9,000 short": _dump({"instances": long_and_short}),
        "columns of 10,000": _dump({"inputs": {"text": ["a"] * 10_000}}),
    }


def _examples() -> dict[str, bytes]:
    """Requests to classify."""
    many_features = {f"f{number}": number for number in range(60_000)}
    return {
        "context of 8 KB in 9,000": _dump(
            {"context": {"text": "word " * 1600}, "examples": [{}] * 9_000}
        ),
        "context of 160 B in 10,000": _dump(
            {"context": {"text": "word " * 32}, "examples": [{}] * 10_000}
        ),
        "context of numbers in 9,000": _dump(
            {"context": {"n": [1] * 20_000, "text": "a"}, "examples": [{}] * 9_000}
        ),
        "context of 900 KB in 10,000": _dump(
            {"context": {"text": "w" * 900_000}, "examples": [{}] * 10_000}
        ),
        "features, many": _dump({"examples": [many_features]}),
        "features in 9,000": _dump({"examples": [{"text": "a", "b": 1, "c": 1.5}] * 9_000}),
        "values, many": _dump({"examples": [{"text": "a", "n": [1] * 300_000}]}),
        "values of two types": _dump({"examples": [{"text": ["a", 1]}]}),
        "values, none": _dump({"examples": [{"text": []}]}),
        "texts, many": _dump({"examples": [{"text": ["a"] * 200_000}]}),
        "integer beyond": _dump({"examples": [{"text": "a", "n": 2**70}]}),
        "examples that are lists": b'{"examples":[' + b"[]," * (LEGAL // 3) + b"[]]}",
    }


def _base64() -> dict[str, bytes]:
    """Bytes that are no base64, or no tf.Example."""
    nested = b"\x0a\xff\xff\xff\xff\x0f"  # A message of 4 GB begins.
    no_examples = {
        "no Example": b"\xff\xfe not an Example",
        "a cut Example": b"\x0a\x20\x0a",
        "a huge length": nested,
        "a long varint": b"\x0a" + b"\xff" * 10 + b"\x7f",
        "a group": b"\x0b" * 100,
        "deep groups": b"\x0b" * 50_000,
        "an empty Example": b"",
        "an unknown field": b"\xf8\x01\x01",
        "text of numbers": example_of("text", b"\x1a\x03\x0a\x01\x05"),
        "text of floats": example_of("text", b"\x12\x06\x0a\x04\x00\x00\x80\x3f"),
        "text of no value": example_of("text", b""),
        "text of two values": example_of("text", b"\x0a\x06\x0a\x01a\x0a\x01b"),
        "text that is not UTF-8": example_of("text", b"\x0a\x06\x0a\x04\xff\xfe\xfd\xfc"),
        "a feature twice": example_of("text", b"\x0a\x03\x0a\x01a") * 2,
        "1 MB of no Example": b"\xff" * 600_000,
    }

    made = {}
    for name, sent in no_examples.items():
        item = {"b64": base64.b64encode(sent).decode()}
        for signature in ("serving_examples", "transform_features"):
            made[f"{signature}: {name}"] = _dump({"signature_name": signature, "instances": [item]})

    long_text = example_of("text", _bytes_list(b"word " * 12_000))
    short_text = base64.b64encode(example_of("text", _bytes_list(b"a"))).decode()
    rows = [{"b64": base64.b64encode(long_text).decode()}] + [{"b64": short_text}] * 9_000
    return {
        **made,
        "transform_features: one long and 9,000 short": _dump(
            {"signature_name": "transform_features", "instances": rows}
        ),
        "no base64, 1 MB": _dump({"instances": [{"b64": "?" * LEGAL}]}),
        "base64 of line breaks": _dump({"instances": [{"b64": "\n" * LEGAL}]}),
        "base64 of one letter": _dump({"instances": [{"b64": "A"}]}),
    }


def example_of(name: str, feature: bytes) -> bytes:
    """A serialized tf.Example with one feature, whose bytes need not be right."""
    entry = _field(1, name.encode()) + _field(2, feature)
    return _field(1, _field(1, entry))


def _bytes_list(value: bytes) -> bytes:
    return _field(1, _field(1, value))


def _field(number: int, value: bytes) -> bytes:
    size, length = b"", len(value)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + value


def _encoded() -> dict[str, tuple[dict[str, str], bytes]]:
    """Compressed bodies."""
    bomb = b'{"instances":["' + b"a" * 200_000_000 + b'"]}'
    small = _dump({"instances": ["a"]})
    deflated = {**JSON, "Content-Encoding": "deflate"}
    return {
        "gzip bomb": (GZIP, gzip.compress(bomb, 9)),
        "gzip of lists": (GZIP, gzip.compress(_instances(b"[]", HUGE))),
        "gzip of lists, 1 MB": (GZIP, gzip.compress(_instances(b"[]", LEGAL))),
        "gzip, many members": (GZIP, gzip.compress(b"", mtime=0) * 40_000),
        "gzip twice": ({**JSON, "Content-Encoding": "gzip, gzip"}, gzip.compress(small)),
        "gzip, cut": (GZIP, gzip.compress(small)[:-9]),
        "gzip that is none": (GZIP, small),
        "deflate bomb": (deflated, zlib.compress(bomb, 9)),
        "deflate that is none": (deflated, small),
        "an unknown encoding": ({**JSON, "Content-Encoding": "br"}, small),
    }
