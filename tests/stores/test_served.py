"""The server's copy of a serving_dir, on each store."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving.mirror import Mirrors
from serving.remote import RemoteError
from tests.support.emulators import Emulator
from tests.support.served import environment

pytestmark = pytest.mark.stores

# Uploads in a process of its own, by the libraries themselves.
UPLOAD = """
import os, sys
place, endpoint = sys.argv[1], os.environ.get("AZURE_STORAGE_ENDPOINT")
scheme, _, rest = place.partition("://")
if scheme == "gs":
    from google.cloud import storage
    bucket, _, path = rest.partition("/")
    blobs = storage.Client.create_anonymous_client().bucket(bucket)
    put = lambda name, content: blobs.blob(f"{path}/{name}").upload_from_string(content)
    delete = lambda name: blobs.blob(f"{path}/{name}").delete()
else:
    import obstore
    from obstore.store import from_url
    more = {"endpoint": endpoint} if endpoint else {}
    store = from_url(place, client_options={"allow_http": True}, **more)
    put = lambda name, content: obstore.put(store, name, content.encode())
    delete = lambda name: obstore.delete(store, name)
for argument in sys.argv[2:]:
    name, equals, content = argument.partition("=")
    put(name, content) if equals else delete(name)
"""


def change(place: str, *changes: str) -> None:
    """Writes objects (`name=content`) and deletes them (`name`)."""
    command = [sys.executable, "-c", UPLOAD, place, *changes]
    subprocess.run(command, check=True, env=environment())


def contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_versions_come_and_go(emulator: Emulator) -> None:
    change(emulator.place, "m/1/variables/v=one", "m/1/saved_model.pb=one", "m/2/variables/v=two")
    mirrors = Mirrors()
    folder = mirrors.folder(emulator.place, "--model_base_path")
    assert mirrors.models(emulator.place) == ["m"]
    every = lambda folder, numbers: set(numbers)  # noqa: E731  # shorter than a function here
    assert mirrors.poll(every, [folder]) == {emulator.place: ""}
    one = {"m/1/saved_model.pb": "one", "m/1/variables/v": "one"}
    assert contents(folder) == one

    change(emulator.place, "m/2/saved_model.pb=two", "m/1/variables/v=another")
    assert mirrors.poll(every, [folder]) == {emulator.place: ""}
    assert contents(folder) == {
        "m/1/saved_model.pb": "one",
        "m/1/variables/v": "another",
        "m/2/saved_model.pb": "two",
        "m/2/variables/v": "two",
    }

    change(emulator.place, "m/2/saved_model.pb")
    assert mirrors.poll(every, [folder]) == {emulator.place: ""}
    assert contents(folder) == one | {"m/1/variables/v": "another"}


def test_a_bucket_that_is_missing_is_one_line(emulator: Emulator) -> None:
    place = emulator.place.replace("://bucket/", "://missing/")
    with pytest.raises(RemoteError) as raised:
        Mirrors().folder(place, "--model_base_path")
    assert str(raised.value) == (
        f"{place} cannot be read: there is no such bucket or object. Correct the path, or create"
        " the bucket."
    )


def test_wrong_keys_are_one_line(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    if emulator.name in ("moto", "fake-gcs-server"):
        pytest.skip(f"{emulator.name} looks at no keys")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    with pytest.raises(RemoteError) as raised:
        Mirrors().folder(emulator.place, "--model_base_path")
    assert str(raised.value).startswith(f"{emulator.place} cannot be read: access is refused (")
    assert "\n" not in str(raised.value)
