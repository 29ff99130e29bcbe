"""Local copies of models in an object store.

A folder in the cache has the versions of a place, or of the models beneath it, that are wanted:

    serving_dir in the store          the folder
    topics/1/...                                        not wanted, or not any longer
    topics/2/...                      topics/2/...      appears by one rename when it is whole
    topics/3/variables/...                              has no saved_model.pb, which comes last

The server follows the folder as it follows any other.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

from serving.remote import Object, RemoteError, Store, check_place
from serving.version_numbers import version_number

SAVED_MODEL = "saved_model.pb"
# (a model's folder here, the numbers of its versions in the store) -> the numbers to copy or keep
Choose = Callable[[Path, list[int]], set[int]]
# A version's path under the place -> its objects.
Listing = dict[str, list[Object]]


class Mirror:
    """The copy of one place.

    Args:
        place: As `check_place` returns it.
        folder: The copy. Next to it are `<folder>.json`, which says what was copied, and
            `<folder>.coming`, in which a version arrives.
        model: The name of the only model to copy, if the place has one of that name.
    """

    def __init__(self, place: str, folder: Path, model: str | None = None) -> None:
        self.store = Store(place)
        self.folder = folder
        self.model = model
        self.state = folder.with_name(f"{folder.name}.json")
        self.coming = folder.with_name(f"{folder.name}.coming")
        folder.mkdir(parents=True, exist_ok=True)
        self.copied = self._copied_before()
        # The names of the models at the last look.
        self.names: list[str] = []

    def models(self) -> dict[str, Listing]:
        """The whole versions in the store, by the names of their models.

        A place that holds versions itself is one model, named "".

        Raises:
            RemoteError: The place cannot be read.
        """
        models: dict[str, Listing] = {}
        for path, objects in _versions(self.store.find()).items():
            models.setdefault(path.rpartition("/")[0], {})[path] = objects
        self.names = sorted(models)

        for name in ("", self.model):
            if name in models:
                return {name: models[name]}
        return models

    def poll(self, choose: Choose) -> None:
        """Makes the copy what it should be.

        A version that cannot be copied holds up no other, and nothing is removed because a listing
        failed.

        Raises:
            RemoteError: The place, or a version, cannot be read or copied. It is tried again at the
                next poll.
        """
        wanted: Listing = {}
        for name, versions in self.models().items():
            numbers = {_number(path): path for path in versions}
            for number in sorted(choose(self.folder / name, list(numbers)), reverse=True):
                wanted[numbers[number]] = versions[numbers[number]]

        problems = []
        for path, objects in wanted.items():
            if self.copied.get(path) != objects:
                try:
                    self._copy(path, objects)
                except RemoteError as error:
                    problems.append(str(error))
                except OSError as error:
                    problems.append(
                        f"{self.store.place}/{path} cannot be copied to {self.folder}:"
                        f" {error.strerror or error}. Free space there, or set SEQLINE_CACHE."
                    )

        for path in set(self.copied) - set(wanted):
            del self.copied[path]
            self._save()
            self._remove(path)
        if problems:
            raise RemoteError(problems[0])

    def _copy(self, path: str, objects: list[Object]) -> None:
        shutil.rmtree(self.coming, ignore_errors=True)
        self.coming.mkdir()
        self.store.download(objects, self.coming)

        # A listing comes in pages: what changed between two of them shows now.
        if self.store.find(path) != objects:
            raise RemoteError(f"{self.store.place}/{path} changed while it was copied.")

        self.copied.pop(path, None)
        self._save()
        self._remove(path)
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.coming / path).rename(self.folder / path)
        self.copied[path] = objects
        self._save()
        shutil.rmtree(self.coming, ignore_errors=True)

    def _remove(self, path: str) -> None:
        """Removes a version by one rename: no reader sees a part of it."""
        going = self.folder.with_name(f"{self.folder.name}.going")
        shutil.rmtree(going, ignore_errors=True)
        if (self.folder / path).exists():
            (self.folder / path).rename(going)
            shutil.rmtree(going, ignore_errors=True)

    def _copied_before(self) -> Listing:
        """What an earlier server copied and is whole. Everything else is removed."""
        try:
            saved = json.loads(self.state.read_text(encoding="utf-8"))
            copied = {
                path: [Object(*each) for each in objects]
                for path, objects in saved.items()
                if all((self.folder / each[0]).stat().st_size == each[1] for each in objects)
            }
        except (OSError, ValueError, TypeError, AttributeError, IndexError):
            copied = {}

        for file in [*self.folder.glob("*"), *self.folder.glob("*/*")]:
            path = file.relative_to(self.folder).as_posix()
            if version_number(file.name) is not None and path not in copied:
                shutil.rmtree(file, ignore_errors=True)
        return copied

    def _save(self) -> None:
        aside = self.state.with_name(f"{self.state.name}.new")
        content = {
            path: [[each.name, each.size, each.digest] for each in objects]
            for path, objects in self.copied.items()
        }
        aside.write_text(json.dumps(content), encoding="utf-8")
        aside.replace(self.state)


class Mirrors:
    """The copies of all places that a server reads, in a part of the cache that it has to itself.

    The part is `serving/0` of the cache, `serving/1` if another server has that one, and so on: a
    server that starts again finds what it had copied.
    """

    def __init__(self) -> None:
        self.mirrors: dict[str, Mirror] = {}
        self.part: Path | None = None
        self.lock = -1  # the descriptor of the part's lock, open as long as the process lives

    def folder(self, place: str, flag: str, model: str | None = None) -> Path:
        """The folder of a place's copy, which `poll` fills.

        Args:
            place: A place in an object store.
            flag: What names it, for an error.
            model: The only model to copy, see `Mirror`.

        Raises:
            RemoteError: The place cannot be read.
        """
        place = check_place(place, flag)
        if place not in self.mirrors:
            name = hashlib.sha256(place.encode()).hexdigest()[:16]
            mirror = Mirror(place, self._part() / name, model)
            mirror.models()  # a place that cannot be read is said at once
            self.mirrors[place] = mirror
        return self.mirrors[place].folder

    def models(self, place: str) -> list[str]:
        """The names of the models at the last look at a place whose folder was asked for."""
        return self.mirrors[place.rstrip("/")].names

    def poll(self, choose: Choose, used: Iterable[Path]) -> dict[str, str]:
        """Makes the copies what they should be, and removes those of other places.

        Args:
            choose: Which versions of a model are wanted.
            used: The folders whose places are still read.

        Returns:
            Place -> what is wrong with it, "" for nothing.
        """
        used = set(used)
        self.mirrors = {place: one for place, one in self.mirrors.items() if one.folder in used}
        if self.part is not None:
            names = {folder.name for folder in used}
            for entry in self.part.iterdir():
                if entry.is_dir() and entry.name.partition(".")[0] not in names:
                    shutil.rmtree(entry, ignore_errors=True)

        problems = {}
        for place, mirror in self.mirrors.items():
            try:
                mirror.poll(choose)
                problems[place] = ""
            except RemoteError as error:
                problems[place] = str(error)
            except OSError as error:
                problems[place] = f"{error.filename}: {error.strerror}. Set SEQLINE_CACHE."
        return problems

    def _part(self) -> Path:
        """The part of the cache. Takes its lock, which ends with the process."""
        if self.part is None:
            cache = _cache_folder() / "serving"
            try:
                for number in count():
                    part = cache / str(number)
                    part.mkdir(parents=True, exist_ok=True)
                    self.lock = os.open(part / "lock", os.O_RDWR | os.O_CREAT, 0o644)
                    try:
                        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        os.close(self.lock)
                        continue
                    self.part = part
                    break
            except OSError as error:
                raise RemoteError(
                    f"{cache} cannot be written: {error.strerror}. Set SEQLINE_CACHE to a folder"
                    " for copies of the models."
                ) from None
        assert self.part is not None
        return self.part


def fetch(place: str, folder: Path) -> Path:
    """Copies the SavedModel at a place, or the newest version of the model beneath it.

    Args:
        place: A place in an object store.
        folder: An empty one.

    Returns:
        The folder of the SavedModel.

    Raises:
        RemoteError: There is none, or there are several models, or it cannot be read.
    """
    store = Store(check_place(place, "the model"))
    objects = store.find()
    if any(each.name == SAVED_MODEL for each in objects):
        store.download(objects, folder)
        return folder

    versions = _versions(objects)
    models = sorted({path.rpartition("/")[0] for path in versions})
    if not models or (len(models) > 1 and "" not in models):
        holds = f"models of several names: {', '.join(models)}" if models else "no model"
        raise RemoteError(f"{store.place} holds {holds}. Name a model's or a version's path.")

    newest = max((path for path in versions if path.rpartition("/")[0] == models[0]), key=_number)
    store.download(versions[newest], folder)
    return folder / newest


def _cache_folder() -> Path:
    """The cache of all of seqline's commands."""
    if folder := os.environ.get("SEQLINE_CACHE"):
        return Path(folder).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqline"


def _versions(objects: list[Object]) -> Listing:
    """The whole versions among objects: `<number>/...` and `<model>/<number>/...`.

    Of two with one number, such as 123 and 00123, the one with the shorter name counts.
    """
    versions: Listing = {}
    for each in objects:
        parts = each.name.split("/")
        # A model's own folder has a name that is no number.
        depth = 1 if version_number(parts[0]) is not None else 2
        if len(parts) > depth and version_number(parts[depth - 1]) is not None:
            versions.setdefault("/".join(parts[:depth]), []).append(each)

    whole = {
        path: listed
        for path, listed in versions.items()
        if any(each.name == f"{path}/{SAVED_MODEL}" for each in listed)
    }
    shortest: dict[tuple[str, int], str] = {}
    for path in sorted(whole, key=lambda path: -len(path)):
        shortest[path.rpartition("/")[0], _number(path)] = path
    return {path: whole[path] for path in shortest.values()}


def _number(path: str) -> int:
    number = version_number(path.rpartition("/")[2])
    assert number is not None
    return number
