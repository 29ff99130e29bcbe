"""A version is served if its files are those that were pushed."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.verify import MANIFEST, DifferentError, verified

WAY_OUT = "Push it again."
FILES = {
    "saved_model.pb": b"graph",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"weights",
    "assets/labels": b"bad\ngood\n",
    "assets.extra/model.json": b"{}",
    "assets.extra/tf_serving_warmup_requests": b"rows",
}
BESIDE = {"assets.extra/evaluation.json": b'{"blessed": true}'}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest_of(files: dict[str, bytes], /, **changes: object) -> bytes:
    """What a push writes about files."""
    digests = {name: sha256(content) for name, content in sorted(files.items())}
    beside = {name: sha256(content) for name, content in BESIDE.items()}
    digest = sha256(json.dumps(digests, sort_keys=True).encode())
    return json.dumps({"digest": digest, "files": digests, "beside": beside, **changes}).encode()


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version as a push makes it."""
    folder = tmp_path / "reviews" / "3"
    for name, content in {**FILES, **BESIDE, MANIFEST: manifest_of(FILES)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def reason(version: Path) -> str:
    with pytest.raises(DifferentError) as raised, verified(version, WAY_OUT):
        raise AssertionError("it was read")
    message = str(raised.value)
    assert message.endswith(f". {WAY_OUT}")
    assert "\n" not in message
    return message.removesuffix(f". {WAY_OUT}")


def test_what_was_pushed_is_read(version: Path) -> None:
    (version / ".nfs0001").touch()  # no reader of SavedModels looks at it
    (version / "empty").mkdir()
    with verified(version, WAY_OUT):
        pass


@pytest.mark.parametrize("name", [*FILES, *BESIDE])
def test_a_file_that_is_another_or_missing_is_named(version: Path, name: str) -> None:
    content = (version / name).read_bytes()
    for damaged in (b"", content[:-1], content + b"\0", bytes([content[0] ^ 1]) + content[1:]):
        (version / name).write_bytes(damaged)
        assert reason(version) == f"{name} is not what was pushed: its SHA-256 is another"

    (version / name).unlink()
    assert reason(version) == f"{name} is missing"
    (version / name).mkdir()
    assert reason(version) in (f"{name} is missing", f"{name} is a folder")


def swap(version: Path) -> None:
    one, other = version / "assets" / "labels", version / "variables" / "variables.index"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def link(version: Path) -> None:
    labels = version / "assets" / "labels"
    labels.rename(version.parent / "labels")
    labels.symlink_to(version.parent / "labels")


def link_folder(version: Path) -> None:
    (version / "assets").rename(version.parent / "assets")
    (version / "assets").symlink_to(version.parent / "assets")


def link_extra(version: Path) -> None:
    (version / "assets.extra").rename(version.parent / "extra")
    (version / "assets.extra").symlink_to(version.parent / "extra")


def file_for_folder(version: Path) -> None:
    (version / "assets.extra").rename(version.parent / "extra")
    (version / "assets.extra").touch()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda version: (version / "saved_model.cpb").touch(), "saved_model.cpb was added"),
        (lambda version: (version / "fingerprint.pb").touch(), "fingerprint.pb was added"),
        (lambda version: (version / "assets" / "a\nb").touch(), r"'assets/a\nb' was added"),
        (lambda version: os.mkfifo(version / "pipe"), "pipe is neither a file nor a folder"),
        (swap, "assets/labels is not what was pushed"),
        (link, "assets/labels is a symlink"),
        (link_folder, "assets is a symlink"),
        (link_extra, "assets.extra is a symlink"),
        (file_for_folder, f"{MANIFEST} is missing"),
        (lambda version: (version / MANIFEST).unlink(), f"{MANIFEST} is missing"),
    ],
)
def test_what_was_added_linked_or_swapped_is_named(
    version: Path, damage: Callable[[Path], None], expected: str
) -> None:
    damage(version)
    assert reason(version).startswith(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is not JSON"),
        (manifest_of(FILES)[:-20], "it is not JSON"),
        (b"\xff\xfe\0", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it is not an object"),
        (b"{}", "files is no table of SHA-256s"),
        (manifest_of(FILES, files="no"), "files is no table of SHA-256s"),
        (manifest_of(FILES, files={"saved_model.pb": 1}), "files is no table of SHA-256s"),
        (manifest_of(FILES, beside=[]), "beside is no table of SHA-256s"),
        (manifest_of(FILES, digest="no"), "digest is not that of files"),
        (manifest_of({}), "digest is not that of files"),
        # Edited to fit other labels.
        (
            manifest_of(FILES).replace(
                sha256(FILES["assets/labels"]).encode(), sha256(b"good\nbad\n").encode()
            ),
            "digest is not that of files",
        ),
    ],
)
def test_a_damaged_manifest_is_named(version: Path, content: bytes, expected: str) -> None:
    (version / MANIFEST).write_bytes(content)
    assert reason(version) == f"{MANIFEST} is damaged: {expected}"


def test_a_manifest_of_another_version_does_not_fit(version: Path) -> None:
    (version / MANIFEST).write_bytes(manifest_of({**FILES, "assets/labels": b"good\nbad\n"}))
    assert reason(version) == "assets/labels is not what was pushed: its SHA-256 is another"


def test_a_file_that_changes_while_it_is_read_is_named(version: Path) -> None:
    with pytest.raises(DifferentError) as raised, verified(version, WAY_OUT):
        (version / "assets" / "labels").write_bytes(b"good\nbad\n")
    assert str(raised.value) == f"assets/labels changed while it was read. {WAY_OUT}"


def test_unverified_is_read_and_logged(version: Path, caplog: pytest.LogCaptureFixture) -> None:
    (version / "assets" / "labels").write_bytes(b"good\nbad\n")
    with verified(version, WAY_OUT, unverified=True):
        (version / "saved_model.pb").write_bytes(b"another")
    assert caplog.messages == [
        "reviews/3 is not verified: assets/labels is not what was pushed: its SHA-256 is another"
    ]


def test_a_model_that_was_not_pushed_is_read_as_it_is(
    version: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for name in (MANIFEST, *BESIDE):
        (version / name).unlink()
    with verified(version, WAY_OUT):
        pass
    assert caplog.messages == [f"reviews/3 is not verified: it has no {MANIFEST}"]

    caplog.clear()
    (version / "assets.extra" / "model.json").unlink()  # nor did seqline export it
    (version / "assets" / "labels").unlink()
    (version / "assets" / "labels").symlink_to("/etc/hostname")
    with verified(version, WAY_OUT):
        pass
    assert caplog.messages == []
