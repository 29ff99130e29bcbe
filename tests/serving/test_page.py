"""The page at /, in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import chromium
from tests.support.served import TIMEOUT, Server, serving

CONFIG = """
model_config_list {{
  config {{ name: "half" base_path: "half" }}
  config {{ name: "text" base_path: "{text}" }}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, saved_model: Path) -> Iterator[Server]:
    """Two models, the first of which has no version."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "text").mkdir()
    (folder / "text" / "1").symlink_to(saved_model / "saved_model")
    (folder / "models.config").write_text(CONFIG.format(text=folder / "text"))
    with serving(folder, f"--model_config_file={folder / 'models.config'}") as started:
        started.wait("/v1/models/text", "AVAILABLE")
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


def test_the_page_lets_nothing_in(server: Server) -> None:
    got = server.get("/")
    policy = got.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in got.text.replace("HTTP", "")
    assert got.headers["content-type"] == "text/html; charset=utf-8"
