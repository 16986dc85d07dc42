"""wordcnn: a document's answer is its own, padding and company do not count, the epoch is chosen on held-out rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.torch_ensemble.training import BestEpochs
from baselines.torch_ensemble.wordcnn_network import WIDTHS, WordCNN
from baselines.wordcnn import WordCNNVotes

DIMENSION, WORDS = 5, 40


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1 + WORDS, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0
    return vectors


@pytest.fixture(scope="module")
def problem():
    """(80, 9) numbers of words, zeros behind the last, and labels: whether word 7 comes right before word 8."""
    rng = np.random.default_rng(1)
    X, y = np.zeros((80, 9), dtype=np.float32), np.arange(80) % 2
    for row, label in zip(X, y, strict=True):
        length = rng.integers(3, 10)
        row[:length] = rng.choice([n for n in range(1, WORDS) if n not in (7, 8)], length)
        at = rng.integers(0, length - 1)
        row[at : at + 2] = (7, 8) if label else (8, 7)
    return X, y


@pytest.fixture(scope="module")
def settings(table):
    return {"n_votes": 2, "epochs": 2, "filters": 6, "random_state": 3, "device": "cpu", "vectors": table}


@pytest.fixture(scope="module")
def fitted(problem, settings):
    return WordCNNVotes(**settings).fit(*problem)


def network_of(fitted):
    return fitted._forward.networks[0]


def test_the_network_is_its_definition(fitted, problem, table):
    """Windows of each width over the vectors between zeros, ReLU, the maximum, and a linear layer, word by word."""
    row = problem[0][0]
    words = row[: int(np.flatnonzero(row)[-1]) + 1].astype(int)
    zeros = np.zeros((max(WIDTHS), DIMENSION), dtype=np.float32)
    padded = np.concatenate([zeros[1:], table[words], zeros]).astype(np.float64)
    vote = fitted.votes_[1]
    features = []
    for i, width in enumerate(WIDTHS):
        weight, bias = vote[f"convs.{i}.weight"][:, :, 0], vote[f"convs.{i}.bias"]
        windows = [padded[at : at + width] for at in range(len(padded) - width + 1)]
        features.append(np.max([np.maximum(0, np.einsum("fdw,wd->f", weight, w) + bias) for w in windows], axis=0))
    logits = vote["fc.weight"] @ np.concatenate(features) + vote["fc.bias"]
    expected = 1 / (1 + np.exp(logits[0] - logits[1]))
    assert fitted.vote_probabilities(row[None])[0, 1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("own", [False, True], ids=["shared rows", "rows of each vote"])
def test_the_pass_by_words_is_the_convolution(table, own, monkeypatch):
    """Sums and the gradients of all weights, in blocks of maps too, with gaps, an empty document and a full one."""
    monkeypatch.setattr("baselines.torch_ensemble.wordcnn_network._TABLE_BYTES", 1)  # the least block, of 16 maps
    network = WordCNN(2, lambda: table, DIMENSION, 20, 0.0)
    for vote in range(2):
        network.initialise(vote, torch.Generator().manual_seed(vote))
    rows = np.random.default_rng(2).integers(0, 6, size=(7, 2, 12) if own else (7, 12))
    rows[0], rows[1, ..., 5:], rows[2, ..., -1] = 0, 0, 3
    numbers, gradients = network._padded(torch.from_numpy(rows)), []
    pooled = {name: torch.cat(getattr(network, name)(numbers), dim=2) for name in ("_pooled", "_pooled_by_words")}
    torch.testing.assert_close(pooled["_pooled_by_words"], pooled["_pooled"], atol=1e-6, rtol=1e-5)
    factors = torch.randn(pooled["_pooled"].shape, generator=torch.Generator().manual_seed(5))
    weights = list(network.convs.parameters())
    for sums in pooled.values():
        gradients.append(torch.autograd.grad((sums * factors).sum(), weights))
    for ours, theirs in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_padding_and_company_do_not_count(fitted, problem):
    """A document alone, beside longer ones, and in a wider table of rows gets the same probabilities."""
    X = problem[0]
    together = fitted.vote_probabilities(X)
    alone = np.concatenate([fitted.vote_probabilities(row[None]) for row in X])
    np.testing.assert_allclose(alone, together, atol=1e-6)
    wide = np.pad(X, ((0, 0), (0, 30)))
    other = WordCNNVotes(**fitted.get_params()).use_votes(fitted.votes_, n_features=39)
    np.testing.assert_allclose(other.vote_probabilities(wide), together, atol=1e-6)


def test_words_without_a_vector_are_no_obstacle(fitted):
    blank, gap = np.zeros((1, 9), dtype=np.float32), np.zeros((1, 9), dtype=np.float32)
    gap[0, :3] = (5, 0, 6)
    close = gap[:, [0, 2, *range(3, 9), 1]]
    assert np.isfinite(fitted.vote_probabilities(blank)).all()
    assert (fitted.vote_probabilities(gap) != fitted.vote_probabilities(close)).any()  # a gap is not closed


def test_the_order_of_words_can_be_learned(problem, table):
    """Which a mean of vectors cannot show."""
    X, y = problem
    model = WordCNNVotes(
        n_votes=1, epochs=40, batch_size=16, filters=8, learning_rate=0.02, random_state=0, vectors=table
    )
    assert model.fit(X, y).score(X, y) > 0.9


def test_votes_do_not_depend_on_each_other_or_on_growth(fitted, problem, settings):
    X, y = problem
    grown = WordCNNVotes(**{**settings, "n_votes": 1}, warm_start=True).fit(X, y).set_params(n_votes=2, votes_at_once=1)
    np.testing.assert_array_equal(grown.fit(X, y).vote_probabilities(X), fitted.vote_probabilities(X))


def test_a_killed_training_goes_on_to_the_same_votes(fitted, problem, settings, tmp_path, monkeypatch):
    """Also the chosen epoch and the draws of dropout."""
    monkeypatch.setattr("baselines.torch_ensemble.checkpoint._MIN_SECONDS", 0.0)
    monkeypatch.setattr("baselines.torch_ensemble.checkpoint._MIN_MULTIPLE", 0.0)
    model, path, seen = WordCNNVotes(**settings), tmp_path / "unfinished.npz", []

    def interrupted(done, total, score):
        seen.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit_votes(*problem, range(2), interrupted, checkpoint=path)
    assert path.exists()
    votes = model.fit_votes(*problem, range(2), checkpoint=path)
    for vote, expected in zip(votes, fitted.votes_, strict=True):
        assert set(vote) == set(expected)
        for name in vote:
            np.testing.assert_array_equal(vote[name], expected[name])


def test_validation_samples_are_a_share_of_each_class_and_never_trained_on(problem, settings):
    X, y = problem
    model = WordCNNVotes(**settings)
    held = model._validation_samples(y, 3)
    assert [int(held[y == label].sum()) for label in (0, 1)] == [4, 4]
    assert not np.array_equal(held, model._validation_samples(y, 4))
    changed = X.copy()
    changed[held] = 1  # other validation rows: the same training, so the votes of a single epoch are the same
    once = {**settings, "epochs": 1}
    first, second = WordCNNVotes(**once).fit(X, y), WordCNNVotes(**once).fit(changed, y)
    np.testing.assert_array_equal(first.vote_probabilities(X), second.vote_probabilities(X))


def test_the_best_epoch_is_kept_and_of_equals_the_first():
    network = WordCNN(2, lambda: np.eye(3, 2, -1, dtype=np.float32), 2, 1, 0.0)
    for vote in range(2):
        network.initialise(vote, torch.Generator().manual_seed(vote))
    X, y = torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([1, 1])
    best = BestEpochs(network, X, y)
    kept = []
    with torch.no_grad():
        for biases in ((0.0, 9.0), (9.0, 9.0), (8.0, 8.0), (0.0, 0.0)):  # of the votes, for the second class
            network.fc.weight.zero_()
            network.fc.bias[:, 0] = 1.0
            network.fc.bias[:, 1] = torch.tensor(biases)
            best.evaluate(network)
            kept.append(best.arrays["fc.bias"][:, 1].tolist())
    assert kept == [[0.0, 9.0], [9.0, 9.0], [9.0, 9.0], [9.0, 9.0]]
    assert best.correct[:, 0].tolist() == [2, 2]


def test_a_file_holds_no_vectors_and_takes_them_again(fitted, problem, table, tmp_path):
    fitted.save(tmp_path / "votes.npz")
    assert (tmp_path / "votes.npz").stat().st_size < 40_000
    loaded = WordCNNVotes.load(tmp_path / "votes.npz")
    with pytest.raises(ValueError, match="'vectors' parameter of WordCNNVotes must be"):
        loaded.predict(problem[0])
    loaded.set_params(vectors=table, device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba(problem[0]), fitted.predict_proba(problem[0]))


def test_other_vectors_are_another_training(fitted, problem, table):
    model = WordCNNVotes(**{**fitted.get_params(), "warm_start": True}).fit(*problem)
    with pytest.raises(ValueError, match="warm_start adds votes trained in the same way: vectors"):
        model.set_params(vectors=-table).fit(*problem)


@pytest.mark.parametrize("vectors", [None, np.ones((5, 2), dtype=np.float32), np.zeros(5, dtype=np.float32)])
def test_bad_vectors_are_named(problem, vectors):
    with pytest.raises(ValueError, match=r"must be a \(1 \+ V, d\) float32 array whose first row is zeros"):
        WordCNNVotes(vectors=vectors).fit(*problem)


def test_numbers_of_no_word_are_refused(problem, settings):
    with pytest.raises(ValueError, match="Inputs must hold numbers of word vectors, 0 to 40"):
        WordCNNVotes(**settings).fit(problem[0] + 40, problem[1])
