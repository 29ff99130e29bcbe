"""The page at /, in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import chromium
from tests.support.explained import Kind, explained_model
from tests.support.served import TIMEOUT, Server, serving

KINDS: list[Kind] = ["words", "tokens", "characters"]
CONFIG = """
model_config_list {{
  config {{ name: "half" base_path: "half" }}
  config {{ name: "text" base_path: "{text}" }}
  config {{ name: "of_words" base_path: "of_words" }}
  config {{ name: "of_tokens" base_path: "of_tokens" }}
  config {{ name: "of_characters" base_path: "of_characters" }}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, saved_model: Path) -> Iterator[Server]:
    """Models of which the first has no version, and the last three explain their answers."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "text").mkdir()
    (folder / "text" / "1").symlink_to(saved_model / "saved_model")
    for kind in KINDS:
        (folder / f"of_{kind}").mkdir()
        explained_model(folder / "made" / kind, kind).rename(folder / f"of_{kind}" / "1")
    (folder / "models.config").write_text(CONFIG.format(text=folder / "text"))
    with serving(folder, f"--model_config_file={folder / 'models.config'}") as started:
        for name in ("text", *(f"of_{kind}" for kind in KINDS)):
            started.wait(f"/v1/models/{name}", "AVAILABLE")
        yield started


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


def settled(browser: Any, text: str) -> Any:
    """The answer's element, once it has the text."""
    answer = browser.find_element("id", "answer")
    WebDriverWait(browser, TIMEOUT).until(lambda _: text in answer.text)
    return answer


def test_the_page_by_keyboard(server: Server, browser: Any) -> None:
    """A request to another host would be refused by the policy and appear in the log."""
    browser.get(server.url)
    WebDriverWait(browser, TIMEOUT).until(
        lambda driver: driver.find_element("tag name", "body").get_attribute("data-ready")
    )
    settled(browser, "Servable not found for request: Latest(half)")
    choice = Select(browser.find_element("id", "model"))
    choice.select_by_visible_text("text")
    settled(browser, "")
    textarea = browser.find_element("id", "text")
    textarea.send_keys('The <b>cat</b> & "dog"')
    textarea.send_keys(Keys.CONTROL, Keys.ENTER)
    answered = settled(browser, "Answered by version 1.")
    shown = {
        row.find_element("tag name", "th").text: row.find_element("class name", "number").text
        for row in answered.find_elements("tag name", "tr")
    }
    expected = dict(
        server.post(
            "/v1/models/text:classify", {"examples": [{"text": 'The <b>cat</b> & "dog"'}]}
        ).json()["results"][0]
    )

    assert shown == {label: f"{100 * expected[label]:.1f} %" for label in expected}
    assert list(shown) == sorted(expected, key=lambda label: -expected[label])
    assert answered.find_element("tag name", "caption").text == next(iter(shown))
    assert len(answered.find_elements("tag name", "progress")) == 3
    assert browser.execute_script("return document.activeElement.id") == "text"

    textarea.send_keys(Keys.TAB, Keys.ENTER)  # the button is next
    settled(browser, "Answered by version 1.")
    assert [entry for entry in browser.get_log("browser") if "404" not in entry["message"]] == []


def explained(browser: Any, server: Server, kind: str, text: str) -> Any:
    """The section that explains an answer."""
    browser.get(server.url)
    WebDriverWait(browser, TIMEOUT).until(
        lambda driver: driver.find_element("tag name", "body").get_attribute("data-ready")
    )
    Select(browser.find_element("id", "model")).select_by_visible_text(f"of_{kind}")
    name = "Tokens" if kind == "tokens" else "Text"
    WebDriverWait(browser, TIMEOUT).until(
        lambda driver: driver.find_element("id", "what").text == name and not shown_error(driver)
    )
    browser.find_element("id", "text").send_keys(text, Keys.CONTROL + Keys.ENTER)
    section = browser.find_element("id", "why")
    WebDriverWait(browser, TIMEOUT).until(lambda _: "Log-odds" in section.text)
    return section


def shown_error(browser: Any) -> str:
    return browser.find_element("id", "answer").text


def tables(section: Any) -> list[list[list[str]]]:
    return [
        [[cell.text for cell in row.find_elements("css selector", "th, td")] for row in rows]
        for table in section.find_elements("tag name", "table")
        for rows in [table.find_elements("tag name", "tr")]
    ]


def colored(section: Any) -> list[tuple[str, str | None, str | None]]:
    """(the text, for or against, what it adds) of each word that has a colour."""
    return [
        (span.text, span.get_attribute("class"), span.get_attribute("title"))
        for span in section.find_elements("css selector", "#words span")
    ]


def test_the_page_says_why(server: Server, browser: Any) -> None:
    """The numbers of `tests.support.explained`, with the pair halved between its words."""
    text = "<b>The</b> LOUD the meow"
    # The squares of N: "the" has 2, and "loud", "meow" and "the meow" have 1 each.
    section = explained(browser, server, "words", text)
    assert section.find_element("id", "words").text == text
    assert section.find_element("tag name", "h2").text == "Why cat"
    factor = 0.5 / 5**0.5
    meow, the, pair = 8 * factor, -(2**0.5) * factor, 2 * factor
    speaking, against, together = tables(section)
    assert speaking == [["meow", f"+{meow:.2f}"], ["the meow", f"+{pair:.2f}"]]
    assert against == [["the (2 times)", f"\u2212{-the:.2f}"]]
    total = meow + the + pair
    assert together == [
        ["All n-grams", f"+{total:.2f}"],
        ["Before any n-gram", "+0.20"],
        ["Recurrent part", "+0.30"],
        ["Log-odds of cat", f"+{total + 0.5:.2f}"],
    ]
    # The second "the" adds a thirtieth of what "meow" does, too little for a colour.
    assert colored(section) == [
        ("The", "against", f"\u2212{-the / 2:.2f}"),
        ("meow", "for", f"+{meow + pair / 2:.2f}"),
    ]
    assert "the recurrent part alone 54.1 %" in section.text

    # Another model has no explanation, and the old one goes.
    Select(browser.find_element("id", "model")).select_by_visible_text("text")
    WebDriverWait(browser, TIMEOUT).until(lambda _: not section.is_displayed())
    assert [entry for entry in browser.get_log("browser") if "404" not in entry["message"]] == []


def test_the_page_colours_tokens_and_characters(server: Server, browser: Any) -> None:
    section = explained(browser, server, "tokens", '["the", "meow", "loud", "<i>"]')
    assert section.find_element("id", "words").text == "the meow loud <i>"
    assert [word for word, *_ in colored(section)] == ["meow"]

    # Quarters: a 1, and half of "ab"; b -0.5, and half of "ab".
    section = explained(browser, server, "characters", "ab")
    assert colored(section) == [("a", "for", "+1.25"), ("b", "against", "\u22120.25")]


def test_the_page_lets_nothing_in(server: Server) -> None:
    got = server.get("/")
    policy = got.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in got.text.replace("HTTP", "")
    assert got.headers["content-type"] == "text/html; charset=utf-8"
