"""Models of texts whose best replacements are known, and TextFooler as plainly as it can be written."""

import json

import numpy as np

from attacks import TextFooler
from attacks.text.word_search import UNKNOWN

PLAIN = {"similarity": "none", "part_of_speech": "none", "stop_words": "none"}


class BagOfWords:
    """A score that is the logistic function of the sum of the words' weights; records its documents."""

    def __init__(self, weights, bias=0.0, shares=None):
        self.weights, self.bias, self.shares = weights, bias, shares
        self.queried, self.calls = [], 0

    def score(self, document):
        sum_ = self.bias + sum(self.weights.get(word, 0.0) for word in document)
        share = 1 / (1 + np.exp(-sum_))
        return share if self.shares is None else np.round(share * self.shares) / self.shares

    def __call__(self, documents):
        self.calls += 1
        self.queried += [list(document) for document in documents]
        return np.array([self.score(document) for document in documents])


class World:
    """Random words with synonyms, weights, classes and encodings; documents of them with the model's labels."""

    def __init__(self, seed, n_documents=12, shares=None):
        rng = np.random.default_rng(seed)
        self.words = [f"w{k}" for k in range(40)]
        self.neighbours = {
            word: [str(other) for other in rng.choice(self.words, rng.integers(0, 6), replace=False) if other != word]
            for word in self.words
        }
        # multiples of 1/64: their sum is exact in any order, and so words of equal importance stay equal
        self.model = BagOfWords({word: round(64 * rng.normal()) / 64 for word in self.words}, shares=shares)
        self.class_of = {word: str(rng.choice(["NOUN", "VERB", "ADJ"])) for word in self.words}
        self.vectors = {word: rng.normal(size=6) + 0.5 for word in self.words}
        lengths = rng.integers(1, 30, n_documents)
        self.documents = [[str(word) for word in rng.choice(self.words, length)] for length in lengths]
        self.y = np.array([int(self.model.score(document) > 0.5) for document in self.documents])
        self.y[0] = 1 - self.y[0]  # one that the model misclassifies

    def encode(self, texts):
        return np.array([np.sum([self.vectors[word] for word in text.split()], axis=0) for text in texts])

    def tag(self, documents):
        return [[self.class_of[word] for word in document] for document in documents]

    def attack(self, folder, **more):
        settings = {"similarity": self.encode, "part_of_speech": self.tag, "stop_words": ["w3", "w7"]}
        return TextFooler(synonyms=written(folder, self.neighbours), **{**settings, **more})


def written(folder, neighbours):
    """The path of a file with these neighbour lists."""
    path = folder / "neighbours.json"
    path.write_text(json.dumps(neighbours))
    return str(path)


def same_texts(one, other):
    """Whether two records are equal in everything."""
    here, there = one.to_arrays(), other.to_arrays()
    return here.keys() == there.keys() and all(
        np.array_equal(here[k], there[k], equal_nan=here[k].dtype.kind == "f") for k in here
    )


def plain_textfooler(world, document, label, threshold, keep_equal, stop_words=("w3", "w7")):
    """The procedure for one document, every candidate tagged and encoded. Returns (text or None, queries)."""
    true = lambda text: world.model.score(text) if label else 1 - world.model.score(text)  # noqa: E731
    wrong = lambda text: (world.model.score(text) > 0.5) != bool(label)  # noqa: E731
    if wrong(document):
        return None, 1
    p0, n = true(document), len(document)
    importance = []
    for k in range(n):
        without = [*document[:k], UNKNOWN, *document[k + 1 :]]
        fall = p0 - true(without)
        if wrong(without):
            fall += (1 - true(without)) - (1 - p0)
        importance.append(fall)
    order = sorted(range(n), key=lambda k: importance[k], reverse=True)
    order = [k for k in order if document[k] not in stop_words and world.neighbours[document[k]]]
    text, queries = list(document), 1 + n
    for k in order:
        words = world.neighbours[document[k]]
        queries += len(words)
        begin = 0 if k < 7 else max(0, n - 15) if n - k - 1 < 7 else k - 7
        rows = []
        for word in words:
            new = [*text[:k], word, *text[k + 1 :]]
            a, b = (world.encode([" ".join(t[begin : begin + 15])])[0] for t in (text, new))
            similarity = 1 - np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
            classes = {world.class_of[document[k]], world.class_of[word]}
            allowed = similarity >= (0.1 if n < 15 else threshold) and (len(classes) == 1 or "ADJ" not in classes)
            rows.append((new, true(new), wrong(new), similarity, allowed))
        fooling = [row for row in rows if row[2] and row[4]]
        if fooling:
            return max(fooling, key=lambda row: row[3])[0], queries
        lower = [row for row in rows if row[4] and (row[1] < p0 or (keep_equal and row[1] == p0))]
        if lower:
            text = min(lower, key=lambda row: row[1])[0]
    return None, queries
