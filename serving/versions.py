"""Which versions of which models are loaded, and which one takes a request.

A model is a folder whose versions are folders with an integer for a name. The folder is read every
few seconds. A new version is loaded and warmed up in a thread, and then takes all requests at once.
The version that it replaces is unloaded when it has answered its last request. A version that does
not load is reported and passed over: an older one serves.
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
from serving.mirror import Choose
from serving.model import LoadedModel
from serving.version_numbers import version_number

log = logging.getLogger("seqline.serve")

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
# Error codes, as TensorFlow Serving prints them.
OK, UNKNOWN = "OK", "UNKNOWN"
# Ended versions that are remembered, at most.
MAX_ENDED = 100
# A folder that does not load may not be complete yet. It is tried again after 2, 4, 8 ... seconds.
MAX_RETRIES = 6

# Tells a folder from another one of the same name.
Stamp = tuple[int, ...]
# Number of a version -> its folder, and which folder of that name it is.
Folders = dict[int, tuple[Path, Stamp]]


@dataclass(eq=False)
class Version:
    """One version of a model.

    Attributes:
        number: Its folder's name.
        folder: The folder.
        stamp: Which folder of that name it is.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: Why it did not load, "" if it did.
        loaded: The model, while it is loaded.
        num_users: Requests that it is answering.
        num_tries: How often it was loaded.
        tried: When it was last tried, as time.monotonic() has it.
    """

    number: int
    folder: Path
    stamp: Stamp
    state: str = START
    error: str = ""
    loaded: LoadedModel | None = None
    num_users: int = 0
    num_tries: int = 0
    tried: float = 0.0

    def status(self) -> dict[str, Any]:
        """As TensorFlow Serving's GetModelStatus prints it."""
        status = {"error_code": UNKNOWN if self.error else OK, "error_message": self.error}
        return {"version": str(self.number), "state": self.state, "status": status}

    def passed_over(self) -> bool:
        """Whether it did not load, and another try is not due."""
        return bool(self.error) and (
            self.num_tries > MAX_RETRIES or time.monotonic() < self.tried + 2**self.num_tries
        )


@dataclass(eq=False)
class ServedModel:
    """A model and its versions.

    Attributes:
        config: What is served of it.
        versions: Number -> the newest version of that number; older ones are retired.
        labels: Label -> number.
        complaint: What was last logged about its folder.
    """

    config: ModelConfig
    versions: dict[int, Version] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    complaint: str = ""

    def available(self) -> list[int]:
        """The numbers of the versions that take requests, in order."""
        return sorted(
            number for number, version in self.versions.items() if version.state == AVAILABLE
        )


