"""What the machine refuses: room, rights, descriptors, memory. One line each, with a way out.

Such an error comes out of any library that writes or reads, often without the file's name, as text
of another exception, or as an exception of TensorFlow's or h5py's own. Imports nothing heavy.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from seqline.errors import UserError
from seqline.host.cache import cache_folder

# What holds whoever raised it, and however deep in other exceptions it is.
OF_THE_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, errno.EIO, errno.ESTALE),
)
# What is wrong with a path, if it is the error itself. As the cause of another one it may be
# something that was expected.
OF_A_PATH = (
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO),
    *(errno.ENAMETOOLONG, errno.ENOTEMPTY, errno.EEXIST, errno.EXDEV),
)
AGAIN = "Then run the same command again."
# Where the texts of libraries have the file's name.
NAMES = (
    r"\[Errno {number}\] {reason}: '(?P<name>[^']+)'",
    r"filename = '(?P<name>[^']+)', errno = {number}",  # h5py
    r"(?P<name>/[^\s;:']+)[;:] {reason}",  # TensorFlow
)


def explain(error: BaseException, doing: str = "", places: Sequence[Path] = ()) -> UserError | None:
    """The error that a user can act on; None for one that is not the machine's.

    Args:
        error: what was raised.
        doing: the stage that raised it, "" for none.
        places: the folders that it writes. They are looked at where the error names no file.
    """
    refusal = _refusal(error)
    if refusal is None:
        return None

    number, name = refusal
    names = [name] if name else [str(place) for place in _suspects(places, number)]
    where = " or ".join(names)
    sentence = ": ".join(filter(None, (doing, where, _reason(number))))
    return UserError(f"{sentence}{_figures(number, names)}. {_way_out(number, names)}")


def _refusal(error: BaseException) -> tuple[int, str] | None:
    """(the error's number, the file's name or ""), of the error or of what led to it."""
    if isinstance(error, OSError):
        name = _name_of(error)
        if error.errno in OF_A_PATH and name:
            return error.errno, name
        if isinstance(error, FileNotFoundError) and _is_place_gone(name):
            return errno.ENOENT, name

    for each in chain(error):
        text = str(each)
        if isinstance(each, OSError) and each.errno in OF_THE_MACHINE:
            return each.errno, _name_of(each) or _name_in(text, each.errno)
        if isinstance(each, MemoryError) or type(each).__name__ == "ArrayMemoryError":
            return errno.ENOMEM, ""
        for number in OF_THE_MACHINE:
            if os.strerror(number) in text:
                return number, _name_in(text, number)
        name = _name_in(text, errno.ENOENT)
        if name and _is_place_gone(name):
            return errno.ENOENT, name
        if "can't start new thread" in text:
            return errno.EAGAIN, ""
        if re.search(r"\bOOM when allocating|failed to allocate memory", text):
            return errno.ENOMEM, ""
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what led to it, and so on."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _name_of(error: OSError) -> str:
    """The file's name; the second one, of a rename into a folder that takes no more."""
    name = error.filename2 or error.filename
    return os.fsdecode(name) if isinstance(name, str | bytes) else ""


def _name_in(text: str, number: int) -> str:
    for pattern in NAMES:
        filled = pattern.replace("{number}", str(number)).replace(
            "{reason}", re.escape(os.strerror(number))
        )
        if match := re.search(filled, text):
            return match["name"]
    return ""


def _is_place_gone(name: str) -> bool:
    """Whether not only a file is missing, but the folder that it was in."""
    if name:
        return not os.path.isdir(os.path.dirname(name) or ".")
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _suspects(places: Sequence[Path], number: int) -> list[Path]:
    """The places that are full, or all of them where none is, and the error is about the disk."""
    if number not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE):
        return []

    candidates = [*places, *_temporary()]
    full = [place for place in candidates if _is_full(str(place))]
    return list(dict.fromkeys(full or candidates))[:3]


def _temporary() -> list[Path]:
    try:
        return [Path(tempfile.gettempdir())]
    except FileNotFoundError:
        return []


def _existing(name: str) -> str:
    """The path, or the nearest folder above it that exists."""
    path = os.path.abspath(name)
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _is_full(name: str) -> bool:
    state = os.statvfs(_existing(name))
    return state.f_bavail * state.f_frsize < 1 << 20 or (state.f_files > 0 and state.f_favail == 0)


def _reason(number: int) -> str:
    reason = os.strerror(number)
    return f"{reason[0].lower()}{reason[1:]}"


def _figures(number: int, names: Sequence[str]) -> str:
    """What the machine says about it: room, files, limits."""
    if number in (errno.ENOSPC, errno.EDQUOT) and names:
        folder = _existing(names[0])
        state = os.statvfs(folder)
        if state.f_files > 0 and state.f_favail == 0:
            return f" (all {state.f_files:,} files that the disk can hold exist)"
        usage = shutil.disk_usage(folder)
        # Not those at the moment of the error: what was half-written is removed by now.
        return f" ({usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB are free now)"

    if number in (errno.EMFILE, errno.EFBIG, errno.EAGAIN):
        import resource

        limits = {
            errno.EMFILE: ("ulimit -n", resource.RLIMIT_NOFILE),
            errno.EFBIG: ("ulimit -f, in bytes", resource.RLIMIT_FSIZE),
            errno.EAGAIN: ("ulimit -u", resource.RLIMIT_NPROC),
        }
        name, limit = limits[number]
        value = resource.getrlimit(limit)[0]
        return f" ({name} is {'unlimited' if value < 0 else f'{value:,}'})"

    if number in (errno.EACCES, errno.EPERM):
        return f" for user {os.getuid()}"
    return ""


def _way_out(number: int, names: Sequence[str]) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        room = "Make room (`seqline gc` deletes what no run needs)"
        return f"{room}, or name another place with {_setting(names)}. {AGAIN}"
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"Make it writable, or name another place with {_setting(names)}. {AGAIN}"
    if number in (errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        return f"Raise the limit. {AGAIN}"
    if number == errno.ENOMEM:
        return (
            "Lower trainer.batch_size, transform.max_length or the network's sizes, use fewer"
            f" --jobs, or use a larger machine. {AGAIN}"
        )
    if number == errno.ENOENT:
        if not names or not names[0]:
            return "The current folder was deleted. Change to one that exists (cd)."
        return f"Was its folder deleted or unmounted? Put it back. {AGAIN}"
    if number in (errno.EIO, errno.ESTALE):
        return f"The disk or its connection fails: look at the system's log. {AGAIN}"
    return f"Something else has this name: move it away. {AGAIN}"


def _setting(names: Sequence[str]) -> str:
    """What names the place of a file: a variable, or flags."""
    path = Path(os.path.abspath(names[0])) if names else Path()
    if path.is_relative_to(cache_folder()):
        return "SEQLINE_CACHE"
    for temporary in _temporary():
        # Tests and users may have a root in it, too.
        own = path.relative_to(temporary).parts[:1] if path.is_relative_to(temporary) else ("",)
        if not own or own[0].startswith(("seqline-", "tmp")):
            return "TMPDIR"
    return "--root or --serving-dir"
