"""Requests to the API: sent again where that is safe, refusals as errors, lists page by page."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

_TOO_MANY = 429
#: A request that got no answer, or came too often, is sent again so many times.
N_ATTEMPTS = 4
PAGE = 500


class ApiError(RuntimeError):
    """The site refused a request.

    Attributes
    ----------
    status : int
        HTTP status: 401 no valid token, 403 not allowed, 404 nothing there (or nothing that you may
        see), 409 not in this state, 422 values that do not fit, 429 too often.
    errors : list of dict
        What does not fit, one by one: ``detail`` with ``pointer`` or ``parameter``.
    """

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        self.status = status
        self.errors = errors
        lines = [detail]
        for item in errors:
            where = item.get("pointer") or item.get("parameter")
            lines.append(f"{where}: {item['detail']}" if where else item["detail"])
        super().__init__("\n".join(lines))


class Connection:
    """The connection to a site. Close it, or use it in a ``with`` statement."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, again where it came too often, and return the body of the answer.

        What may be sent twice (reading, and requests with a key) is sent again also where the
        connection broke.

        Raises
        ------
        ApiError
            If the site refuses it.
        """
        httpx = library("httpx")
        may_repeat = method == "GET" or "Idempotency-Key" in options.get("headers", {})
        for attempt in range(N_ATTEMPTS):
            is_last = attempt + 1 == N_ATTEMPTS
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError:
                if is_last or not may_repeat:
                    raise
                time.sleep(0.5 * 2**attempt)
                continue
            if response.status_code == _TOO_MANY and not is_last:
                time.sleep(float(response.headers.get("Retry-After", 1)))
                continue
            break
        _check(response)
        return response.json() if response.content else None

    def download(self, path: str, to: Path | str, *, media_type: str) -> Path:
        """Write the answer to a request into a file while it comes, and return its path.

        What is there already is replaced when the whole has come.
        """
        target = Path(to)
        part = target.with_name(f"{target.name}.part")
        headers = {"Accept": f"{media_type}, application/problem+json"}
        try:
            with self._http.stream("GET", path, headers=headers) as response:
                if not response.is_success:
                    response.read()
                    _check(response)
                with part.open("wb") as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
            return part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _create(self, path: str, body: Mapping[str, Any]) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return self.request("POST", path, json=dict(body), headers=key)

    def _pages(self, path: str, filters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            window = {"limit": PAGE, "offset": offset}
            page = self.request("GET", path, params={**filters, **window})
            yield from page["results"]
            offset += len(page["results"])
            if page["next"] is None:
                return

    def _follow(
        self,
        ask: Callable[[], Any],
        describe: Callable[[Any], tuple[str, float]],
        *,
        progress: bool,
        poll_s: float,
        timeout_s: float | None,
    ) -> Any:
        """Ask again and again until something is over."""
        from rich.progress import Progress

        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with Progress(disable=not progress, transient=True) as shown:
            bar = shown.add_task("", total=1.0)
            while True:
                now = ask()
                text, share = describe(now)
                shown.update(bar, description=text, completed=share)
                if now.is_over:
                    return now
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{text} is not over after {timeout_s:g} s.")
                time.sleep(poll_s)


def _check(response: httpx.Response) -> None:
    """Raise an error where a request was refused."""
    if response.is_success:
        return
    try:
        body = response.json()
    except ValueError:
        body = {}
    detail = body.get("detail") or f"The site answered {response.status_code}."
    raise ApiError(response.status_code, detail, body.get("errors", []))


def library(name: str) -> Any:
    """Return a package that not everybody has who uses the client."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(f"This needs the package {name}: pip install {name}") from None
