import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqline.host.machine_errors import explain

SIZE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB and 50 files."""
    options = f"size={SIZE},nr_inodes=50"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no right to mount a file system: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def sentence(error: BaseException, doing: str = "", places: tuple[Path, ...] = ()) -> str:
    explained = explain(error, doing, places)
    assert explained is not None
    assert explained.exit_code == 2
    assert "\n" not in str(explained)
    return str(explained)


def test_a_full_disk_is_named_with_its_room(small_disk: Path) -> None:
    file = small_disk / "weights"
    with pytest.raises(OSError, match="No space left") as raised, file.open("wb") as opened:
        opened.write(bytes(2 * SIZE))

    # Python gives no name to an error of writing: the place is found by its room.
    assert raised.value.filename is None
    assert sentence(raised.value, "trainer", (small_disk, Path("/"))) == (
        f"trainer: {small_disk}: no space left on device (0.0 of 1.0 MB are free now). Make room"
        " (`seqline gc` deletes what no run needs), or name another place with --root or"
        " --serving-dir. Then run the same command again."
    )


def test_a_disk_that_takes_no_more_files(small_disk: Path) -> None:
    def fill() -> None:
        for number in range(60):
            (small_disk / str(number)).touch()

    with pytest.raises(OSError, match="No space left") as raised:
        fill()

    text = sentence(raised.value)
    assert f"{small_disk}/49: no space left on device (all 50 files that the disk" in text


def test_a_disk_that_is_read_only(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only") as raised:
        (small_disk / "run.json").write_text("{}")
    text = sentence(raised.value)
    assert text.startswith(f"{small_disk}/run.json: read-only file system. Make it writable, or")


FULL = os.strerror(errno.ENOSPC)
TEXTS = {
    "Beam": f"OSError: [Errno 28] {FULL}: '/root/Split-train/a.gz' [while running 'Write/Map']",
    "TensorFlow": f"{{{{function_node x}}}} /root/Split-train/a.gz; {FULL} [Op:SaveV2]",
    "h5py": (
        "[Errno 28] Unable to synchronously write data (file write failed: time = Sun,"
        f" filename = '/root/Split-train/a.gz', errno = 28, error message = '{FULL}')"
    ),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_library_wraps_it(text: str) -> None:
    assert sentence(RuntimeError(text), "transform").startswith(
        "transform: /root/Split-train/a.gz: no space left on device ("
    )


def test_what_led_to_an_error_counts() -> None:
    error = RuntimeError("half")
    error.__cause__ = OSError(errno.EIO, "Input/output error", "/root/a")
    assert sentence(error).startswith("/root/a: input/output error. The disk or its connection")


OTHERS = {
    "rights": (
        PermissionError(errno.EACCES, "", "/r/a"),
        f"/r/a: permission denied for user {os.getuid()}. ",
    ),
    "descriptors": (OSError(errno.EMFILE, "", "/r/a"), "/r/a: too many open files (ulimit -n is "),
    "size": (OSError(errno.EFBIG, "", "/r/a"), "/r/a: file too large (ulimit -f, in bytes is "),
    "memory": (MemoryError(), "cannot allocate memory. Lower trainer.batch_size"),
    "a folder": (
        IsADirectoryError(errno.EISDIR, "", "/r/a"),
        "/r/a: is a directory. Something else",
    ),
    "a gone root": (
        FileNotFoundError(errno.ENOENT, "", "/gone/b/c"),
        "/gone/b/c: no such file or directory. Was its folder",
    ),
    "by TensorFlow": (
        RuntimeError("/gone/b/c; No such file or directory [Op:X]"),
        "/gone/b/c: no such file",
    ),
}


@pytest.mark.parametrize(("error", "expected"), OTHERS.values(), ids=OTHERS)
def test_what_else_a_machine_refuses(error: Exception, expected: str) -> None:
    assert sentence(error).startswith(expected)


def test_a_bug_is_none_of_it(tmp_path: Path) -> None:
    for bug in (KeyError("a"), FileNotFoundError(2, "", str(tmp_path / "a")), OSError("odd")):
        assert explain(bug) is None
    bug = TypeError("after an error that was expected")
    bug.__cause__ = FileExistsError(errno.EEXIST, "", "/r/a")
    assert explain(bug) is None


def test_the_folder_of_temporary_files_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert "with TMPDIR." in sentence(OSError(errno.ENOSPC, "", "/tmp/seqline-1/file"))
    monkeypatch.setenv("SEQLINE_CACHE", "/caches/mine")
    assert "with SEQLINE_CACHE." in sentence(OSError(errno.ENOSPC, "", "/caches/mine/files/1"))
