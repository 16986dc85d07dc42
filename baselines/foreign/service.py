"""Labels from an HTTP service: batched, repeated after errors, rate-limited, remembered."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may pass
_LONGEST_WAIT = 60.0  # seconds
_KIND = {"Content-Type": "application/json", "Accept": "application/json"}


class Service:
    """Labels of inputs from a URL; parameters as of :class:`baselines.endpoint.EndpointModel`, and the token itself.

    Attributes
    ----------
    requests : int
        Requests that were sent, repeated ones included.
    """

    def __init__(
        self,
        url: str,
        rows_per_request: int = 256,
        timeout: float = 30.0,
        retries: int = 5,
        rate_limit: float | None = None,
        cache_size: int = 1_000_000,
        token: str | None = None,
    ) -> None:
        self.url, self.rows_per_request, self.timeout, self.retries = url, rows_per_request, timeout, retries
        self.pause = 0.0 if rate_limit is None else 1.0 / rate_limit
        self.cache_size = cache_size
        self.headers = _KIND if token is None else {**_KIND, "Authorization": f"Bearer {token}"}
        self.requests = 0
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._next_at = 0.0

    def __call__(self, X: NDArray[np.float32]) -> NDArray[np.str_]:
        """(n,) labels of (n, d) inputs; equal inputs are sent once."""
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in np.ascontiguousarray(X)]
        found = {key: self._known[key] for key in keys if key in self._known}
        new = list({key: row for row, key in enumerate(keys) if key not in found}.items())
        for start in range(0, len(new), self.rows_per_request):
            block = new[start : start + self.rows_per_request]
            labels = self._labels(X[[row for _, row in block]])
            for (key, _), label in zip(block, labels, strict=True):
                found[key] = self._known[key] = label
        while len(self._known) > self.cache_size:
            self._known.popitem(last=False)
        return np.array([found[key] for key in keys], dtype=np.str_)

    def _labels(self, X: NDArray[np.float32]) -> list[str]:
        """Labels of one request."""
        answer = self._answer(json.dumps({"inputs": X.tolist()}).encode())
        try:
            labels = json.loads(answer)["labels"]
        except (ValueError, KeyError, TypeError):
            raise self._error('must return {"labels": [...]}', answer[:80].decode(errors="replace")) from None
        if not isinstance(labels, list) or len(labels) != len(X):
            got = f"{len(labels)} labels" if isinstance(labels, list) else repr(labels)[:80]
            raise self._error(f"must return one label for each of {len(X)} inputs", got)
        bad = [each for each in labels if not isinstance(each, str | int | float) or each != each]
        if bad:
            raise self._error("must return names or whole numbers as labels", repr(bad[0])[:80])
        return [str(int(each)) if isinstance(each, float) and each.is_integer() else str(each) for each in labels]

    def _answer(self, body: bytes) -> bytes:
        """The body of an answer, after as many repetitions as are needed and allowed."""
        for attempt in range(self.retries + 1):
            self._wait_for_turn()
            wait = min(_LONGEST_WAIT, 0.5 * 2.0**attempt)
            try:
                self.requests += 1
                request = urllib.request.Request(self.url, body, self.headers, method="POST")
                with urllib.request.urlopen(request, timeout=self.timeout) as response:
                    answer: bytes = response.read()
                    return answer
            except urllib.error.HTTPError as error:
                problem = f"status {error.code} {error.reason}"
                if error.code not in _TRY_AGAIN:
                    raise self._error("refused the request", problem) from None
                wait = _retry_after(error.headers.get("Retry-After"), wait)
            except (OSError, http.client.HTTPException) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt < self.retries:
                time.sleep(wait)
        times = f"{self.retries + 1} times" if self.retries else "once"
        raise self._error(f"did not answer, tried {times}", problem)

    def _wait_for_turn(self) -> None:
        now = time.monotonic()
        if now < self._next_at:
            time.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + self.pause

    def _error(self, must: str, got: str) -> ConnectionError:
        return ConnectionError(f"The service at {self.url} {must}. Got {got} instead")


def _retry_after(header: str | None, wait: float) -> float:
    """Seconds of a ``Retry-After`` header; `wait` if there is none, or it is a date."""
    try:
        return min(_LONGEST_WAIT, max(0.0, float(header or "")))
    except ValueError:
        return wait
