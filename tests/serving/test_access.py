"""Allowed hosts, the bearer token, TLS, the time-out of answers, the access log."""

import contextlib
import json
import logging
import socket
import ssl
from pathlib import Path

import pytest

from serving import access, flags, main
from serving.access import Access
from tests.support.certificate import certificate
from tests.support.wire import PATIENCE, Wire, read_all, statuses, wire

TOKEN = "a-token-of-our-own_123"
CLOSE = b"Connection: close\r\n\r\n"


def asked(server: Wire, host: str, *headers: str, path: str = "/", version: str = "1.1") -> bytes:
    lines = [f"GET {path} HTTP/{version}", *([f"Host: {host}"] if host else []), *headers]
    return server.exchange("".join(f"{line}\r\n" for line in lines).encode() + CLOSE)


def test_hosts_of_a_server_for_this_machine() -> None:
    with wire() as server:
        for host in ("localhost", "LocalHost:8501", "127.0.0.1", "127.0.0.1:80", "[::1]:8501"):
            assert statuses(asked(server, host)) == [200], host
        for host in ("evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "0.0.0.0", "[::2]"):
            got = asked(server, host)
            assert statuses(got) == [421], host
            message = f"The host {host} is not served here; see --allowed_hosts."
            assert json.loads(got.partition(b"\r\n\r\n")[2]) == {"error": message}

        # The target's host is the one that counts; the oldest clients name none.
        assert statuses(asked(server, "localhost", path="http://evil.com/")) == [421]
        assert statuses(asked(server, "", version="1.0")) == [200]
        assert b'"error": "The host ' + b"x" * 100 + b" is" in asked(server, "x" * 5000)


@pytest.mark.parametrize(
    ("arguments", "served", "refused"),
    [
        (("--host=0.0.0.0",), "any.example", None),
        (("--host=127.0.0.2",), "127.0.0.2:8501", "10.0.0.1"),
        (
            ("--host=0.0.0.0", "--allowed_hosts=a.example, B.example:8501"),
            "A.example:1",
            "c.example",
        ),
        (("--allowed_hosts=b.example:8501",), "b.example:8501", "b.example:80"),
        (("--allowed_hosts=a.example",), "a.example.:80", "localhost"),
        (("--allowed_hosts=*",), "any.example", None),
        (("--allowed_hosts=[2001:db8::1]",), "[2001:DB8::1]:80", "[2001:db8::2]"),
    ],
)
def test_hosts_by_flag(arguments: tuple[str, ...], served: str, refused: str | None) -> None:
    allowed = access.read(flags.parse(arguments))
    assert allowed.is_served(served.encode())
    assert refused is None or not allowed.is_served(refused.encode())


def test_a_token_is_wanted_everywhere_but_for_health(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with wire(f"--token_file={file}") as server:
        for right in (f"Authorization: Bearer {TOKEN}", f"authorization: bearer  {TOKEN} "):
            assert statuses(asked(server, "localhost", right)) == [200]
        for wrong in (
            "A: b",
            "Authorization: Bearer",
            f"Authorization: {TOKEN}",
            f"Authorization: Basic {TOKEN}",
            f"Authorization: Bearer {TOKEN}x",
            f"Authorization: Bearer {TOKEN[:-1]}",
            "Authorization: Bearer ÿ",
        ):
            got = asked(server, "localhost", wrong)
            assert statuses(got) == [401], wrong
            assert b'\r\nwww-authenticate: Bearer realm="seqline"\r\n' in got
        assert [each[1] for each in server.asked] == ["/", "/"]

        assert statuses(asked(server, "localhost", path="/v1/models")) == [401]
        assert statuses(asked(server, "localhost", path="/healthz")) == [200]
        assert statuses(asked(server, "evil.com", f"Authorization: Bearer {TOKEN}")) == [421]


def test_every_answer_has_the_headers_against_browsers() -> None:
    with wire() as server:
        for host in ("localhost", "evil.com", "bad host"):
            head = asked(server, host).partition(b"\r\n\r\n")[0]
            assert b"\r\nx-content-type-options: nosniff\r\n" in head
            assert b"\r\ncache-control: no-store\r\n" in head
            assert b"\r\ncross-origin-resource-policy: same-origin\r\n" in head
            assert b"\r\nserver:" not in head


def by_tls(server: Wire, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection(server.address, PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + CLOSE)
        return read_all(connection)


def test_tls_and_its_handshakes_count_as_connections(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    client = ssl.create_default_context(cafile=str(certificate_file))
    config = tmp_path / "ssl.config"
    config.write_text(
        f"server_key: {json.dumps(key_file.read_text())}"
        f" server_cert: {json.dumps(certificate_file.read_text())}"
    )

    for arguments in (
        (f"--ssl_certificate_file={certificate_file}", f"--ssl_key_file={key_file}"),
        (f"--ssl_config_file={config}",),
    ):
        limits = ("--max_connections=20", "--header_timeout_seconds=1")
        with wire(*arguments, *limits) as server, contextlib.ExitStack() as stack:
            assert statuses(by_tls(server, client)) == [200]
            silent = [stack.enter_context(server.connect()) for _ in range(100)]
            assert statuses(by_tls(server, client)) == [200]
            assert len(server.connections.open) <= 21
            assert all(read_all(connection) == b"" for connection in silent)
            assert statuses(server.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == []

            old = ssl.create_default_context(cafile=str(certificate_file))
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            assert statuses(by_tls(server, old)) == [200]
        assert not server.connections.open


def test_a_client_without_the_certificate_that_is_wanted_is_not_answered(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    pem = json.dumps(certificate_file.read_text())
    config = tmp_path / "ssl.config"
    config.write_text(
        f"server_key: {json.dumps(key_file.read_text())} server_cert: {pem} custom_ca: {pem}"
        " client_verify: true"
    )

    with wire(f"--ssl_config_file={config}") as server:
        client = ssl.create_default_context(cafile=str(certificate_file))
        with contextlib.suppress(ssl.SSLError):  # By TLS 1.3 the client may see the end only.
            assert by_tls(server, client) == b""
        assert not server.asked
        client.load_cert_chain(certificate_file, key_file)
        assert statuses(by_tls(server, client)) == [200]


def test_wrong_files_are_one_line_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def error(*arguments: str) -> str:
        assert main.main(arguments) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("error: ")
        assert printed.count("\n") == 1
        return printed

    certificate_file, _ = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, other_key = certificate(tmp_path / "other")
    text, large = tmp_path / "text", tmp_path / "large"
    text.write_text("no certificate")
    large.write_bytes(b"x" * (2 << 20))
    given = f"--ssl_certificate_file={certificate_file}"

    assert "go together; give both." in error(given)
    assert "No such file or directory" in error(given, "--ssl_key_file=gone")
    assert "Is a directory" in error(given, f"--ssl_key_file={tmp_path}")
    assert "KEY_VALUES_MISMATCH" in error(given, f"--ssl_key_file={other_key}")
    assert "Give a certificate and its own key" in error(given, f"--ssl_key_file={text}")
    assert "more than 1048576 bytes" in error(given, f"--ssl_key_file={large}")
    assert "leave out --ssl_certificate_file" in error(given, f"--ssl_config_file={text}")
    assert " is not an SSLConfig: 1:1 : " in error(f"--ssl_config_file={text}")

    assert "No such file or directory" in error("--token_file=gone")
    short = tmp_path / "short"
    short.write_text("short\n")
    assert "not a token of 16 or more letters" in error(f"--token_file={short}")
    short.write_text("a token with spaces in it\n")
    assert "not a token of 16 or more letters" in error(f"--token_file={short}")
    assert "'a/b' is not a host" in error("--allowed_hosts=a.example,a/b")
    assert "cannot be written" in error(f"--port_file={tmp_path}/gone/port")


def test_another_server_can_ask_the_same_question() -> None:
    import hashlib

    allowed = Access(token_digest=hashlib.sha256(TOKEN.encode()).digest())
    assert allowed.is_allowed(f"Bearer {TOKEN}")
    assert not allowed.is_allowed(None)
    assert not allowed.is_allowed("Bearer ☃")
    assert Access().is_allowed(None)


def test_an_answer_that_takes_too_long_is_a_504() -> None:
    with wire("--rest_api_timeout_in_ms=200") as server:
        got = asked(server, "localhost", path="/stuck")
        assert statuses(got) == [504]
        assert b"No answer within 0.2 s, which is --rest_api_timeout_in_ms." in got
        assert statuses(asked(server, "localhost")) == [200]


def test_the_access_log_names_each_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "seqline.access"), wire("--access_log") as server:
        asked(server, "localhost", path="/a%0Ab")
        asked(server, "evil.com")

    entries = [
        record.__dict__["fields"] for record in caplog.records if "fields" in record.__dict__
    ]
    assert [{**entry, "seconds": 0} for entry in entries] == [
        {"peer": "127.0.0.1", "method": "GET", "path": "/a\nb", "status": 200, "seconds": 0},
        {"peer": "127.0.0.1", "method": "GET", "path": "/", "status": 421, "seconds": 0},
    ]
