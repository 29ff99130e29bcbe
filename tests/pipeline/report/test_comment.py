"""A pull request's comment, on a loopback server with the needed endpoints of GitHub's REST API."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.report.comment import comment
from pipeline.report.markdown import WATERMARK
from pipeline.store.folder import Store
from seqline.errors import UserError
from tests.support.report_pages import NASTY
from tests.support.report_runs import stages_of
from tests.support.reports import write_run

TARGET = "octocat/hello.world#12"
COMMENTS = "/api/v3/repos/octocat/hello.world/issues/12/comments"
ONE = re.compile(r"/api/v3/repos/octocat/hello\.world/issues/comments/(\d+)")


class GitHub(ThreadingHTTPServer):
    """Lists, creates and updates the comments of one issue.

    Attributes:
        fails: the status that every answer has instead, if any.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.fails: int | None = None
        self.answers: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/v3"


class Handler(BaseHTTPRequestHandler):
    server: GitHub

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        address = urlsplit(self.path)
        self.server.asked.append((self.command, self.path))
        if self.headers["Authorization"] != "Bearer secret":
            return self._answer(401, {"message": "Bad credentials"})
        if self.server.fails or self.server.answers is not None:
            return self._answer(self.server.fails or 200, {"message": "told why"})
        comments, one = self.server.comments, ONE.fullmatch(address.path)
        if self.command == "GET" and address.path == COMMENTS:
            query = parse_qs(address.query)
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return self._answer(200, comments[size * (page - 1) : size * page])

        if self.command == "POST" and address.path == COMMENTS:
            comments.append(
                {
                    "id": 1000 + len(comments),
                    "body": sent["body"],
                    "html_url": f"https://github/c/{1000 + len(comments)}",
                }
            )
            return self._answer(201, comments[-1])

        if self.command == "PATCH" and one:
            updated = next(posted for posted in comments if posted["id"] == int(one[1]))
            updated["body"] = sent["body"]
            return self._answer(200, updated)

        return self._answer(404, {"message": "Not Found"})

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode() if self.server.answers is None else self.server.answers
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 301:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with GitHub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("GITHUB_API_URL", f"{server.url}/")
        monkeypatch.setenv("GITHUB_TOKEN", "secret")
        yield server
        server.shutdown()
        thread.join()


def others(num: int) -> list[dict[str, Any]]:
    """Comments of people: one quotes the watermark, one has no text."""
    bodies = [f"> {WATERMARK}\nlooks good", None, *(f"number {number}" for number in range(num))]
    return [
        {"id": number, "body": body, "html_url": ""} for number, body in enumerate(bodies[:num])
    ]


@pytest.mark.parametrize("before", [0, 3, 99, 100, 250])
def test_one_comment_is_made_and_then_updated_in_place(github: GitHub, before: int) -> None:
    github.comments = others(before)
    bodies = [f"{WATERMARK}\nfirst", f"{WATERMARK}\nsecond \U0001f600"]
    url, is_new = comment(TARGET, bodies[0])
    assert (url, is_new) == (f"https://github/c/{1000 + before}", True)
    github.comments += others(3)
    assert comment(TARGET, bodies[1]) == (url, False)
    assert [posted["body"] for posted in github.comments if posted["id"] >= 1000] == [bodies[1]]
    assert github.comments[:before] == others(before)


def test_by_the_command(github: GitHub, tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_run(store, "one", *stages_of(NASTY, NASTY))
    for _ in range(2):
        done = CliRunner().invoke(app, ["report", "--root", str(tmp_path), "--comment", TARGET])
        assert done.exit_code == 0
    assert done.output.splitlines()[1] == "updated: https://github/c/1000"
    assert [posted["body"] for posted in github.comments] == [
        (tmp_path / "runs" / "one" / "report.md").read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (403, "the token may not do it; a workflow needs `permissions: pull-requests: write`"),
        (404, "there is no such pull request, or the token may not see it"),
        (422, "GitHub did not take the comment"),
        (500, "try again later"),
        (301, "is GITHUB_API_URL right?"),
    ],
)
def test_an_answer_that_was_not_asked_for_is_one_line(
    github: GitHub, status: int, advice: str
) -> None:
    github.fails = status
    with pytest.raises(UserError) as raised:
        comment(TARGET, WATERMARK)
    where = f"GET {github.url}{COMMENTS.removeprefix('/api/v3')}"
    assert (
        str(raised.value)
        == f"{TARGET} has no comment: {where} answered {status} 'told why'; {advice}."
    )
    assert len(github.asked) == 1  # no redirect is followed


def test_a_wrong_token_is_not_told(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "wrong-secret")
    with pytest.raises(
        UserError, match="answered 401 'Bad credentials'; is GITHUB_TOKEN a token"
    ) as raised:
        comment(TARGET, WATERMARK)
    assert "wrong-secret" not in str(raised.value)


@pytest.mark.parametrize("answer", [b"<html>", b'{"not": "a list"}', b""])
def test_a_server_that_is_no_github(github: GitHub, answer: bytes) -> None:
    github.answers = answer
    with pytest.raises(UserError, match=r"is not GitHub|answered 200"):
        comment(TARGET, WATERMARK)


def test_nobody_there(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:1")
    with pytest.raises(
        UserError,
        match=(
            r"octocat/hello\.world#12 has no comment: GET http://127\.0\.0\.1:1/.* got no answer"
            r" \(ConnectionError"
        ),
    ):
        comment(TARGET, WATERMARK)


@pytest.mark.parametrize(
    "target",
    [
        "octocat/hello",
        "hello#1",
        "octocat/hello#",
        "octocat/hello#1x",
        "../..#1",
        "a/b/c#1",
        "a/b?x#1",
        "a/b#1\n",
    ],
)
def test_a_target_that_is_none(github: GitHub, target: str) -> None:
    with pytest.raises(UserError, match=r"is not OWNER/REPO#NUMBER"):
        comment(target, WATERMARK)
    assert github.asked == []


def test_no_token(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(UserError, match="--comment needs GITHUB_TOKEN"):
        comment(TARGET, WATERMARK)
