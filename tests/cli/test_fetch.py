"""A registry from a URL: what servers do that mean no good, or work badly."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from kdzoo.errors import KdzooError
from kdzoo.registry.fetch import fetch

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """serve(b"HTTP/1.1 200 OK...", ...) -> the URL of a server that gives these answers in order, then hangs up.

    ``slowly`` sends the last answer byte by byte until the test is over.
    """
    over = threading.Event()
    listeners: list[socket.socket] = []

    def start(*answers: bytes, slowly: bool = False) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            for answer in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    try:
                        if not slowly:
                            connection.sendall(answer)
                        for byte in answer if slowly else b"":
                            connection.sendall(bytes([byte]))
                            if over.wait(0.05):
                                return
                    except OSError:
                        pass

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/registry.yaml"

    yield start
    over.set()
    for one in listeners:
        one.close()


def refused(url: str, says: str, seconds: float = 20.0) -> None:
    with pytest.raises(KdzooError) as caught:
        fetch(url, seconds=seconds, most=1000)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert " ".join(url.split()) in str(caught.value)


def test_a_whole_answer_is_taken(serve):
    assert fetch(serve(OK + b"Content-Length: 5\r\n\r\nab: 1"), seconds=20, most=1000) == b"ab: 1"
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\n: 1\r\n0\r\n\r\n"
    assert fetch(serve(chunked), seconds=20, most=1000) == b"ab: 1"


def test_a_redirect_to_http_is_followed(serve):
    there = serve(OK + b"Content-Length: 2\r\n\r\nok")
    here = serve(b"HTTP/1.1 302 Found\r\nLocation: " + there.encode() + b"\r\nContent-Length: 0\r\n\r\n")
    assert fetch(here, seconds=20, most=1000) == b"ok"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (OK + b"Content-Length: 50\r\n\r\nab: 1", "it ended after 5 of 50 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n20\r\nab", "cannot be read"),
        (OK + b"Content-Length: 99999999\r\n\r\n", "larger than 1000 bytes"),
        (OK + b"\r\n" + b"a" * 2000, "larger than 1000 bytes"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "cannot be read"),
        (b"", "cannot be read"),
        (b"HTTP/1.1 404 Not\x1b[2J Found\r\nContent-Length: 0\r\n\r\n", "cannot be read"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\n\r\n", "redirects to 'ftp://127.0.0.1/x'"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
            "'file:///etc/passwd' is not allowed",
        ),
    ],
)
def test_a_broken_answer_is_one_line(serve, answer, says):
    refused(serve(answer), says)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nHost: x",
        "http://",
        "http://127.0.0.1/ä",
        "http://[::1",
        "http://127.0.0.1:port/",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_url_of_the_web_is_one_line(url):
    refused(url, "http")


@pytest.mark.parametrize("part", [b"X-Slow: ", b"\r\n"], ids=["headers", "body"])
def test_one_deadline_holds_for_the_whole_however_it_drips(serve, part):
    refused(serve(OK + part + b"a" * 900, slowly=True), "not complete after 0.5 seconds", seconds=0.5)
