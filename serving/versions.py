"""Which versions of which models are loaded, and which one takes a request.

A model is a folder with versions, folders with an integer for a name. They are looked for every few
seconds. A new one is loaded and warmed up in a thread, takes requests from one moment to the next,
and only then the one that it replaces gets no more; that is unloaded when its last request has been
answered. One that does not load is reported and passed over: an older one serves.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.config import ModelConfig
from serving.errors import RefusedError, short
from serving.model import LoadedModel

log = logging.getLogger("seqline.serve")

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
# Names of what is wrong, as TensorFlow Serving prints them.
OK, UNKNOWN = "OK", "UNKNOWN"
MAX_ENDED = 100
# A folder that does not load may still be being written: tried again after 2, 4, 8 ... seconds.
MAX_RETRIES = 6

Stamp = tuple[int, ...]


@dataclass(eq=False)
class Version:
    """One version of a model. stamp.

    Which folder of that name it was; users: requests that it is answering.
    """

    number: int
    folder: Path
    stamp: Stamp
    state: str = START
    error: str = ""
    loaded: LoadedModel | None = None
    users: int = 0
    tries: int = 0
    tried: float = 0.0

    def status(self) -> dict[str, Any]:
        """As TensorFlow Serving's GetModelStatus prints it."""
        status = {"error_code": UNKNOWN if self.error else OK, "error_message": self.error}
        return {"version": str(self.number), "state": self.state, "status": status}

    def passed_over(self) -> bool:
        """Whether it did not load, and another try is not due."""
        return bool(self.error) and (
            self.tries > MAX_RETRIES or time.monotonic() < self.tried + 2**self.tries
        )


@dataclass(eq=False)
class Model:
    config: ModelConfig
    versions: dict[int, Version] = field(
        default_factory=dict
    )  # the newest of each number; the older ones are retired
    labels: dict[str, int] = field(default_factory=dict)
    complained: str = ""

    def available(self) -> list[int]:
        return sorted(
            number for number, version in self.versions.items() if version.state == AVAILABLE
        )


