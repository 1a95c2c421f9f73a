"""A text from a URL: http and https alone, one deadline for the whole, a bounded size, nothing cut short."""

from __future__ import annotations

import re
import threading
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from queue import Empty, SimpleQueue
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from kdzoo.errors import KdzooError, shortened

_CHUNK = 65_536


def fetch(url: str, *, seconds: float, most: int) -> bytes:
    """The body that ``url`` answers with.

    Args:
        url: begins with http:// or https://.
        seconds: for everything together: name, connection, redirects, body.
        most: largest body in bytes.

    Raises:
        KdzooError: another kind of URL, no answer, a broken one, one that is too large or too slow; names the URL.
    """
    shown = shortened(url, quoted=False)
    if not re.fullmatch(r"(?i:https?)://[!-~]+", url):
        raise KdzooError(
            f"{shown}: expected a URL of http or https without spaces, other letters percent-encoded"
        )
    answer: SimpleQueue[bytes | Exception] = SimpleQueue()
    late = threading.Event()

    def transfer() -> None:
        try:
            answer.put(_body(url, seconds, most, late.is_set))
        except Exception as error:  # handed to the caller below
            if isinstance(error, HTTPError):
                error.close()  # it is the answer too
            answer.put(error)

    # A socket's time limit begins anew with each byte, so the clock runs here; a thread that is late ends by itself.
    threading.Thread(target=transfer, name="kdzoo-fetch", daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except Empty:
        late.set()
        raise KdzooError(f"{shown}: not complete after {seconds:g} seconds") from None
    if isinstance(found, bytes):
        return found
    if isinstance(found, OSError | HTTPException | ValueError | KdzooError):
        reason = getattr(found, "reason", None) or found
        raise KdzooError(f"{shown}: cannot be read: {shortened(reason, quoted=False, most=200)}") from None
    raise found


def _body(url: str, seconds: float, most: int, late: Callable[[], bool]) -> bytes:
    opener = urllib.request.build_opener(_Redirects)
    with opener.open(url, timeout=seconds) as answer:
        announced = answer.headers.get("Content-Length", "")
        length = int(announced) if announced.isdecimal() and len(announced) < 20 else None
        parts: list[bytes] = []
        received = 0
        while not late() and received <= most and (part := answer.read1(_CHUNK)):
            parts.append(part)
            received += len(part)
    if max(received, length or 0) > most:
        raise KdzooError(f"larger than {most} bytes")
    if length is not None and received < length:
        raise KdzooError(f"it ended after {received} of {length} bytes")
    return b"".join(parts)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Any:
        """The request that follows, or an error."""
        allowed = ("https",) if req.type == "https" else ("http", "https")
        scheme = urlsplit(newurl).scheme
        if scheme not in allowed:
            fp.close()
            raise KdzooError(f"it redirects to {shortened(newurl)}, and {' or '.join(allowed)} is accepted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
