"""Keeps the compiled template in the user's cache: compiling takes a third of a command's time.

What is kept is code, so it counts only if no one else could have written it.
"""

import marshal
import os
import sys
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import CodeType

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

from seqline.digests import digest
from seqline.host.cache import cache_folder

# Bytes of the checksum before the code.
CHECKSUM_BYTES = 32
OTHERS_MAY_WRITE = 0o022


class CompiledTemplates(BytecodeCache):
    """A file a template, under a digest of its source, Python and Jinja.

    A file that is damaged or cannot be written counts as absent.
    """

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError, ValueError, EOFError, TypeError):
            path = _path(bucket)
            if not (_is_ours(path.parent) and _is_ours(path)):
                return

            content = path.read_bytes()
            checksum, code = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
            if checksum == _checksum(code):
                bucket.code = marshal.loads(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert isinstance(bucket.code, CodeType), "it was just compiled"
        code = marshal.dumps(bucket.code)
        with suppress(OSError):
            path = _path(bucket)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}")
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(_checksum(code) + code)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)


def _path(bucket: Bucket) -> Path:
    # That module sets the options of the compiler.
    options = Path(__file__).with_name("html.py").read_text(encoding="utf-8")
    version = [bucket.key, bucket.checksum, options, sys.version, jinja2.__version__]
    return cache_folder() / "templates" / digest(version)


def _is_ours(path: Path) -> bool:
    """Whether only this user can have written it."""
    state = path.stat()
    return state.st_uid == os.getuid() and not state.st_mode & OTHERS_MAY_WRITE


def _checksum(code: bytes) -> bytes:
    return blake2b(code, digest_size=CHECKSUM_BYTES).digest()