class Versions:
    """The versions of all models. It belongs to one event loop, whose thread alone calls it.

    Args:
        load: Loads the model in a folder, ready for requests. Called in a thread of its own.
    """

    def __init__(self, load: Callable[[Path], LoadedModel]) -> None:
        self.load = load
        self.models: dict[str, ServedModel] = {}
        self.thread = ThreadPoolExecutor(1, "loader")
        self.unloading: set[asyncio.Task] = set()

    # Requests.

    def find(self, name: str) -> ServedModel:
        if name not in self.models:
            raise RefusedError(f"Servable not found for request: Latest({name[:100]})", status=404)
        return self.models[name]

    def not_ready(self) -> str:
        """Why requests should go elsewhere, "" if a version of every model takes them.

        A model of which no version could be loaded does not count beside one that answers.
        """
        loading = [
            name
            for name, model in self.models.items()
            if not model.available()
            and any(version.state in (START, LOADING) for version in model.versions.values())
        ]
        if loading:
            return f"The first version of {', '.join(loading)[:200]} is being loaded."
        if not any(model.available() for model in self.models.values()):
            return "No version of any model is available."
        return ""

    def choose(self, name: str, number: int | None = None, label: str | None = None) -> Version:
        """The version that answers a request: the newest one without a number or a label.

        Raises:
            RefusedError: There is no such version, or it is not loaded yet.
        """
        model = self.find(name)
        if label is not None:
            if label not in model.labels:
                raise RefusedError(f"Unrecognized servable version label: {label[:100]}")
            number = model.labels[label]

        available = model.available()
        if number is None and available:
            number = available[-1]
        if number in available:
            return model.versions[number]

        coming = [
            version
            for version in model.versions.values()
            if version.state in (START, LOADING) and number in (None, version.number)
        ]

        if coming:
            raise RefusedError(
                f"Version {coming[0].number} of {name} is being loaded. Try again.",
                status=503,
                retry_after=1,
            )

        which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise RefusedError(f"Servable not found for request: {which}", status=404)

    def acquire(self, version: Version) -> LoadedModel:
        """The model, which stays loaded until `release`."""
        assert version.loaded is not None
        version.num_users += 1
        return version.loaded

    def release(self, version: Version) -> None:
        """Ends a use of the model. The last one unloads a version that was retired."""
        version.num_users -= 1
        self._unload_if_idle(version)

    def status(
        self, name: str, number: int | None = None, label: str | None = None
    ) -> dict[str, Any]:
        """TensorFlow Serving's answer to a status request.

        Raises:
            RefusedError: There is no such model, version or label.
        """
        if name not in self.models:
            raise RefusedError(f"Could not find any versions of model {name[:100]}", status=404)

        model = self.models[name]
        if label is not None:
            number = self.choose(name, label=label).number

        chosen = [
            version
            for _, version in sorted(model.versions.items(), reverse=True)
            if number in (None, version.number)
        ]

        if not chosen:
            missing = f"version {number}" if number is not None else "any versions"
            raise RefusedError(f"Could not find {missing} of model {name}", status=404)
        return {"model_version_status": [version.status() for version in chosen]}

    def choose_copies(self) -> Choose:
        """Which versions of an object store to copy, or to keep, as things are now.

        The wanted ones, of which those that do not load do not count, and all that are loaded.
        """
        known = {model.config.base_path: model for model in self.models.values()}
        states = {
            folder: (
                {number for number, one in model.versions.items() if one.error},
                set(model.available()),
            )
            for folder, model in known.items()
        }
        configs = {folder: model.config for folder, model in known.items()}

        def choose(folder: Path, numbers: list[int]) -> set[int]:
            failed, loaded = states.get(folder, (set(), set()))
            config = configs.get(folder, ModelConfig("", folder))
            usable = [number for number in numbers if number not in failed]
            return set(config.wanted(usable)) | ((failed | loaded) & set(numbers))

        return choose

    # Changes.

    async def update(self, configs: list[ModelConfig]) -> None:
        """Reads the folders once, loads new versions, and retires those no longer wanted."""
        loop = asyncio.get_running_loop()
        for config in configs:
            self.models.setdefault(config.name, ServedModel(config)).config = config

        for name in set(self.models) - {config.name for config in configs}:
            for version in self.models.pop(name).versions.values():
                self._retire(name, version)

        for model in list(self.models.values()):
            folders, complaint = await loop.run_in_executor(
                self.thread, _scan, model.config.base_path, model.config.place
            )
            self._complain(model, complaint)
            while (number := self._next(model, folders)) is not None:
                await self._load(model, number, *folders[number])

            wanted = set(self._wanted(model, folders))
            available = set(model.available())
            if wanted & available:  # The last good one stays, whatever happens to its folder.
                for number in available - wanted:
                    self._retire(model.config.name, model.versions[number])

            self._move_labels(model)
            self._forget(model, folders)

    def _wanted(self, model: ServedModel, folders: Folders) -> list[int]:
        """The usable versions that the policy asks for, and those that have a label."""
        usable = [
            number
            for number, (_, stamp) in folders.items()
            if not self._is_bad(model, number, stamp)
        ]
        return model.config.wanted(usable)

    def _is_bad(self, model: ServedModel, number: int, stamp: Stamp) -> bool:
        version = model.versions.get(number)
        return version is not None and version.stamp == stamp and version.passed_over()

    def _next(self, model: ServedModel, folders: Folders) -> int | None:
        """The newest wanted version that is not loaded, or whose folder has been replaced."""
        for number in self._wanted(model, folders):
            version = model.versions.get(number)
            if version is None or version.state != AVAILABLE or version.stamp != folders[number][1]:
                return number
        return None

    async def _load(self, model: ServedModel, number: int, folder: Path, stamp: Stamp) -> None:
        name, earlier = model.config.name, model.versions.get(number)
        num_tries = 0
        if earlier and earlier.stamp == stamp and earlier.error:
            num_tries = earlier.num_tries

        version = Version(number, folder, stamp, LOADING, num_tries=num_tries + 1)
        if earlier is None or earlier.state != AVAILABLE:
            model.versions[number] = version

        loop = asyncio.get_running_loop()
        started = time.monotonic()
        try:
            loaded = await loop.run_in_executor(self.thread, self.load, folder)
        except Exception as error:
            version.state = END
            version.error = short(str(error)) or type(error).__name__
            version.tried = time.monotonic()
            log.error("%s: version %d does not load: %s", name, number, version.error)
            if earlier is not None and earlier.state == AVAILABLE:
                earlier.stamp = stamp  # It serves on, although its folder was replaced.
            return

        version.loaded = loaded
        version.state = AVAILABLE
        model.versions[number] = version
        seconds = time.monotonic() - started
        log.info("%s: version %d takes requests (loaded in %.1f s)", name, number, seconds)
        if earlier is not None and earlier.state == AVAILABLE:
            self._retire(name, earlier)

    def _retire(self, name: str, version: Version) -> None:
        if version.state == AVAILABLE:
            version.state = UNLOADING
            log.info("%s: version %d takes no more requests", name, version.number)
            self._unload_if_idle(version)

    def _unload_if_idle(self, version: Version) -> None:
        if version.state == UNLOADING and not version.num_users and version.loaded is not None:
            loaded, version.loaded = version.loaded, None
            task = asyncio.ensure_future(self._unload(version, loaded))
            self.unloading.add(task)
            task.add_done_callback(self.unloading.discard)

    async def _unload(self, version: Version, loaded: LoadedModel) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, loaded.close)
        version.state = END

    def _move_labels(self, model: ServedModel) -> None:
        """Moves labels to their versions. One whose version is not available stays where it was."""
        available = model.available()
        for label, number in model.config.labels.items():
            if number in available:
                model.labels[label] = number

        model.labels = {
            label: number
            for label, number in model.labels.items()
            if label in model.config.labels and number in available
        }

    def _forget(self, model: ServedModel, folders: Folders) -> None:
        """Drops the oldest ended versions, and failed ones whose folder has gone."""
        ended = [
            number for number, version in sorted(model.versions.items()) if version.state == END
        ]

        for number in ended:
            has_gone = model.versions[number].error and number not in folders
            if has_gone or number in ended[:-MAX_ENDED]:
                del model.versions[number]

    def _complain(self, model: ServedModel, complaint: str) -> None:
        """Logs what is wrong with a model's folder, once for as long as it stays so."""
        if complaint and complaint != model.complaint:
            log.warning("%s: %s", model.config.name, complaint)
        model.complaint = complaint


def _scan(base_path: Path, place: str = "") -> tuple[Folders, str]:
    """The versions under a folder, and a sentence on what is wrong with it, "" for nothing.

    Of two folders with one number, such as 123 and 00123, the one with the shorter name is served.
    The sentence names the place that the folder is a copy of, if it is one.
    """
    try:
        paths = sorted(base_path.iterdir(), key=lambda path: len(path.name))
    except OSError:
        paths = []

    folders: Folders = {}
    complaint = ""
    shown = place or base_path
    for folder in paths:
        number = version_number(folder.name)
        if number is None:
            continue

        try:
            saved = (folder / "saved_model.pb").stat()
        except OSError:
            continue  # It has just gone, or is not complete yet.

        if number in folders:
            served = folders[number][0].name
            complaint = (
                f"the folders {served} and {folder.name} under {shown} are both version"
                f" {number}; {served} is served. Remove or rename one of them."
            )
            continue

        stamp = (saved.st_dev, saved.st_ino, saved.st_mtime_ns, saved.st_size)
        folders[number] = (folder, stamp)

    if not folders:
        complaint = f"there is no version under {shown} yet"
    return folders, complaint
