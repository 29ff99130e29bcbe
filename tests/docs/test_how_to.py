"""The commands of the how-to guides, run as their reader would."""

import shutil
import socket
from pathlib import Path

import pytest

from tests.support import CHECKOUT
from tests.support.doc_blocks import run_page

GUIDES = (CHECKOUT / "docs" / "how-to").glob("*.md")
PAGES = sorted(page for page in GUIDES if page.stem != "index")


@pytest.mark.slow  # one to five trainings each
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_guide_do_what_it_shows(page: Path, tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "examples" / "messages" / "messages.csv", tmp_path)
    run_page(page, tmp_path, {"8501": str(free_port())})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
