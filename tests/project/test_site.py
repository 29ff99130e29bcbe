"""The site of the documentation: a strict build, no dead link, nothing loaded from elsewhere."""

import functools
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support import CHECKOUT
from tests.support.browser import chromium

REPOSITORY = "https://github.com/seqline/seqline"
# Attributes by which a page loads something, as opposed to links that a reader may follow.
LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
NOT_LOADED = {"index", "search", "next", "prev", "canonical", "author", "copyright"}  # rel=...


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.add(values.get("id", ""))
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        elif LOADED.get(tag, "") in values and values.get("rel") not in NOT_LOADED:
            self.loads.add(values[LOADED[tag]])


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Builds as `make docs` does."""
    command = "-m sphinx -W --keep-going -n -q"
    assert f"$(BIN)/python {command} docs build/docs" in (CHECKOUT / "Makefile").read_text()
    return subprocess.run(
        [sys.executable, *command.split(), source, site], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "myst_nb", "pydata_sphinx_theme"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package}, of the extra `docs`, is not installed")

    folder = tmp_path_factory.mktemp("site")
    built = build(CHECKOUT / "docs", folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    written = (file for file in site.rglob("*.html") if site / "_static" not in file.parents)
    return {file: Page(file) for file in written}  # _static has a template of the theme's


def test_every_page_is_in_the_site(pages: dict[Path, Page], site: Path) -> None:
    documents = [*(CHECKOUT / "docs").rglob("*.md"), *(CHECKOUT / "docs").rglob("*.ipynb")]
    for document in documents:
        place = document.relative_to(CHECKOUT / "docs").with_suffix(".html")
        assert site / place in pages


def test_links_lead_to_a_page_a_heading_or_a_file_of_the_repository(
    pages: dict[Path, Page],
) -> None:
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if link.startswith((f"{REPOSITORY}/blob/main/", f"{REPOSITORY}/tree/main/")):
                assert (CHECKOUT / parts.path.split("/", 5)[5]).exists(), link
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.exists(), f"{file.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{file.name}: {link}"


def test_a_page_loads_files_of_the_site_alone(pages: dict[Path, Page]) -> None:
    for file, page in pages.items():
        for name in page.loads:
            parts = urlsplit(name)
            assert not parts.netloc, f"{file.name}: {name}"
            assert parts.scheme == "data" or (file.parent / parts.path).exists(), name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[nowhere](nowhere.md)\n", "nowhere.md"),
        ("[no heading](#no-heading)\n", "no-heading"),
        ("```{toctree}\nmissing\n```\n", "missing"),
    ],
)
def test_a_dead_link_ends_the_build(tmp_path: Path, text: str, complaint: str, site: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(CHECKOUT / "docs" / "conf.py", docs)
    shutil.copytree(CHECKOUT / "docs" / "static", docs / "static")
    (docs / "index.md").write_text(f"# A page\n\n{text}", encoding="utf-8")
    built = build(docs, tmp_path / "site")
    assert built.returncode == 1
    assert complaint in built.stderr


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Where the site is served, as any server of files does."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *values: object) -> None:
            """Nothing is printed."""

    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_site_works_in_a_browser_on_desk_and_phone(tmp_path: Path, address: str) -> None:
    with chromium(tmp_path) as browser:
        browser.implicitly_wait(20)
        browser.get(f"{address}/search.html?q=rollback")
        found = browser.find_elements("css selector", "#search-results li a")
        assert f"{address}/pushing.html" in {
            link.get_attribute("href").partition("?")[0] for link in found
        }

        for width in (1300, 400):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == 400}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            for page in (
                "index",
                "tutorial",
                "serving",
                "reference/cli",
                "reference/configuration",
            ):
                browser.get(f"{address}/{page}.html")
                shown = browser.execute_script("return document.documentElement.scrollWidth")
                assert shown <= width, page

        messages = [
            json.loads(line["message"])["message"] for line in browser.get_log("performance")
        ]
        asked = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        assert asked
        assert {urlsplit(url).netloc for url in asked if url.startswith(("http", "ws"))} == {
            urlsplit(address).netloc
        }
        severe = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
        assert severe == []
