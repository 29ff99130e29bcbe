"""Pushes, rollbacks and damaged versions beneath a server, for `tests.soak.server_story`."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.pusher.publish import push, rollback
from tests.soak.good_clients import NAME, TIMEOUT, Shared

# After a rollback from one to another, a push has to be of a third: the first stays rolled back.
NUM_MODELS = 3
KEEP_VERSIONS = 4


class Story:
    """Pushes, rollbacks and damaged versions, one after the other.

    Attributes:
        models: The models' folders.
        serving_dir: Where their versions are.
        current, rolled_back: The number of the model that was published last, and of the one that
            was rolled back from; -1 for none.
        wrong: What must not have happened.
        damaged: The damaged versions.
    """

    def __init__(self, models: list[Path], serving_dir: Path, shared: Shared) -> None:
        self.models, self.serving_dir, self.shared = models, serving_dir, shared
        self.current, self.rolled_back = NUM_MODELS - 1, -1
        self.wrong: list[str] = []
        self.damaged: list[Path] = []
        self.longest_wait = 0.0

    def push(self) -> int:
        """Pushes the next model that was neither served last nor rolled back from."""
        after = [(self.current + step) % NUM_MODELS for step in range(1, NUM_MODELS)]
        model = next(number for number in after if number != self.rolled_back)
        folder = self.models[model]

        def change() -> Any:
            return push(
                folder,
                self.serving_dir,
                keep_versions=KEEP_VERSIONS,
                model_name=NAME,
                name=NAME,
            )

        version = self._publish(model, change)
        self.rolled_back = -1
        return version

    def rollback(self) -> int:
        """Rolls back to the newest good version that has another model."""
        before = self.current
        numbers = sorted((int(path.name) for path in self._numbered()), reverse=True)
        to = next(number for number in numbers if self.shared.models[number] not in (-1, before))
        version = self._publish(self.shared.models[to], lambda: rollback(self.serving_dir, to))
        self.rolled_back = before
        return version

    def _publish(self, model: int, change: Callable[[], Any]) -> int:
        """Makes a change that gives the next version; returns its number."""
        # Before it happens: a client may see the version before the change returns.
        expected = self._highest() + 1
        self.shared.models[expected] = model
        try:
            version = int(change()["version"])
        except Exception:
            self.shared.models[expected] = -1
            raise

        if version != expected:
            self.shared.models[expected] = -1
            self.wrong.append(f"version {version} was pushed, expected {expected}")
        self.current = model
        for folder in self.damaged:
            shutil.rmtree(folder, ignore_errors=True)
        self.damaged = []
        return version

    def _numbered(self) -> list[Path]:
        return [path for path in self.serving_dir.glob("*") if path.name.isdecimal()]

    def _highest(self) -> int:
        return max((int(path.name) for path in self._numbered()), default=0)

    def damage(self, number: int) -> None:
        """Adds a copy of the newest version, with a byte flipped in one of its files."""
        newest = self.serving_dir / str(self._highest())
        copy = self.serving_dir / str(self._highest() + 1)
        aside = self.serving_dir / ".by-hand"
        shutil.copytree(newest, aside)

        names = ["variables/variables.data-00000-of-00001", "assets/labels", "saved_model.pb"]
        file = aside / names[number % len(names)]
        if not file.exists():
            file = max((path for path in aside.rglob("*") if path.is_file()), key=_size)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        aside.rename(copy)
        self.damaged.append(copy)

    def wait_until_served(self, version: int) -> None:
        started = time.monotonic()
        while self.shared.newest.value < version:
            if time.monotonic() > started + TIMEOUT:
                self.wrong.append(f"version {version} was not served after {TIMEOUT:.0f} s")
                return
            time.sleep(0.02)
        self.longest_wait = max(self.longest_wait, time.monotonic() - started)

    def change(self, kind: str, number: int) -> None:
        """One change, which must succeed and be served."""
        try:
            version = self.push() if kind == "push" else self.rollback()
        except Exception as error:
            self.wrong.append(f"{kind} {number}: {type(error).__name__}: {error}")
            return
        self.wait_until_served(version)


def _size(path: Path) -> int:
    return path.stat().st_size
