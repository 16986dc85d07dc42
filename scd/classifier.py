"""The algorithm as a scikit-learn classifier."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from scd.devices import cores, one_torch_thread, parse_bytes, resolve_device
from scd.engine.early_stopping import EarlyStopping, held_out_rows
from scd.engine.parameters import Settings
from scd.engine.samples.basis import basis, coefficients, folded
from scd.engine.samples.copies import Copies, mirrored
from scd.engine.samples.feature_columns import as_columns
from scd.engine.samples.sample_weights import Weights, check_class_weight, drawn_rows, weights_of
from scd.engine.sign_networks import SignNetworks
from scd.engine.training import RECORD, Training, training_with
from scd.ensemble import Progress
from scd.progress import progress_bar
from scd.search import backend, default_backend
from scd.seeds import generator_for
from scd.storage import Vote

_SECONDS = 0.2  # between two figures of the progress bar


class _Samples(NamedTuple):
    """Samples (n, d), their labels 0/1 (n,) and, where they have any, weights (n,)."""

    X: NDArray[Any]
    y: NDArray[Any]
    weights: Weights | None

    def of(self, rows: NDArray[Any]) -> _Samples:
        return _Samples(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])


class SCDClassifier(SignNetworks):
    """Ensemble of sign-activation networks trained by stochastic coordinate descent.

    scd01 is ``loss="01", weights="real"``; scdce ``"ce", "real"``; scdcebnn ``"ce", "binary"`` with 10,000 iterations;
    scd01bnn ``"01", "binary"``.

    Parameters
    ----------
    loss : {"01", "ce"}
        Loss at the output node: 0-1 loss or mean binary cross-entropy.
    weights : {"real", "binary"}
        Real weights (with the 0-1 loss every changed node is rescaled to L2 norm 1), or -1/+1, where a step flips a
        sign.
    n_votes : int
        Networks trained from different random starts.
    n_iter : int
        Iterations; each is one step on the output node and one on `nodes_per_iter` random hidden nodes.
    hidden_nodes : int
    batch_fraction : float in (0, 1]
        Fraction of each class in an iteration's batch, drawn without replacement.
    batch_size : int or None
        Samples (or copies of them) in a batch instead, in proportion to the classes, at least one of each; all samples
        if there are fewer. From 256 of each class on, but not all, it is rounded down to runs of 16 neighbours in one
        random order of the training set. For large data: see docs/scale.md.
    features_per_step : int or "auto"
        Random coordinates tried on a hidden node; "auto" is the minimum of `auto_features` and the number of features.
    auto_features : int
    step_hidden, step_output : float
        Step sizes on real weights.
    threshold_window : int or None
        None tries every threshold (paper); an int r only those within r ranks of the current one (10 in the supplement,
        20 in the authors' program).
    init_thresholds : {"median", "searched"}
        Median projection (paper); "searched": then searched once, node after node in random order (program).
    init_weights : {"normal", "uniform"}
    balanced_fraction : float in [0, 1]
        Fraction of the iterations whose selection score is the balanced accuracy; then it is accuracy + balanced
        accuracy.
    rollback : bool
        Undo an iteration that does not improve the best score (the paper's step 4 read as rejection).
    nodes_per_iter : int
        Hidden nodes that take a step in an iteration; with 0 the hidden layer stays random and only the output node is
        trained.
    device : {"auto", "cpu", "cuda"} or a torch device
    backend : {"auto", "cpu", "cuda", "reference"}
        Search kernel; "auto" is that of the device ("reference" on CUDA without Triton). Affects rounding only.
    n_jobs : int or None
        Votes trained at the same time on CPU, each on one thread; -1 is one for each core that this process may use.
        Does not affect the result.
    memory_budget : int or str
        Bytes that training may take beyond the data, e.g. "2GiB". Samples as columns that take more are stored in a
        temporary file. Does not affect the result.
    voting : {"hard", "mean"}
        Majority of the votes' labels (paper), or mean of their probabilities. Affects predictions, not the votes.
    warm_start : bool
        Keep the votes of the last fit and train only those missing from `n_votes`.
    random_state : int, RandomState or None
    verbose : bool
        Show a progress bar.
    basis : {"pixels", "blocks", "dct", "pca"}
        Coordinates of training: the features themselves (paper), or a few orthonormal directions of them: block means,
        lowest frequencies, principal components. See :mod:`scd.engine.samples.basis`. The trained votes have weights of
        the features.
    basis_size : int or "auto"
        Blocks or frequencies along each axis, or components. "auto" is 8 for images, 32 for signals and 100 components,
        or fewer where there are no more.
    feature_shape : tuple of int or None
        Shape of a flat input for "blocks", "dct" and `mirrored`: (channels, height, width) of an image, (d,) of a
        signal. None is a signal.
    noise : sequence of float
        Training sees one copy of the samples for each entry, with Gaussian noise of this standard deviation added to
        each feature or coefficient. (0,) is the samples themselves (paper).
    adversarial : float
        Largest L2 distance, in units of the features, by which samples are moved against the votes during training; 0
        is none (paper). See :mod:`scd.engine.adversarial`. Votes are then trained in groups of 25 (0-24, 25-49 and so
        on), a group always whole, also where fewer of its votes are needed.
    mirrored : bool
        Training sees each copy of an image as it is or mirrored left to right, at random. With `adversarial`, mirror
        images and noise are drawn again after every 100 iterations. Needs the `feature_shape` of an image.
    parts : int
        The features, or the coefficients of `basis`, are divided at random into so many parts, and vote v reads those
        of part v modulo `parts` alone. 1: every vote reads all (paper). Votes of different parts have orthogonal
        weights, so that the exact distance of such an ensemble is quickly found
        (:func:`scd.certificates.exact_distance`).
    n_iter_no_change : int or None
        A vote ends when its balanced accuracy on held-out samples has not improved for this number of iterations
        (looked at after every 25), and becomes its network with the best one. None: all iterations, on all samples
        (paper).
    validation_fraction : float in (0, 1)
        Fraction of each class that is held out, the same samples for all votes, if `n_iter_no_change` is given.
    class_weight : dict, "balanced" or None
        Factors of the samples' weights (see `fit`) by class, 1 for a class that is not named; "balanced" gives both
        classes the same total weight.

    Attributes
    ----------
    classes_, n_features_in_, votes_, root_seed_ : see :class:`scd.ensemble.VoteEnsemble`
    history_ : list of dict of arrays
        Of each vote of the last `fit`: after each ``iteration``, every 25 and the last, the balanced accuracy ``train``
        of the best network so far on the samples that it is trained on and, if samples are held out, ``validation``.
        Empty for votes of a loaded ensemble that a warm start kept.

    Notes
    -----
    Classes are balanced by the score: with ``balanced_fraction=1`` balanced accuracy selects networks and, with the 0-1
    loss, steps in all iterations, as ``class_weight="balanced"`` does elsewhere. The steps of the cross-entropy are not
    weighted by it.

    Weights of classes shift what is not balanced by the score: the accuracy in it, after the first `balanced_fraction`
    of the iterations, and the steps of the cross-entropy. With ``class_weight="balanced"`` both parts of the score are
    the balanced accuracy. A weight never removes a class from the balanced accuracy.

    Sparse matrices are refused.

    References
    ----------
    "Defending against black-box adversarial attacks with gradient-free trained sign activation neural networks",
    Algorithm 1; supplement Algorithms 1-3.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from scd import SCDClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = SCDClassifier(n_votes=10, n_iter=100, random_state=0).fit(X / X.max(axis=0), y)
    >>> model.votes(X).shape
    (569, 10)
    """

    _histories: Mapping[int, dict[str, NDArray[Any]]] = MappingProxyType({})  # by the number of the vote

    method_version: ClassVar[int] = 2  # 2: a threshold outside all samples keeps a margin
    shard_votes: ClassVar[int] = 25
    keeps_inputs: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "loss": [StrOptions({"01", "ce"})],
        "weights": [StrOptions({"real", "binary"})],
        "n_votes": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "hidden_nodes": [Interval(Integral, 1, 4096, closed="both")],
        "batch_fraction": [Interval(Real, 0, 1, closed="right")],
        "batch_size": [Interval(Integral, 2, None, closed="left"), None],
        "features_per_step": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "auto_features": [Interval(Integral, 1, None, closed="left")],
        "step_hidden": [Interval(Real, 0, 1000, closed="right")],
        "step_output": [Interval(Real, 2**-20, 1000, closed="both")],  # output weights are multiples of 2**-20
        "threshold_window": [Interval(Integral, 1, None, closed="left"), None],
        "init_thresholds": [StrOptions({"median", "searched"})],
        "init_weights": [StrOptions({"normal", "uniform"})],
        "balanced_fraction": [Interval(Real, 0, 1, closed="both")],
        "rollback": ["boolean"],
        "nodes_per_iter": [Interval(Integral, 0, None, closed="left")],
        "device": [str],
        "backend": [StrOptions({"auto", "cpu", "cuda", "reference"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Interval(Integral, None, -1, closed="right"), None],
        "memory_budget": [Interval(Integral, 1, None, closed="left"), str],
        "voting": [StrOptions({"hard", "mean"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "basis": [StrOptions({"pixels", "blocks", "dct", "pca"})],
        "basis_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "feature_shape": [tuple, list, None],
        "noise": [tuple, list],
        "adversarial": [Interval(Real, 0, None, closed="left")],
        "parts": [Interval(Integral, 1, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "mirrored": ["boolean"],
    }

    def __init__(
        self,
        loss: str = "01",
        weights: str = "real",
        n_votes: int = 100,
        n_iter: int = 1000,
        hidden_nodes: int = 20,
        batch_fraction: float = 0.75,
        features_per_step: int | str = "auto",
        auto_features: int = 128,
        step_hidden: float = 0.17,
        step_output: float = 0.2,
        threshold_window: int | None = None,
        init_thresholds: str = "median",
        init_weights: str = "normal",
        balanced_fraction: float = 0.2,
        rollback: bool = False,
        nodes_per_iter: int = 1,
        device: str = "auto",
        backend: str = "auto",
        n_jobs: int | None = -1,
        memory_budget: int | str = "2GiB",
        voting: str = "hard",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
        basis: str = "pixels",
        basis_size: int | str = "auto",
        feature_shape: tuple[int, ...] | None = None,
        noise: Sequence[float] = (0.0,),
        n_iter_no_change: int | None = None,
        validation_fraction: float = 0.1,
        adversarial: float = 0.0,
        parts: int = 1,
        class_weight: dict[Any, float] | str | None = None,
        mirrored: bool = False,
        batch_size: int | None = None,
    ) -> None:
        self.loss = loss
        self.weights = weights
        self.n_votes = n_votes
        self.n_iter = n_iter
        self.hidden_nodes = hidden_nodes
        self.batch_fraction = batch_fraction
        self.batch_size = batch_size
        self.features_per_step = features_per_step
        self.auto_features = auto_features
        self.step_hidden = step_hidden
        self.step_output = step_output
        self.threshold_window = threshold_window
        self.init_thresholds = init_thresholds
        self.init_weights = init_weights
        self.balanced_fraction = balanced_fraction
        self.rollback = rollback
        self.nodes_per_iter = nodes_per_iter
        self.device = device
        self.backend = backend
        self.n_jobs = n_jobs
        self.memory_budget = memory_budget
        self.voting = voting
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.basis = basis
        self.basis_size = basis_size
        self.feature_shape = feature_shape
        self.noise = noise
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.adversarial = adversarial
        self.parts = parts
        self.class_weight = class_weight
        self.mirrored = mirrored

    def check_params(self) -> Self:
        super().check_params()
        parse_bytes(self.memory_budget)
        resolve_device(self.device)
        check_class_weight(self.class_weight)
        if self.nodes_per_iter > self.hidden_nodes:
            raise ValueError(
                f"The 'nodes_per_iter' parameter of SCDClassifier must be at most hidden_nodes = {self.hidden_nodes}. "
                f"Got {self.nodes_per_iter} instead."
            )
        if not self.noise or not all(isinstance(s, Real) and 0 <= s < np.inf for s in self.noise):
            raise ValueError(
                "The 'noise' parameter of SCDClassifier must be a sequence of standard deviations of at least 0, one "
                f"for each copy of the samples, such as (0, 0.4). Got {self.noise!r} instead."
            )
        if self.adversarial and self.n_iter_no_change is not None:
            raise ValueError(
                "The 'adversarial' parameter of SCDClassifier must be 0 where n_iter_no_change is given: a vote that "
                f"ends early would leave the votes it is trained against. Got {self.adversarial} instead."
            )
        if self.adversarial and self.parts > 1:
            raise ValueError(
                "The 'adversarial' parameter of SCDClassifier must be 0 where parts is more than 1: samples are moved "
                f"against votes that read the same features. Got {self.adversarial} instead."
            )
        return self

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train `n_votes` votes; with `warm_start`, only those still missing.

        Parameters
        ----------
        X : (n, d) array
        y : (n,) array
            Two classes.
        sample_weight : (n,) array or None
            At least 0 each; only their ratios matter. Training counts samples in whole numbers, so it sees copies of
            the samples: their number is in proportion to the weight, rounded up or down at random such that its mean
            over `random_state` is exact. There are as many copies as make the smallest weight above 0 one copy, but at
            most twice as many as samples, and at least two of each class. All votes train on the same copies. Equal
            weights give the votes of no weights. A sample of weight 0 is not used at all.

        Raises
        ------
        ValueError
            Bad parameter or weight, NaN or infinity, one class or too many, fewer than two samples of a class.
        """
        if not (self.warm_start and hasattr(self, "votes_")):
            self._histories = {}
        self._fit(X, y, sample_weight)
        self.history_ = [self._histories.get(v, {}) for v in range(len(self.votes_))]
        return self

    def warm_up(self, X: NDArray[Any], y: NDArray[Any]) -> None:
        """Compile the kernels for data of this type, so that the time of a first fit does not include it.

        Raises
        ------
        ValueError
            A parameter that a fit would refuse, before anything is compiled.
        """
        self.check_params()
        if self.basis == "pixels" and self.parts == 1:
            self._settings(X.shape[1])
        rows = np.concatenate([np.flatnonzero(y == label)[:4] for label in (0, 1)])
        tiny = {"n_votes": 1, "n_iter": 2, "hidden_nodes": 2, "nodes_per_iter": 1, "features_per_step": 1}
        noise = (0.0,) if self._sees_samples() else (1.0,)  # bytes, or floats
        as_trained = {"basis": "pixels", "noise": noise, "adversarial": 0.0, "parts": 1, "mirrored": False}
        as_trained |= {"n_iter_no_change": None, "class_weight": None}
        self._like(**tiny, **as_trained, verbose=False).fit(X[rows], y[rows]).predict(X[rows])

    def _like(self, **params: Any) -> Self:
        return type(self)(**{**self.get_params(deep=False), **params})

    def _stored_params(self) -> dict[str, Any]:
        stored = super()._stored_params()
        if isinstance(self.class_weight, dict):  # whose keys need not be texts
            stored["class_weight"] = [[_plain(k), _plain(v)] for k, v in self.class_weight.items()]
        return stored

    @classmethod
    def _restored_params(cls, stored: dict[str, Any]) -> dict[str, Any]:
        params = {k: tuple(v) if k in ("feature_shape", "noise") and v is not None else v for k, v in stored.items()}
        if isinstance(pairs := params.get("class_weight"), list):
            params["class_weight"] = dict(pairs)
        return params

    def _kept_params(self) -> dict[str, Any]:
        kept = {k: tuple(v) if isinstance(v, list) else v for k, v in super()._kept_params().items()}
        if isinstance(self.class_weight, dict):
            kept["class_weight"] = dict(self.class_weight)  # whose dict may change
        return kept

    def _sees_samples(self) -> bool:
        """Whether training sees the samples as they are."""
        return self.basis == "pixels" and list(self.noise) == [0] and not self.adversarial and not self.mirrored

    def _weighted(self, classes: NDArray[Any], y: NDArray[Any], sample_weight: Any = None) -> dict[str, Any]:
        weights = weights_of(sample_weight, self.class_weight, classes, y)
        return {} if weights is None else {"weights": weights}

    def _train(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        votes: range,
        root_seed: int,
        progress: Progress | None,
        weights: Weights | None = None,
    ) -> list[Vote]:
        if weights is not None and not weights.all():
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        seen, held_out = _Samples(X, y, weights), None
        if self.n_iter_no_change is not None:
            out = held_out_rows(y, float(self.validation_fraction), root_seed)
            seen, held_out = seen.of(~out), seen.of(out)
        if seen.weights is not None:
            seen = seen.of(drawn_rows(seen.weights, seen.y, root_seed))
        if self._sees_samples():
            trained = self._descend_in_parts(seen.X, seen.y, votes, root_seed, progress, held_out)
        else:
            trained = self._descend_elsewhere(seen.X, seen.y, votes, root_seed, progress, held_out)
        self._count_correct(trained, X, y)
        return trained

    def _descend_elsewhere(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        votes: range,
        root_seed: int,
        progress: Progress | None,
        held_out: _Samples | None,
    ) -> list[Vote]:
        """Train votes on coefficients and on noisy or mirrored copies of the samples `X`."""
        rows = None if self.basis == "pixels" else basis(self.basis, self.basis_size, X, self.feature_shape)
        inputs = X if rows is None else coefficients(X, rows)
        if held_out is not None and rows is not None:
            held_out = held_out._replace(X=coefficients(held_out.X, rows))
        mirror_images = None
        if self.mirrored:  # the coefficients of a mirrored image are those of the image in mirrored directions
            turned = mirrored(X if rows is None else rows, self.feature_shape)
            mirror_images = turned if rows is None else coefficients(X, turned)
        copies = Copies(inputs, mirror_images, self.noise)
        first, y = copies.draw(generator_for(root_seed, "noise")), np.tile(y, len(self.noise))
        trained = self._descend_in_parts(first, y, votes, root_seed, progress, held_out, copies)
        return trained if rows is None else [folded(vote, rows) for vote in trained]

    def _descend_in_parts(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        votes: range,
        root_seed: int,
        progress: Progress | None,
        held_out: _Samples | None,
        copies: Copies | None = None,
    ) -> list[Vote]:
        """Train each vote on its part of the features."""
        count = int(self.parts)
        if count == 1:
            return self._descend(X, y, votes, root_seed, progress, held_out, copies)
        if count > X.shape[1]:
            raise ValueError(
                f"The 'parts' parameter of SCDClassifier must be at most {X.shape[1]}, the number of features or of "
                f"coefficients. Got {count} instead."
            )
        shuffled = generator_for(root_seed, "parts").permutation(X.shape[1])
        trained: dict[int, Vote] = {}
        for part in range(count):
            members = votes[(part - votes.start) % count :: count]
            columns = np.sort(shuffled[part::count])
            held = None if held_out is None else held_out._replace(X=held_out.X[:, columns])
            if len(members):
                found = self._descend(np.ascontiguousarray(X[:, columns]), y, members, root_seed, progress, held)
                trained |= {v: _widened(vote, columns, X.shape[1]) for v, vote in zip(members, found, strict=True)}
        return [trained[v] for v in votes]

    def _descend(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        votes: range,
        root_seed: int,
        progress: Progress | None,
        held_out: _Samples | None,
        copies: Copies | None = None,
    ) -> list[Vote]:
        """Train votes on the samples `X`, and store their histories.

        With `adversarial` and `mirrored`, `X` is the first of many draws of `copies`.
        """
        device = resolve_device(self.device)
        name = self.backend if self.backend != "auto" else default_backend(device)
        if name in ("cpu", "cuda") and not device.startswith(name):
            raise ValueError(f"backend={name!r} needs device={name!r}. Got device={device!r}.")
        settings = self._settings(X.shape[1])
        samples, radius = (X, y), float(self.adversarial)
        if radius:
            X, y = np.concatenate([X, X]), np.concatenate([y, y])  # the second of each is moved
        # neighbours make a batch of a given size
        order = np.arange(len(y)) if self.batch_size is None else generator_for(root_seed, "order").permutation(len(y))
        order = order[np.argsort(y[order], kind="stable")]  # class 0 first
        columns, divisor = as_columns(X, order, parse_bytes(self.memory_budget), bytes_if_exact=not radius)
        per_vote = len(X) * (5 * self.hidden_nodes + 64) + 8 * X.shape[1] * self.hidden_nodes
        size = max(1, min(len(votes), parse_bytes(self.memory_budget) // per_vote))
        chunks = [votes[i : i + size] for i in range(0, len(votes), size)]
        if radius:
            from scd.engine.adversarial import descend_against_moves, groups_of  # in torch, as is all but `cpu`

            chunks = groups_of(votes, self.shard_votes)
        trained: list[Vote] = []
        total, shown = self.n_iter * len(chunks), [-_SECONDS]
        with progress_bar(total, verbose=bool(self.verbose), desc="iterations", leave=False) as bar:
            for c, chunk in enumerate(chunks):

                def show(descent: Training, c: int = c) -> None:
                    done = c * self.n_iter + descent.iteration
                    bar.update(done - bar.n)
                    if progress is not None or (self.verbose and time.monotonic() > shown[0] + _SECONDS):
                        score, shown[0] = descent.best_score(), time.monotonic()
                        bar.set_postfix_str(f"best balanced accuracy {score:.3f}", refresh=False)
                        if progress is not None:
                            progress(done, total, score)

                with one_torch_thread() if radius or name != "cpu" else nullcontext():
                    kernel = backend(name)
                    descent = training_with(kernel)(
                        columns, divisor, int((y == 0).sum()), settings, chunk, root_seed, kernel, cores(self.n_jobs),
                        device,
                    )  # fmt: skip
                    stop = None if held_out is None else self._early_stopping(len(chunk), held_out)
                    if radius:
                        generator = generator_for(root_seed, "moves", chunk.start)
                        redraw = copies.draw if copies is not None and self.mirrored else None
                        descend_against_moves(descent, *samples, order, radius, generator, show, redraw)
                    else:
                        descent.run(show, stop)
                networks = [descent.network(v) for v in range(len(chunk))] if stop is None else stop.best
                trained += [network for v, network in zip(chunk, networks, strict=True) if v in votes]
                self._store_histories(chunk, descent, stop)
        return trained

    def _early_stopping(self, n_votes: int, held_out: _Samples) -> EarlyStopping:
        """What ends votes by their balanced accuracy on the held-out samples."""
        X, y, weights = held_out
        of_class = [np.flatnonzero(y == label) for label in (0, 1)]

        def score(vote: Vote) -> float:
            correct = self._stack([vote]).labels(X)[:, 0] == y
            each = [np.average(correct[own], weights=None if weights is None else weights[own]) for own in of_class]
            return float((each[0] + each[1]) / 2)

        assert self.n_iter_no_change is not None
        return EarlyStopping(n_votes, int(self.n_iter_no_change), score)

    def _store_histories(self, votes: range, descent: Training, stop: EarlyStopping | None) -> None:
        correct, histories = descent.correct_samples(), dict(self._histories)
        at = np.minimum(RECORD * np.arange(1, len(correct) + 1), self.n_iter)
        for v, number in enumerate(votes):
            validation = {} if stop is None else {"validation": np.array(stop.scores[v])}
            records = len(at) if stop is None else len(stop.scores[v])
            train = descent.score.as_fraction(correct[:records, v])
            histories[number] = {"iteration": at[:records], "train": train, **validation}
        self._histories = histories

    def _count_correct(self, trained: list[Vote], X: NDArray[Any], y: NDArray[Any]) -> None:
        """Give each vote its numbers of correct samples, predicted again."""
        correct_votes = self._stack(trained).labels(X) == y[:, None]
        for vote, correct in zip(trained, correct_votes.T, strict=True):
            vote["train_right"] = np.array([correct[y == 0].sum(), correct[y == 1].sum()])

    def _settings(self, d: int) -> Settings:
        features = self.features_per_step
        if features == "auto":
            features = min(self.auto_features, d)
        elif int(features) > d:
            raise ValueError(
                f"The 'features_per_step' parameter of SCDClassifier must be 'auto' or an int in the range [1, {d}], "
                f"the number of features. Got {features} instead."
            )
        return Settings(
            loss=self.loss,
            weights=self.weights,
            n_iter=int(self.n_iter),
            hidden_nodes=int(self.hidden_nodes),
            batch_fraction=float(self.batch_fraction),
            batch_size=None if self.batch_size is None else int(self.batch_size),
            features_per_step=int(features),
            step_hidden=float(self.step_hidden),
            step_output=float(self.step_output),
            threshold_window=self.threshold_window,
            init_thresholds=self.init_thresholds,
            init_weights=self.init_weights,
            balanced_fraction=float(self.balanced_fraction),
            rollback=bool(self.rollback),
            nodes_per_iter=int(self.nodes_per_iter),
        )


def _widened(vote: Vote, columns: NDArray[np.int64], d: int) -> Vote:
    """The vote on all d features that reads only these."""
    hidden = np.zeros((len(vote["hidden"]), d), dtype=vote["hidden"].dtype)
    hidden[:, columns] = vote["hidden"]
    return {**vote, "hidden": hidden}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
