"""A model behind an HTTP service that returns labels: batched, repeated after errors, rate-limited, remembered."""

from __future__ import annotations

import os
import urllib.parse
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from baselines.foreign.model import ForeignModel
from baselines.foreign.outputs import Predictor
from baselines.foreign.service import Service


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
        Labels that are remembered, so that an input is not sent again; 0 for none. 100,000 take about 10 MB.
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