class Versions:
    """Belongs to one event loop.

    Only the loop's thread calls it. load(folder) gives a model that is ready for requests.
    """

    def __init__(self, load: Callable[[Path], LoadedModel]) -> None:
        self.load = load
        self.models: dict[str, Model] = {}
        self.thread = ThreadPoolExecutor(1, "loader")
        self.unloading: set[asyncio.Task] = set()

    # Requests.

    def find(self, name: str) -> Model:
        if name not in self.models:
            raise RefusedError(f"Servable not found for request: Latest({name[:100]})", status=404)
        return self.models[name]

    def choose(self, name: str, number: int | None = None, label: str | None = None) -> Version:
        """The version that answers a request.

        The newest one where neither a number nor a label is given. Raises RefusedError.
        """
        model = self.find(name)
        if label is not None:
            if label not in model.labels:
                raise RefusedError(f"Unrecognized servable version label: {label[:100]}")
            number = model.labels[label]
        available = model.available()
        if number is None and available:
            number = available[-1]
        if number not in available:
            coming = [
                each
                for each in model.versions.values()
                if each.state in (START, LOADING) and number in (None, each.number)
            ]
            if coming:
                raise RefusedError(
                    f"Version {coming[0].number} of {name} is being loaded. Try again.",
                    status=503,
                    retry_after=1,
                )
            which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise RefusedError(f"Servable not found for request: {which}", status=404)
        return model.versions[number]

    def acquire(self, version: Version) -> LoadedModel:
        """The model, which stays loaded until `release`."""
        assert version.loaded is not None
        version.users += 1
        return version.loaded

    def release(self, version: Version) -> None:
        version.users -= 1
        self._unload_if_idle(version)

    def status(
        self, name: str, number: int | None = None, label: str | None = None
    ) -> dict[str, Any]:
        if name not in self.models:
            raise RefusedError(f"Could not find any versions of model {name[:100]}", status=404)
        model = self.models[name]
        if label is not None:
            number = self.choose(name, label=label).number
        chosen = [
            version
            for each, version in sorted(model.versions.items(), reverse=True)
            if number in (None, each)
        ]
        if not chosen:
            what = f"version {number}" if number is not None else "any versions"
            raise RefusedError(f"Could not find {what} of model {name}", status=404)
        return {"model_version_status": [version.status() for version in chosen]}

    # Changes.

    async def update(self, configs: list[ModelConfig]) -> None:
        """One look at the folders.

        Loads what is new and wanted, then retires what is not wanted any more.
        """
        loop = asyncio.get_running_loop()
        for config in configs:
            self.models.setdefault(config.name, Model(config)).config = config
        for name in set(self.models) - {config.name for config in configs}:
            for version in self.models.pop(name).versions.values():
                self._retire(name, version)
        for model in list(self.models.values()):
            found = await loop.run_in_executor(self.thread, _scan, model.config.base_path)
            self._complain(model, found)
            while (number := self._next(model, found)) is not None:
                await self._load(model, number, *found[number])
            wanted = self._wanted(model, found)
            if set(wanted) & set(
                model.available()
            ):  # the last good one stays, whatever happens to its folder
                for number in set(model.available()) - set(wanted):
                    self._retire(model.config.name, model.versions[number])
            self._name(model)
            self._forget(model, found)

    def _wanted(self, model: Model, found: dict[int, tuple[Path, Stamp]]) -> list[int]:
        """The versions that the policy asks for, those passed over that do not load.

        And those with a label.
        """
        config = model.config
        usable = [
            number
            for number in sorted(found, reverse=True)
            if not self._is_bad(model, number, found[number][1])
        ]
        chosen = (
            [number for number in usable if number in config.specific]
            if config.specific
            else usable[: config.num_versions]
        )
        labelled = set(config.labels.values())
        return chosen + [number for number in usable if number in labelled and number not in chosen]

    def _is_bad(self, model: Model, number: int, stamp: Stamp) -> bool:
        version = model.versions.get(number)
        return version is not None and version.stamp == stamp and version.passed_over()

    def _next(self, model: Model, found: dict[int, tuple[Path, Stamp]]) -> int | None:
        """What to load next.

        The newest of the wanted ones that is not loaded, or whose folder is another one by now.
        """
        for number in self._wanted(model, found):
            version = model.versions.get(number)
            if version is None or version.state != AVAILABLE or version.stamp != found[number][1]:
                return number
        return None

    async def _load(self, model: Model, number: int, folder: Path, stamp: Stamp) -> None:
        name, earlier = model.config.name, model.versions.get(number)
        tries = earlier.tries if earlier and earlier.stamp == stamp and earlier.error else 0
        version = Version(number, folder, stamp, LOADING, tries=tries + 1)
        if earlier is None or earlier.state != AVAILABLE:
            model.versions[number] = version
        started = time.monotonic()
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(
                self.thread, self.load, folder
            )
        except Exception as error:
            version.state, version.error, version.tried = (
                END,
                short(str(error)) or type(error).__name__,
                time.monotonic(),
            )
            log.error("%s: version %d does not load: %s", name, number, version.error)
            if (
                earlier is not None and earlier.state == AVAILABLE
            ):  # the folder was replaced, and by nothing better
                earlier.stamp = stamp
            return
        version.loaded, version.state = loaded, AVAILABLE
        model.versions[number] = version
        log.info(
            "%s: version %d takes requests (loaded in %.1f s)",
            name,
            number,
            time.monotonic() - started,
        )
        if earlier is not None and earlier.state == AVAILABLE:
            self._retire(name, earlier)

    def _retire(self, name: str, version: Version) -> None:
        if version.state == AVAILABLE:
            version.state = UNLOADING
            log.info("%s: version %d takes no more requests", name, version.number)
            self._unload_if_idle(version)

    def _unload_if_idle(self, version: Version) -> None:
        if version.state == UNLOADING and not version.users and version.loaded is not None:
            loaded, version.loaded = version.loaded, None
            task = asyncio.ensure_future(self._unload(version, loaded))
            self.unloading.add(task)
            task.add_done_callback(self.unloading.discard)

    async def _unload(self, version: Version, loaded: LoadedModel) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, loaded.close)
        version.state = END

    def _name(self, model: Model) -> None:
        """Gives labels to their versions; one whose version is not available stays where it was."""
        available = model.available()
        for label, number in model.config.labels.items():
            if number in available:
                model.labels[label] = number
        for label in [
            label
            for label, number in model.labels.items()
            if label not in model.config.labels or number not in available
        ]:
            del model.labels[label]

    def _forget(self, model: Model, found: dict[int, tuple[Path, Stamp]]) -> None:
        """Drops the oldest entries of what ended, and those of versions that failed and whose
        folder is gone.
        """
        ended = [
            number for number, version in sorted(model.versions.items()) if version.state == END
        ]
        for number in ended:
            if (model.versions[number].error and number not in found) or number in ended[
                :-MAX_ENDED
            ]:
                del model.versions[number]

    def _complain(self, model: Model, found: dict[int, tuple[Path, Stamp]]) -> None:
        complaint = "" if found else f"there is no version under {model.config.base_path} yet"
        if complaint and complaint != model.complained:
            log.warning("%s: %s", model.config.name, complaint)
        model.complained = complaint


def _scan(base_path: Path) -> dict[int, tuple[Path, Stamp]]:
    """The versions under a folder.

    Number -> (its folder, what tells it from another of the same name).
    """
    found: dict[int, tuple[Path, Stamp]] = {}
    try:
        folders = [
            path for path in base_path.iterdir() if path.name.isascii() and path.name.isdigit()
        ]
    except OSError:
        return {}
    for folder in folders:
        try:
            saved = (folder / "saved_model.pb").stat()
        except OSError:  # gone in between, or not there yet
            continue
        found[int(folder.name)] = (
            folder,
            (saved.st_dev, saved.st_ino, saved.st_mtime_ns, saved.st_size),
        )
    return found
