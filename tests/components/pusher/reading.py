"""Reads a serving_dir: its versions and labels."""

from pathlib import Path

from components.pusher import labels
from components.pusher.folder import Folder


def versions(served: Path) -> list[int]:
    return Folder(served).versions()


def content(served: Path, version: int) -> str:
    return (served / str(version) / "saved_model.pb").read_text()


def labels_in(served: Path, name: str = "seqline") -> dict[str, int]:
    entry = labels.read((served / "models.config").read_bytes(), name, "here")
    assert entry
    return dict(entry.labels)
