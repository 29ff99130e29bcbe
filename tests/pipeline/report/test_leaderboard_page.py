"""The leaderboard and a comparison in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import leaderboard
from pipeline.store.folder import Store
from tests.support.browser import chromium
from tests.support.report_comparisons import write_runs_to_compare
from tests.support.reports import invoke


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("the root"))
    names = write_runs_to_compare(store, [0.9, 0.92, 0.88])
    (store.path("evaluator", f"{names[1]}-evaluator") / "execution.json").unlink()
    leaderboard.write_leaderboard(store)
    return store


def open_page(browser: Any, page: Path, width: int = 1280) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser")
    browser.get(page.as_uri())


def runs_of(browser: Any) -> list[str]:
    """The runs that are shown, by the ends of their names."""
    rows = browser.find_elements("css selector", ".board tbody tr:not([hidden]) th")
    return [row.text for row in rows]


def test_it_sorts_filters_and_says_how_to_compare(browser: Any, store: Store) -> None:
    open_page(browser, store.root / "index.html")
    assert runs_of(browser) == ["0003", "0002", "0001"]
    heads = {head.text: head for head in browser.find_elements("css selector", ".board th button")}

    heads["accuracy"].click()
    assert runs_of(browser) == ["0001", "0003", "0002"]  # the best first, what has none last
    heads["accuracy"].click()
    assert runs_of(browser) == ["0003", "0001", "0002"]
    accuracy = browser.find_element("css selector", ".board [aria-sort=ascending]")
    assert accuracy.text == "accuracy"
    heads["took"].click()
    assert runs_of(browser) == ["0001", "0002", "0003"]

    box = browser.find_element("id", "filter")
    box.send_keys("PUSHED rnn_units=48")
    assert runs_of(browser) == ["0003"]
    assert browser.find_element("id", "shown").text == "1 of 3"
    box.clear()
    box.send_keys(" ")
    assert runs_of(browser) == ["0001", "0002", "0003"]

    for choice in browser.find_elements("css selector", ".board input")[:2]:
        choice.click()
    command = browser.find_element("id", "command").text
    assert command == (
        f"seqline compare 20260101T000000-0001 20260102T000000-0002 --root '{store.root}'"
    )
    assert browser.get_log("browser") == []


def test_no_other_script_runs(browser: Any, store: Store) -> None:
    page = store.root / "other.html"
    content = (store.root / "index.html").read_text()
    page.write_text(content.replace("<main", "<script>document.title = 'x'</script><main"))
    open_page(browser, page)
    assert browser.title == "Leaderboard: 3 runs"
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off(browser: Any, store: Store, tmp_path: Path, width: int) -> None:
    page = tmp_path / "comparison.html"
    invoke("compare", "1", "2", "3", "--root", str(store.root), "--html", str(page))
    for shown in (page, store.root / "index.html"):
        open_page(browser, shown, width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.get_log("browser") == []
