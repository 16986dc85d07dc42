"""A model behind an HTTP service that returns labels: batched, repeated after errors, rate-limited, remembered."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from baselines.foreign.model import ForeignModel
from baselines.foreign.outputs import Predictor

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may pass
_LONGEST_WAIT = 60.0  # seconds
_KIND = {"Content-Type": "application/json", "Accept": "application/json"}


class EndpointModel(ForeignModel):
    """A classifier behind a URL. It is not trained, and only its labels are seen.

    The request is a POST of ``{"inputs": [[...], ...]}``, the answer ``{"labels": [...]}``, a label for each input: a
    class name or a whole number.

    Parameters
    ----------
    url : str
        http or https.
    classes : list of names, optional
        Labels of the service that are label 0, label 1 and so on. Default: the names of the data set's classes.
    rows_per_request : int
        Maximum number of inputs of a request.
    timeout : float
        Seconds to wait for an answer.
    retries : int
        How often a request is repeated after a lost connection or a status that may pass (408, 425, 429, 500, 502, 503,
        504), after 0.5, 1, 2, … seconds or what ``Retry-After`` says, at most 60.
    rate_limit : float, optional
        Maximum number of requests per second.
    cache_size : int
        Answers that are remembered, so that an input is not sent again; 0 for none. 100,000 take about 10 MB.
    token_variable : str, optional
        Name of an environment variable whose value is sent as ``Authorization: Bearer …``, and stored nowhere.
    class_names, n_votes, voting, warm_start, random_state, verbose
        See :class:`baselines.file.FileModel`.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
        The vote's array ``identity`` is the URL.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ForeignModel._parameter_constraints,
        "rows_per_request": [Interval(Integral, 1, None, closed="left")],
        "timeout": [Interval(Real, 0, None, closed="neither")],
        "retries": [Interval(Integral, 0, None, closed="left")],
        "rate_limit": [Interval(Real, 0, None, closed="neither"), None],
        "cache_size": [Interval(Integral, 0, None, closed="left")],
        "token_variable": [str, None],
    }

    def __init__(
        self,
        url: str | None = None,
        *,
        classes: Any = None,
        rows_per_request: int = 256,
        timeout: float = 30.0,
        retries: int = 5,
        rate_limit: float | None = None,
        cache_size: int = 1_000_000,
        token_variable: str | None = None,
        class_names: Any = ("0", "1"),
        n_votes: int = 1,
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.url = url
        self.classes = classes
        self.rows_per_request = rows_per_request
        self.timeout = timeout
        self.retries = retries
        self.rate_limit = rate_limit
        self.cache_size = cache_size
        self.token_variable = token_variable
        self.class_names = class_names
        self.n_votes = n_votes
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def check_params(self) -> Any:
        """See :meth:`scd.ensemble.VoteEnsemble.check_params`; the service is not called."""
        super().check_params()
        parts = urllib.parse.urlsplit(str(self.url or ""))
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(
                "The 'url' parameter of EndpointModel must be an address such as http://localhost:8000/predict. "
                f"Got {self.url!r} instead."
            )
        if self.token_variable is not None and not os.environ.get(self.token_variable):
            raise ValueError(
                "The 'token_variable' parameter of EndpointModel must be an environment variable with a token. "
                f"Got {self.token_variable!r} instead, which is empty or not set."
            )
        return self

    def _identity(self) -> str:
        return str(self.url)

    def _predictor(self) -> Predictor:
        token = os.environ.get(self.token_variable) if self.token_variable else None
        service = Service(
            str(self.url), self.rows_per_request, self.timeout, self.retries, self.rate_limit, self.cache_size, token
        )
        return Predictor(service)


class Service:
    """Labels of inputs from a URL; parameters as of :class:`EndpointModel`.

    Attributes
    ----------
    requests : int
        Requests that were sent, repeated ones included.
    """

    def __init__(
        self,
        url: str,
        rows_per_request: int,
        timeout: float,
        retries: int,
        rate_limit: float | None,
        cache_size: int,
        token: str | None,
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
