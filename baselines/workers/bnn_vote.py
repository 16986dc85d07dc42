"""One vote of the binarised network, trained by Larq on Keras.

Worker processes run this file; only :func:`tensorflow` loads TensorFlow, and nothing here loads torch.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from scd.seeds import vote_seed
from scd.storage import Vote

PACKAGES = ("tensorflow", "tf_keras", "larq")
PYTHON = sys.version_info[:2]  # Larq needs NumPy before 2, which has no wheels for Python 3.13 and newer
EPSILON = 1e-3  # Keras's default, added to the variance in batch normalisation

_ENVIRONMENT = {
    "TF_USE_LEGACY_KERAS": "1",  # Larq is written for Keras 2
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",  # TensorFlow's default; another value in the environment would change the rounding
    "CUDA_VISIBLE_DEVICES": "-1",
}
_ALONE = threading.Lock()  # if joblib has to use threads, they use the shared network one after the other


@dataclass(frozen=True)
class Settings:
    """The settings of :class:`baselines.bnn.BNNVotes` that decide a vote."""

    hidden_nodes: int
    input_quantizer: str
    epochs: int
    batch_size: int
    learning_rate: float


def require_packages() -> None:
    """Raise an ImportError in one sentence if a package is not installed; loads none of them."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        advice = "run: pip install '.[bnn]'"
        if PYTHON >= (3, 13):
            advice = f"Larq can be installed with Python 3.11 or 3.12 only, this is {sys.version.split()[0]}"
        raise ImportError(
            f"bnn is trained with Larq on TensorFlow, and {', '.join(missing)} is not installed; {advice}"
        )


@cache
def tensorflow() -> tuple[Any, Any]:
    """Load TensorFlow and Larq: silent, deterministic, one thread, no accelerator."""
    os.environ.update(_ENVIRONMENT)
    with _silent():
        import larq
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    return tf, larq


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Silence file descriptor 2: TensorFlow's libraries write to it before they read their log level."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class Trainer:
    """A Keras network and its training loop, for any number of votes of the same shape.

    The loop is Keras's ``train_step`` over the batches of a whole epoch in one TensorFlow graph. ``Model.fit`` takes
    the same steps, with a Python call and a data pipeline for each, and is several times slower at this size.

    Parameters
    ----------
    features : int
    settings : Settings
    """

    def __init__(self, features: int, settings: Settings) -> None:
        tf, larq = tensorflow()
        binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
        hidden = larq.layers.QuantDense(settings.hidden_nodes, use_bias=True, **binary, name="hidden")
        norm = tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=EPSILON, scale=False, name="norm")
        quantizer = settings.input_quantizer
        output = larq.layers.QuantDense(2, input_quantizer=quantizer, use_bias=False, **binary, name="output")
        softmax = tf.keras.layers.Activation("softmax", name="softmax")
        self.model = tf.keras.Sequential([tf.keras.Input((features,)), hidden, norm, output, softmax], name="bnn")
        # XLA would round differently on machines with a GPU
        optimizer = tf.keras.optimizers.Adam(settings.learning_rate, jit_compile=False)
        self.model.compile(optimizer, tf.keras.losses.SparseCategoricalCrossentropy())
        optimizer.build(self.model.trainable_variables)
        self._start = [(v, v.numpy()) for v in (*self.model.weights, *optimizer.variables)]
        self._kernels = (hidden.kernel, output.kernel)

        inputs, labels = tf.TensorSpec((None, features), tf.float32), tf.TensorSpec((None,), tf.int64)

        @tf.function(input_signature=[inputs, labels, tf.TensorSpec((None,), tf.int64)])
        def epoch(X: Any, y: Any, order: Any) -> None:
            for start in tf.range(0, tf.size(order), settings.batch_size):
                batch = order[start : start + settings.batch_size]
                self.model.train_step((tf.gather(X, batch), tf.gather(y, batch)))

        self._epoch = epoch

    def restart(self, rng: np.random.Generator) -> None:
        """Forget the last vote: the optimiser's state and all weights, with newly drawn kernels (Glorot uniform)."""
        tf, _ = tensorflow()
        for variable, value in self._start:
            variable.assign(value)
        for kernel in self._kernels:
            draw = tf.keras.initializers.GlorotUniform(seed=int(rng.integers(2**31)))
            kernel.assign(draw(kernel.shape))

    def train(self, X: np.ndarray, y: np.ndarray, orders: Iterable[np.ndarray]) -> None:
        """Train one epoch for each of `orders`, the sample numbers in the order of the batches."""
        tf, _ = tensorflow()
        inputs, labels = tf.constant(X, tf.float32), tf.constant(y, tf.int64)
        for order in orders:
            self._epoch(inputs, labels, tf.constant(order, tf.int64))


