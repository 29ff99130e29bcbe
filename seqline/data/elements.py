"""The elements that a Beam job begins with: in its description, or in a file if they are many.

`beam.Create` puts all elements into the description of the job, which Dataflow refuses above 20 MB,
and gives all of them to one worker in one piece. From LIMIT bytes on they are written to a file
instead, in pieces. Then the description has the places of the pieces, and each worker reads the
pieces that it gets.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.coders import FastPrimitivesCoder

from seqline.storage import staging
from seqline.storage.files import is_remote, translate_errors
from seqline.storage.objects import open_object

# Encoded elements that go into the description; compressed they take a twentieth to a fourth.
LIMIT = 4 << 20
# Encoded elements of one piece, about. 100 TB are 3 million shards, or 2,400 pieces.
PIECE_BYTES = 256 << 10
CODER = FastPrimitivesCoder()

# (first byte, bytes)
Piece = tuple[int, int]


@contextmanager
def elements(
    items: Iterable[Any], folder: Path, limit: int = LIMIT, piece_bytes: int = PIECE_BYTES
) -> Iterator[beam.PTransform]:
    """A PTransform whose PCollection has these elements, spread over the workers.

    It begins a pipeline, which must have run when the block ends.

    Args:
        items: The elements.
        folder: Of the list alone, where workers can read. It is made if it is needed, and removed
            when the block ends. In a bucket it stays after an error: a job may go on without us.
        limit: Bytes of encoded elements that go into the job's description.
        piece_bytes: Bytes of encoded elements in a piece of the file, about.
    """
    remaining = iter(items)
    first: list[Any] = []
    encoded: list[bytes] = []
    num_bytes = 0
    for item in remaining:
        first.append(item)
        encoded.append(CODER.encode(item))
        num_bytes += len(encoded[-1])
        if num_bytes > limit:
            break
    else:
        yield Elements(first)
        return
    first.clear()

    is_done = False
    try:
        yield _written(chain(encoded, map(CODER.encode, remaining)), folder, piece_bytes)
        is_done = True
    finally:
        if is_done or not is_remote(str(folder)):
            staging.remove(folder)


class Elements(beam.PTransform):
    """The beginning of a pipeline; see `elements`.

    Args:
        items: The elements, or the places of their pieces in the file.
        path: The file. None where the elements are in the description.
    """

    def __init__(self, items: list[Any], path: str | None = None) -> None:
        super().__init__()
        self.items = items
        self.path = path

    def expand(self, begin: beam.Pipeline) -> beam.PCollection:
        created = begin | "Create" >> beam.Create(self.items)
        if self.path is not None:
            created = created | "ReadPiece" >> beam.FlatMap(_read, self.path)
        return created | "Spread" >> beam.Reshuffle()


def _pieces(encoded: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
    """Encoded lists of encoded elements."""
    waiting: list[bytes] = []
    num_bytes = 0
    for item in encoded:
        waiting.append(item)
        num_bytes += len(item)
        if num_bytes >= piece_bytes:
            yield CODER.encode(waiting)
            waiting, num_bytes = [], 0
    if waiting:
        yield CODER.encode(waiting)


def _written(encoded: Iterable[bytes], folder: Path, piece_bytes: int) -> Elements:
    """The elements in a file. Its name follows from its content: another list is another file."""
    places: list[Piece] = []
    checksum = blake2b(digest_size=10)
    start = 0
    with tempfile.NamedTemporaryFile(prefix="seqline-") as file:
        for piece in _pieces(encoded, piece_bytes):
            file.write(piece)
            checksum.update(piece)
            places.append((start, len(piece)))
            start += len(piece)

        file.flush()
        path = folder / f"elements-{checksum.hexdigest()}"
        folder.mkdir(parents=True, exist_ok=True)
        with staging.writing(path) as name:
            shutil.copyfile(file.name, name)
    return Elements(places, str(path))


def _read(place: Piece, path: str) -> list[Any]:
    """The elements of a piece."""
    start, num_bytes = place
    # Not `files.open_file`, which counts the bytes of the source.
    open_list = partial(open, mode="rb") if not is_remote(path) else open_object
    with translate_errors(path), open_list(path) as file:
        file.seek(start)
        content = file.read(num_bytes)
    return [CODER.decode(item) for item in CODER.decode(content)]
