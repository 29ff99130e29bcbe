"""A store without conditional writes is found out, and refused in one line."""

from pathlib import Path

import pytest

from seqline.storage import objects
from tests.support import store_runs
from tests.support.emulators import Emulator

pytestmark = pytest.mark.stores


@pytest.mark.parametrize("what", ["root", "serving_dir"])
def test_it_is_refused_before_anything_is_made(s3rver: Emulator, tmp_path: Path, what: str) -> None:
    place = s3rver.place
    store_runs.write_span(place, 1)
    folder = str(tmp_path / "place")
    arguments = ["--root", f"{place}/root"] if what == "root" else ["--serving-dir", f"{place}/m"]
    code, out = store_runs.seqline(tmp_path / "run", "run", place, folder, *arguments)
    assert code == 2, out
    [line] = [line for line in out.splitlines() if line.startswith("error: ")]
    assert "writers create one object, so that two runs could hold one lock. Use a store" in line
    assert out.endswith(f"{line}\n")
    left = [path for path, *_ in objects.find(f"{place}/")]
    assert left == [f"{place}/data/1/rows.jsonl"]