@lru_cache(maxsize=4)
def trainer_for(features: int, settings: Settings) -> Trainer:
    """The trainer of this process, made once: building its graph takes longer than training a small vote."""
    return Trainer(features, settings)


def prepare(settings: Settings, features: int, vote: int) -> None:
    """Load TensorFlow and make the trainer; the number of the vote is ignored."""
    with _quiet():
        trainer_for(features, settings).train(np.zeros((2, features)), np.array([0, 1]), [np.arange(2)])


def train_vote(settings: Settings, X: np.ndarray, y: np.ndarray, root_seed: int, vote: int) -> Vote:
    """Train vote number `vote` on (n, d) float32 samples and (n,) labels 0/1 and return its arrays."""
    with _quiet():
        return fold(_fit(settings, X, y, root_seed, vote).model.get_weights(), vote)


def train_and_predict(
    settings: Settings, X: np.ndarray, y: np.ndarray, inputs: np.ndarray, root_seed: int, vote: int
) -> tuple[Vote, np.ndarray]:
    """Train as :func:`train_vote` does; also the (m, 2) softmax that Keras itself predicts for (m, d) `inputs`."""
    with _quiet():
        model = _fit(settings, X, y, root_seed, vote).model
        return fold(model.get_weights(), vote), model.predict(inputs, verbose=0)


def _fit(settings: Settings, X: np.ndarray, y: np.ndarray, root_seed: int, vote: int) -> Trainer:
    trainer = trainer_for(X.shape[1], settings)
    rng = np.random.default_rng(vote_seed(root_seed, vote))
    trainer.restart(rng)
    trainer.train(X, y, (rng.permutation(len(X)) for _ in range(settings.epochs)))
    return trainer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fold(weights: list[np.ndarray], vote: int = 0) -> Vote:
    """Turn the weights of the Keras network into those of a sign network with 0/1 hidden units.

    Hidden unit k is on where ``x . sign(W_k) >= mean_k - b_k - beta_k sqrt(var_k + eps)``: batch normalisation is
    a threshold. Larq's sign of 0 is +1, whereas :class:`scd.engine.forward.StackedVotes` requires the product, a
    float32, to be above the threshold. So the threshold is the largest float32 below the exact one.

    The logits are sums of ``±sign(K)`` over the units; class 1 is predicted where their difference
    ``sum_k (2 u_k - 1) D_k`` with ``D = sign(K_1) - sign(K_0)`` is above 0, in integers.

    Parameters
    ----------
    weights : list of arrays
        Kernel (d, h), bias (h,), beta (h,), moving mean (h,), moving variance (h,), output kernel (h, 2).
    vote : int
        Its number, for the error.

    Raises
    ------
    ValueError
        NaN or infinity among the weights.
    """
    if not all(np.isfinite(values).all() for values in weights):
        raise ValueError(
            f"The weights of vote {vote} became NaN or infinite; bring the features to a smaller range, such as "
            "[0, 1], or lower learning_rate."
        )
    kernel, bias, beta, mean, variance, output = (values.astype(np.float64) for values in weights)
    exact = mean - bias - beta * np.sqrt(variance + EPSILON)
    above = exact.astype(np.float32)
    above = np.where(above < exact, np.nextafter(above, np.float32(np.inf)), above)
    sign = np.where(output >= 0, 1, -1).astype(np.int8)
    difference = sign[:, 1] - sign[:, 0]
    return {
        "hidden": np.where(kernel >= 0, 1, -1).astype(np.int8).T.copy(),
        "thresholds": np.nextafter(above, np.float32(-np.inf)),
        "output": 2 * difference,
        "output_threshold": difference.sum(dtype=np.int64),
    }
