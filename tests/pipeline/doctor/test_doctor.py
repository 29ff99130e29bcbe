"""`seqline doctor` on environments that are really broken, each in processes of its own."""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.doctor import FAIL, OK, libraries, places
from pipeline.store.folder import Store
from seqline.component import Artifact
from tests.support import CHECKOUT, s3
from tests.support.fake_cloud import gcs
from tests.support.records import execution


def doctor(
    folder: Path,
    *arguments: str,
    python: str = sys.executable,
    tree: Path = CHECKOUT,
    **variables: str,
) -> tuple[int, str]:
    """The exit code and the output of `python -m pipeline doctor`, started in a folder."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    }
    path = os.pathsep.join([*filter(None, [variables.pop("PYTHONPATH", "")]), str(tree)])
    command = [python, "-m", "pipeline", "doctor", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**environment, "PYTHONPATH": path, **variables},
    )

    assert done.stderr == "", done.stderr

    return done.returncode, done.stdout


def lines(out: str, subject: str) -> list[str]:
    """The lines about one subject, each with its remedy after an arrow."""
    whole = out.replace("\n" + " " * 27, " ").splitlines()
    return [
        f"{line.split()[0]}: {line[27:]}" for line in whole if line[6:].startswith(f"{subject} ")
    ]


def package(folder: Path, name: str, code: str, version: str | None = None) -> Path:
    """Makes a package, and its metadata if it has a version."""
    module = folder.joinpath(*name.split("."))
    module.mkdir(parents=True)
    (module / "__init__.py").write_text(code)
    if version:
        records = folder / f"{name.split('.')[-1]}-{version}.dist-info"
        records.mkdir()
        (records / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.split('.')[-1]}\nVersion: {version}\n"
        )
    return module / "__init__.py"


def test_a_sound_environment_passes_whole(tmp_path: Path) -> None:
    code, out = doctor(tmp_path)
    assert code == 0, out
    for subject in ("python", "byte code", "versions", "root"):
        assert len(lines(out, subject)) == 1
    assert lines(out, "imports")[0].startswith("ok: 24 modules")
    assert f"TensorFlow {version('tensorflow')}" in lines(out, "devices")[0]
    assert out.splitlines()[-1].startswith("0 failed")
    assert list(tmp_path.iterdir()) == []


def test_a_numpy_that_another_path_hides(tmp_path: Path) -> None:
    fake = package(
        tmp_path / "path", "numpy", 'raise ImportError("numpy was built for another Python")'
    )
    code, out = doctor(tmp_path, PYTHONPATH=str(tmp_path / "path"))
    home = libraries.distribution("numpy").locate_file("")

    assert code == 2
    assert lines(out, "numpy") == [
        f"fail: ImportError: numpy was built for another Python (raised in {fake}:1) -> this is not"
        f" the numpy that is installed in {Path(str(home)).resolve()}: PYTHONPATH or the folder"
        f" you are in hides it; remove {fake}"
    ]
    assert (
        lines(out, "tensorflow") == lines(out, "apache_beam") == ["fail: fails because numpy does"]
    )
    assert lines(out, "optuna") == ["warn: fails because numpy does"]
    assert lines(out, "imports") == []


def test_a_protobuf_that_fits_nothing(tmp_path: Path) -> None:
    package(tmp_path / "path", "google.protobuf", "", version="3.20.3")
    code, out = doctor(tmp_path, "--quick", PYTHONPATH=str(tmp_path / "path"))
    assert code == 2
    outside, unlocked = lines(out, "versions")
    assert outside.startswith(
        "fail: outside the range that pyproject.toml allows: protobuf is 3.20.3, not >=5 -> make"
        " clean install"
    )
    assert unlocked.startswith("warn: not the locked versions, with which seqline is tested: ")
    assert "protobuf is 3.20.3, not " in unlocked


def test_an_environment_with_nothing_in_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    code, out = doctor(tmp_path, python=str(tmp_path / "venv" / "bin" / "python"))
    assert code == 2
    assert lines(out, "versions")[0].startswith("fail: not installed: apache-beam; google-crc32c; ")
    assert lines(out, "tensorflow") == [
        "fail: ModuleNotFoundError: No module named 'tensorflow' -> tensorflow is not installed:"
        " make clean install (or: pip install --no-deps --require-hashes -r"
        " requirements-runtime.lock)"
    ]
    assert lines(out, "configuration")[0].startswith(
        "fail: the defaults: ModuleNotFoundError: No module named 'pydantic'"
    )
    assert lines(out, "root")[0].startswith(f"ok: {tmp_path}/artifacts: ")


def test_a_version_that_is_not_the_locked_one(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("pipeline", "components", "seqline", "serving"):
        shutil.copytree(CHECKOUT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    lock = (
        (CHECKOUT / "requirements-runtime.lock")
        .read_text()
        .replace(f"\npydantic=={version('pydantic')} ", "\npydantic==2.7.0 ")
    )

    (tree / "requirements-runtime.lock").write_text(lock)
    shutil.copy(CHECKOUT / "pyproject.toml", tree)

    code, out = doctor(tmp_path, "--quick", tree=tree)
    assert code == 0
    assert (
        f"not the locked versions, with which seqline is tested: pydantic is {version('pydantic')},"
        " not 2.7.0" in lines(out, "versions")[0]
    )

    (tree / "pyproject.toml").write_text(
        (CHECKOUT / "pyproject.toml").read_text().replace('"pydantic>=2.7"', '"pydantic>=99"')
    )
    code, out = doctor(tmp_path, "--quick", tree=tree)
    assert code == 2
    assert f"pydantic is {version('pydantic')}, not >=99" in lines(out, "versions")[0]


def test_a_command_line_that_cannot_start(tmp_path: Path) -> None:
    package(tmp_path / "path", "typer", "raise RuntimeError('half installed')")
    path = os.pathsep.join([str(tmp_path / "path"), str(CHECKOUT)])
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "plan"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )

    assert done.returncode == 1
    assert done.stderr.startswith(
        "seqline's libraries cannot be imported. `seqline doctor` (or python -m pipeline.doctor)"
        " says what is wrong.\n"
    )

    code, out = doctor(tmp_path, "--quick", PYTHONPATH=str(tmp_path / "path"))
    assert (code, lines(out, "root")[0][:3]) == (0, "ok:")


def test_a_folder_that_hides_seqlines_own(tmp_path: Path) -> None:
    package(tmp_path, "seqline", "")
    errors = package(tmp_path, "seqline.errors", "")
    code, out = doctor(tmp_path, "--quick")
    assert code == 2
    assert lines(out, "configuration")[0].startswith(
        "fail: the defaults: ImportError: cannot import name 'UserError' from 'seqline.errors'"
        f" ({errors})"
    )


def test_byte_code_that_is_not_kept(tmp_path: Path) -> None:
    code, out = doctor(tmp_path, "--quick", PYTHONDONTWRITEBYTECODE="1")
    assert code == 0
    assert lines(out, "byte code") == [
        "warn: is not kept (PYTHONDONTWRITEBYTECODE is set): every import of TensorFlow takes 20 to"
        " 40 s instead of 4 -> unset PYTHONDONTWRITEBYTECODE"
    ]


def test_folders_that_are_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out = doctor(
        tmp_path, "--quick", "--root", "file/root", "--serving-dir", "file", "--json"
    )
    findings = {finding["what"]: finding for finding in json.loads(out)["findings"]}

    assert (code, json.loads(out)["ok"]) == (2, False)
    assert findings["root"] == {
        "status": "fail",
        "what": "root",
        "text": f"{tmp_path}/file/root: {tmp_path}/file is not a folder",
        "way_out": "move it away, or name another: --root",
    }
    assert findings["serving_dir"]["text"] == f"{tmp_path}/file: {tmp_path}/file is not a folder"


@pytest.fixture
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mounts a file system with the options that the test gives."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", request.param, "none", str(folder)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("mounted", ["size=64k"], indirect=True)
def test_a_disk_without_room(mounted: Path, tmp_path: Path) -> None:
    code, out = doctor(tmp_path, "--quick", "--root", str(mounted))
    assert code == 2
    assert lines(out, "root") == [
        f"fail: {mounted}: no room (No space left on device) -> seqline gc frees what no run needs;"
        " or name another: --root"
    ]


@pytest.mark.parametrize("mounted", ["ro"], indirect=True)
def test_a_disk_that_can_only_be_read(mounted: Path, tmp_path: Path) -> None:
    code, out = doctor(tmp_path, "--quick", "--root", str(mounted / "root"), TMPDIR="/nowhere")
    assert code == 2
    assert lines(out, "root") == [
        f"fail: {mounted}/root cannot be written (Read-only file system: {mounted}) -> make it"
        " writable, or name another: --root"
    ]


def test_a_folder_of_another_user(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    finding = places.writable("serving_dir", str(tmp_path / "serving_dir"))
    assert finding.status == FAIL
    assert "Permission denied" in finding.text


def test_a_bucket(tmp_path: Path) -> None:
    with gcs.serve() as cloud:
        cloud.buckets["bucket"] = {}
        variables = {"STORAGE_EMULATOR_HOST": cloud.url, "SEQLINE_CACHE": str(tmp_path / "cache")}
        _, out = doctor(
            tmp_path,
            "--quick",
            "--root",
            "gs://bucket/root",
            "--serving-dir",
            "gs://nobody/served",
            **variables,
        )

        assert lines(out, "root") == [
            "ok: gs://bucket/root: can be listed, read, written and deleted"
        ]
        assert lines(out, "serving_dir")[0].startswith("fail: gs://nobody/served: ")
        assert "the bucket 'nobody' does not exist" in lines(out, "serving_dir")[0]
        assert cloud.buckets == {"bucket": {}}

        cloud.permissions = {"storage.objects.get", "storage.objects.list"}
        code, out = doctor(tmp_path, "--quick", "--root", "gs://bucket/root", **variables)
        assert code == 2
        assert (
            lines(out, "root")[0]
            == "fail: gs://bucket/root: this account lacks storage.objects.create,"
            " storage.objects.delete -> the account needs the role storage.objectUser in the bucket"
        )


def test_a_bucket_of_another_cloud(tmp_path: Path) -> None:
    with s3.serve():
        _, out = doctor(
            tmp_path, "--quick", "--root", "s3://bucket/root", "--serving-dir", "s3://nobody/served"
        )
        assert lines(out, "root") == [
            "ok: s3://bucket/root: can be listed, read, written and deleted"
        ]
        assert "the bucket 'nobody' does not exist" in lines(out, "serving_dir")[0]
        assert "Contents" not in s3.client().list_objects_v2(Bucket="bucket")


def test_a_run_of_the_future(tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "runs" / "29990101T000000000000-abcd").mkdir(parents=True)
    _, out = doctor(tmp_path, "--quick")
    assert lines(out, "clock")[0].startswith(
        "warn: run 29990101T000000000000-abcd in 'artifacts' has a name in the future: `seqline"
        " show` takes it for the last one"
    )


def test_imports_that_hang_or_kill_do_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "hangs", "import time; time.sleep(10000)")
    package(tmp_path, "crashes", "import os; os.kill(os.getpid(), 4)")
    package(tmp_path, "leaves", "import sys; sys.exit('not with this one')")
    package(tmp_path, "prints", "print('{noise}', flush=True)")
    package(tmp_path, "outgrows", "import os; os.kill(os.getpid(), 9)")
    monkeypatch.syspath_prepend(tmp_path)
    names = ("hangs", "crashes", "outgrows", "leaves", "prints", "json")
    modules = dict.fromkeys(names, "numpy")

    findings = {
        finding.what: finding
        for finding in libraries.imported(modules=modules, extras={}, own=(), seconds=4.6)
    }
    assert findings.keys() == {"hangs", "crashes", "outgrows", "leaves"}
    assert findings["hangs"].text == "it had not ended after 5 s"
    assert findings["crashes"].text == "its process was ended by signal 4"
    assert findings["crashes"].way_out.startswith("this CPU lacks instructions")
    assert findings["outgrows"].way_out.startswith("the system ended it, most often because memory")
    assert findings["leaves"].text.startswith("SystemExit: not with this one")


def test_it_needs_the_standard_library_alone() -> None:
    code = (
        f"import sys; sys.path.append({str(CHECKOUT)!r}); import pipeline.doctor.__main__;"
        " print(sorted(name for name in sys.modules if 'site-packages' in"
        " str(getattr(sys.modules[name], '__file__', ''))))"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_artifacts_are_compared_with_their_digests(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    assert list(places.artifacts(str(store.root))) == []
    for key in ("k1", "k2"):
        folder = store.begin("trainer", key)
        (folder / "model").write_text("abc")
        artifact = Artifact("Model", store.path("trainer", key), key)
        store.commit(folder, artifact, "trainer", execution("trainer", key))
    old = store.path("trainer", "k0")
    old.mkdir()
    execution("trainer", "k0").write(old / "execution.json")

    (whole,) = places.artifacts(str(store.root))
    text = "3 artifacts, 2 files as written; 1 of an earlier release have no digests"
    assert (whole.status, whole.text) == (OK, text)

    (store.path("trainer", "k1") / "model").write_text("abd")
    (store.path("trainer", "k1") / "notes").write_text("mine")
    (store.path("trainer", "k2") / "execution.json").write_text("{")
    findings = list(places.artifacts(str(store.root)))
    assert [(finding.status, finding.text) for finding in findings] == [
        (FAIL, f"{store.path('trainer', 'k1')}: model changed after it was written"),
        (FAIL, f"{store.path('trainer', 'k1')}: notes was added after it was written"),
        (FAIL, f"{store.path('trainer', 'k2')}: execution.json is damaged"),
    ]
    assert [finding.way_out.split()[0] for finding in findings] == ["seqline", "move", "seqline"]
