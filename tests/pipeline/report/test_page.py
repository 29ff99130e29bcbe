"""report.html in a real browser, on a desktop and a phone, light and dark.

Nothing runs, nothing is requested, nothing is cut off.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import report
from pipeline.store.folder import Store
from tests.support.browser import chromium
from tests.support.report_curves import tuner_of
from tests.support.report_pages import NASTY
from tests.support.report_runs import BETTER, stages_of
from tests.support.reports import write_run

# name -> (width, prefers-color-scheme).
SCREENS = {
    "desktop": (1280, "light"),
    "phone": (390, "light"),
    "dark phone": (390, "dark"),
    "dark desktop": (1280, "dark"),
}
# Texts whose contrast with their background is too low, by WCAG 2.2 (4.5, for large letters 3).
CONTRAST = """
const rgb = text => {
  const found = text.match(/[\\d.]+/g).map(Number);
  return found.length > 3 ? found : [...found, 1];
};
const over = (top, below) =>
  top.slice(0, 3).map((value, index) => value * top[3] + below[index] * (1 - top[3]));
const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const luminance = color => {
  const [r, g, b] = color.map(value => linear(value / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = element => {
  const layers = [];
  for (let each = element; each; each = each.parentElement)
    layers.unshift(rgb(getComputedStyle(each).backgroundColor));
  return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
  const isHidden = ["TITLE", "DESC"].includes(element.tagName.toUpperCase());
  if (!text || isHidden || !element.checkVisibility()) continue;
  const style = getComputedStyle(element), background = behind(element);
  const colour = element instanceof SVGElement ? style.fill : style.color;
  const ink = luminance(over(rgb(colour), background)), paper = luminance(background);
  const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.6 && style.fontWeight >= 700);
  if (ratio < (isLarge ? 3 : 4.5)) found.push([text.slice(0, 40), ratio]);
}
return found;
"""
# Elements that reach beyond the page, but for those that scroll by themselves on purpose.
TOO_WIDE = """
const isTooWide = each =>
  !each.closest(".scroll") && each.getBoundingClientRect().right > innerWidth + 1;
return [...document.querySelectorAll("body *")].filter(isTooWide)
  .map(each => each.tagName + " " + each.textContent.trim().slice(0, 60));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of an ordinary run, of hostile texts, of many classes, and of runs that failed."""
    store = Store(tmp_path_factory.mktemp("root"))
    labels = ["animals", "fruit", "metals"]
    plain, files = stages_of(labels, ["The cat sat on the mat.", "An apple a day"])
    trace = (
        "StageError: Traceback (most recent call last):\n"
        + "  File x\n" * 80
        + f"KeyError: '{'k' * 200}'"
    )

    tuner, trials = tuner_of()
    refused, of_refused = stages_of(labels, ["a text"], linear=BETTER, min_accuracy=0.99)
    runs = {
        "cautious": write_run(
            store,
            "cautious",
            *stages_of(labels, ["a text"], linear=BETTER),
            config={"name": "my_reviews"},
        ),
        "refused": write_run(
            store,
            "refused",
            refused,
            of_refused,
            "failed",
            error="NotBlessedError: accuracy is under min_accuracy.",
        ),
        "plain": write_run(store, "plain", plain, files),
        "tuned": write_run(store, "tuned", {"tuner": tuner, **plain}, {"tuner": trials, **files}),
        "two": write_run(store, "two", *stages_of(["spam", "other"], [])),
        "nasty": write_run(
            store,
            "nasty",
            *stages_of(NASTY, NASTY),
            "failed",
            error=f"DataError: {NASTY[0]} {NASTY[7]}",
        ),
        "many": write_run(
            store, "many", *stages_of([f"the class number {number}" for number in range(100)], [])
        ),
        "some": write_run(
            store,
            "some",
            *stages_of(
                [f"the class number {number}" for number in range(18)], [], "sequence", False
            ),
        ),
        "failed": write_run(
            store, "failed", {"example_gen": plain["example_gen"]}, files, "failed", error=trace
        ),
        "nothing": write_run(store, "nothing", {}, {}, "running"),
    }

    return {name: report.write_report(store, run, summary=False) for name, run in runs.items()}


def show(browser: Any, page: Path, screen: str, is_open: bool = True) -> None:
    width, scheme = SCREENS[screen]
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())

    if is_open:
        browser.execute_script(
            "document.querySelectorAll('details').forEach(each => each.open = true)"
        )


def requests(browser: Any) -> list[str]:
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize(
    "name",
    ["plain", "tuned", "two", "cautious", "refused", "nasty", "many", "some", "failed", "nothing"],
)
def test_on_every_screen(browser: Any, pages: dict[str, Path], name: str) -> None:
    for screen, (width, scheme) in SCREENS.items():
        show(browser, pages[name], screen)
        # An alert that is open would raise here.
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, (
            screen
        )
        assert browser.execute_script(TOO_WIDE) == [], screen
        assert browser.execute_script(CONTRAST) == [], screen
        assert (
            browser.execute_script("return document.scripts.length + document.images.length") == 0
        )

        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(14, 17, 22)" if scheme == "dark" else "rgb(244, 246, 248)")
        assert browser.get_log("browser") == []
        assert {url for url in requests(browser) if not url.startswith("data:,")} == {
            pages[name].as_uri()
        }


def test_the_verdict_is_what_one_sees_first(browser: Any, pages: dict[str, Path]) -> None:
    for screen in ("desktop", "phone"):
        show(browser, pages["plain"], screen, is_open=False)
        heading = browser.find_element("tag name", "h1")
        assert heading.text == "Pushed as version 2"
        assert heading.rect["y"] < 120

        tiles = {
            tile.find_element("tag name", "dt").text: tile
            for tile in browser.find_elements("css selector", ".tiles > div")
        }
        evaluation = json.loads((pages["plain"].parent / "report.json").read_text())["compared"][0]

        assert (
            tiles["Test accuracy"].find_element("tag name", "dd").text.split("\n")[0]
            == f"{evaluation['accuracy']:.1%}"
        )
        assert tiles["Test accuracy"].rect["y"] < 800


def test_the_confusions_are_read_on_a_phone_without_scrolling(
    browser: Any, pages: dict[str, Path]
) -> None:
    """The list comes first and fits; the matrix scrolls in a box of its own.

    On a desktop the matrix is on the left.
    """
    for name in ("plain", "some", "many"):
        show(browser, pages[name], "phone", is_open=False)
        pairs, box = (
            browser.find_element("css selector", f"#confusion {selector}").rect
            for selector in (".pairs", ".box")
        )

        assert pairs["y"] + pairs["height"] <= box["y"]
        assert max(rect["x"] + rect["width"] for rect in (pairs, box)) <= 390

        show(browser, pages[name], "desktop", is_open=False)
        pairs, box = (
            browser.find_element("css selector", f"#confusion {selector}").rect
            for selector in (".pairs", ".box")
        )
        assert box["x"] + box["width"] <= pairs["x"]


def test_what_means_harm_is_shown_as_text(browser: Any, pages: dict[str, Path]) -> None:
    show(browser, pages["nasty"], "phone")
    labels = [
        heading.text for heading in browser.find_elements("css selector", "#classes tbody th")
    ]
    assert labels[0] == "<script>alert(1)</script>"
    assert labels[5] == "\\x1b[31mred\\x1b]0;title\\x07\\x9b2J"
    assert labels[6] == "\\u202egnp.exe\\u202c \\u2066x\\u2069 \u05e9\u05dc\u05d5\u05dd"
    texts = [
        content.text for content in browser.find_elements("css selector", "#examples .content")
    ]
    assert texts[0] == "<script>alert(1)</script>"
    assert texts[7] == "W" * 300
    assert browser.find_element("css selector", ".reason").text.startswith(
        "<script>alert(1)</script> WWW"
    )


def test_pictures_are_named_and_tables_have_heads(browser: Any, pages: dict[str, Path]) -> None:
    show(browser, pages["plain"], "desktop")
    pictures = browser.find_elements("css selector", "svg[role=img]")
    assert [
        picture.accessible_name.split(" By epoch")[0].split(" 2 bins")[0].split(" 4 lines")[0]
        for picture in pictures
    ] == [
        *("Loss (nats) by epoch", "Accuracy (%) by epoch"),
        *("ROC curves", "Precision-recall curves", "Calibration curve"),
    ]
    assert (
        browser.find_elements("css selector", "svg:not([role=img]):not([aria-hidden=true])") == []
    )
    assert browser.find_elements("css selector", "table:not(:has(thead th[scope=col]))") == []
