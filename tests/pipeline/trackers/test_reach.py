"""A tracker's server is asked once before a run, and a client's error is told in a few words."""

import socket
import threading
from collections.abc import Iterator

import pytest
import requests

from pipeline.trackers import reach
from pipeline.trackers.following import first_line
from pipeline.trackers.reach import check_server
from seqline.errors import UserError


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def answer(server: socket.socket, content: bytes) -> threading.Thread:
    """Answers the next connection with these bytes."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(content)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_any_answer_will_do(listening: socket.socket) -> None:
    thread = answer(listening, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    check_server("mlflow", url_of(listening), "Start it.")
    thread.join()


def test_a_server_that_does_not_answer_is_found_at_once() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UserError) as raised:
            check_server("mlflow", f"{url}/somewhere", "Start it.")
    assert str(raised.value) == (
        f"--track mlflow: the server at {url} does not answer (Connection refused). Start it."
    )


@pytest.mark.parametrize("url", ["sqlite:///mlflow.db", "databricks", "file:///tmp/runs", ""])
def test_what_is_no_server_is_left_to_the_client(url: str) -> None:
    check_server("mlflow", url, "Start it.")


def test_a_server_that_says_nothing(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "ANSWER_SECONDS", 0.5)
    url = url_of(listening)
    with pytest.raises(UserError) as raised:
        check_server("mlflow", url, "Start it.")
    assert str(raised.value) == (
        f"--track mlflow: the server at {url} does not answer (timed out). Start it."
    )


def test_a_server_of_something_else(listening: socket.socket) -> None:
    thread = answer(listening, b"SSH-2.0-OpenSSH_9.6\r\n")
    with pytest.raises(UserError, match=r"does not answer \(not in HTTP\)\. Start it\."):
        check_server("mlflow", url_of(listening), "Start it.")
    thread.join()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999", "http://host:port", "http://[::1", "http://a b:80"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UserError, match=r"is no address: .*\. Start it\."):
        check_server("mlflow", url, "Start it.")


def test_an_error_of_a_client_is_told_by_its_cause(listening: socket.socket) -> None:
    url = url_of(listening)
    with pytest.raises(requests.ReadTimeout) as silent:
        requests.get(url, timeout=0.5)
    assert first_line(silent.value) == "its server does not answer (timed out)"

    listening.close()
    with pytest.raises(requests.ConnectionError) as gone:
        requests.get(url, timeout=5)
    assert first_line(gone.value) == "its server does not answer (Connection refused)"


def test_a_database_needs_all_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    from pipeline.trackers import mlflow_runs

    monkeypatch.setattr(mlflow_runs, "find_spec", lambda name: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    with pytest.raises(
        UserError, match=r"sqlite:///mlflow\.db is a database, which MLflow's client"
    ):
        mlflow_runs.MlflowTracker()
