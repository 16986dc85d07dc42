"""A model behind a real HTTP server on this machine: batches, repetitions, the rate, remembered answers."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from baselines.endpoint import EndpointModel
from tests.label_service import label_service


@pytest.fixture
def service(monkeypatch):
    """A server whose label is "yes" where the first feature is above 0.5."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with label_service() as state:
        yield state


RNG = np.random.default_rng(0)
X = RNG.random((20, 3)).astype(np.float32)
Y = (X[:, 0] > 0.5).astype(int)


def model(service, **settings):
    return EndpointModel(service.url, class_names=("no", "yes"), **settings).fit(X, Y)


def test_labels_come_in_batches_and_are_asked_for_once(service):
    made = model(service, rows_per_request=8)
    np.testing.assert_array_equal(made.predict(X), Y)
    assert service.sizes == [8, 8, 4]
    np.testing.assert_array_equal(made.predict(np.concatenate([X[::-1], X])), np.concatenate([Y[::-1], Y]))
    assert service.sizes == [8, 8, 4]
    small = model(service, cache_size=5)
    small.predict(X)
    small.predict(X[-5:])
    small.predict(X[:2])
    assert service.sizes == [8, 8, 4, 20, 2]


def test_the_order_of_the_classes_may_be_given(service):
    reversed_ = EndpointModel(service.url, classes=["yes", "no"]).fit(X, Y)
    np.testing.assert_array_equal(reversed_.predict(X), 1 - Y)


def test_errors_that_may_pass_are_repeated(service):
    service.statuses = [503, 429, 500]
    np.testing.assert_array_equal(model(service).predict(X), Y)
    assert service.sizes == [20]


def test_other_errors_are_one_sentence(service):
    service.statuses = [404]
    with pytest.raises(ConnectionError, match=rf"{service.url} refused the request. Got status 404"):
        model(service).predict(X)
    service.statuses = [503] * 9
    with pytest.raises(ConnectionError, match=r"did not answer, tried 3 times\. Got status 503"):
        model(service, retries=2).predict(X)
    service.statuses = []
    for answer, sentence in (
        (b"<html>", r'must return {"labels": \[\.\.\.\]}. Got <html>'),
        (b'{"labels": ["no"]}', "one label for each of 20 inputs. Got 1 labels"),
        (json.dumps({"labels": [None] * 20}).encode(), "names or whole numbers as labels. Got None"),
    ):
        service.answer = answer
        with pytest.raises(ConnectionError, match=sentence):
            model(service).predict(X)
    service.answer = json.dumps({"labels": ["maybe"] * 20}).encode()
    with pytest.raises(ValueError, match="predicts the class 'maybe'"):
        model(service).predict(X)


def test_no_server_is_one_sentence():
    with pytest.raises(ConnectionError, match=r"did not answer, tried once\. Got .*refused"):
        EndpointModel("http://127.0.0.1:9/", retries=0).fit(X, Y).predict(X)


def test_the_rate_is_limited(service):
    made = model(service, rows_per_request=5, rate_limit=20)
    began = time.monotonic()
    made.predict(X)
    assert time.monotonic() - began > 3 / 20
    assert len(service.sizes) == 4


def test_the_token_comes_from_the_environment(service, monkeypatch):
    with pytest.raises(ValueError, match=r"'token_variable' parameter of EndpointModel .* Got 'MY_TOKEN' instead"):
        model(service, token_variable="MY_TOKEN")
    monkeypatch.setenv("MY_TOKEN", "secret")
    model(service, token_variable="MY_TOKEN").predict(X)
    assert service.tokens == ["Bearer secret"]


@pytest.mark.parametrize("url", [None, "file:///etc/passwd", "localhost:8000"])
def test_an_address_is_http(url):
    with pytest.raises(ValueError, match="'url' parameter of EndpointModel must be an address"):
        EndpointModel(url).check_params()


def test_a_run_attacks_the_service(service, compose_config, tmp_path):
    from pipeline.experiment import run

    np.savez(tmp_path / "own.npz", x=RNG.random((60, 3)), y=np.array(["no", "yes"])[np.arange(60) % 2])
    words = ["dataset=arrays", f"dataset.path={tmp_path / 'own.npz'}", "model=endpoint", f"model.url={service.url}"]
    record = run(compose_config(*words, "scale=smoke", "points.rule=random", "attack.query_budget=150"))
    assert record["attack"].startswith("arrays-endpoint-hsj-")
    assert sum(service.sizes) <= 15 + 2 * 150


def test_a_service_of_other_classes_is_one_sentence_of_the_run(service, compose_config, tmp_path):
    from pipeline.errors import UserError
    from pipeline.experiment import run

    np.savez(tmp_path / "own.npz", x=RNG.random((60, 3)), y=np.array(["cat", "dog"])[np.arange(60) % 2])
    words = ["dataset=arrays", f"dataset.path={tmp_path / 'own.npz'}", "model=endpoint", f"model.url={service.url}"]
    with pytest.raises(UserError, match="model=endpoint cannot be evaluated: The model predicts the class '"):
        run(compose_config(*words, "scale=smoke", "attack=none"))
