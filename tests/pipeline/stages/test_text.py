"""Laws of the stages on documents: scores and labels agree, records hold together, a killed attack goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.mini_texts import BAD, GOOD, write_texts

PLAIN = [f"attack.{key}=none" for key in ("similarity", "part_of_speech", "stop_words")]


@pytest.fixture
def small(compose_config, tmp_path):
    """A small experiment on MR; more overrides may follow."""
    write_texts(tmp_path, "mr")

    def composed(*overrides: str):
        given = {override.split("=")[0] for override in overrides}
        words = ["dataset=mr", "model=scd01", "attack=textfooler", "model.n_votes=4"]
        kept = [word for word in words if word.split("=")[0] not in given]
        attacked = [] if "attack=none" in overrides else PLAIN
        iterations = [] if "model=wordcnn" in overrides else ["model.n_iter=30"]
        return compose_config(*kept, *iterations, *attacked, *overrides)

    return composed


def go(config):
    from pipeline.experiment import run

    return run(config)


def attack_folder(config, record) -> Path:
    return Path(config["paths"]["outputs"]) / "attacks" / record["attack"]


def fitted_on_texts(config):
    from pipeline.stages.fit import fit
    from tests.pipeline.small_runs import job_of

    job = job_of(config)
    return fit(job), job.dataset


@pytest.mark.parametrize("voting", ["hard", "mean"])
@pytest.mark.parametrize("model", [["model=scdce"], ["model=wordcnn", "model.epochs=1", "model.filters=4"]])
def test_a_score_is_above_a_half_exactly_where_class_1_is_predicted(small, model, voting):
    """For every kind of score, whatever combines the votes; and it orders documents of one label by its own share."""
    from pipeline.stages.inputs import SCORES, label_function, score_function

    fitted, dataset = fitted_on_texts(small(*model, "attack=none", f"model.voting={voting}"))
    rng = np.random.default_rng(0)
    texts = [list(rng.choice([*GOOD, *BAD, "film", "x"], rng.integers(0, 9))) for _ in range(200)]
    labels = label_function(fitted.model, dataset)(texts)
    assert 0 < labels.mean() < 1
    for kind in SCORES:
        scores = score_function(fitted.model, dataset, kind)(texts)
        assert scores.dtype == np.float64
        assert ((scores >= 0) & (scores <= 1)).all()
        np.testing.assert_array_equal(scores > 0.5, labels == 1)
    from pipeline.stages.inputs import features_of

    rows = features_of(fitted.model, dataset)(texts)
    own = {"votes": fitted.model.votes(rows).mean(1), "soft": fitted.model.vote_probabilities(rows).mean(1)}
    for kind, share in own.items():
        scores = score_function(fitted.model, dataset, kind)(texts)
        for label in (0, 1):
            ordered = np.argsort(share[labels == label], kind="stable")
            assert (np.diff(scores[labels == label][ordered]) >= 0).all()
    if voting == "hard":
        np.testing.assert_array_equal(score_function(fitted.model, dataset, "votes")(texts), own["votes"])
    else:
        np.testing.assert_array_equal(score_function(fitted.model, dataset, "soft")(texts), own["soft"])


def test_a_score_does_not_depend_on_the_company_of_a_document(small):
    from pipeline.stages.inputs import score_function

    fitted, dataset = fitted_on_texts(small("attack=none"))
    scores = score_function(fitted.model, dataset, "soft")
    texts = dataset.documents("test")
    np.testing.assert_array_equal(scores(texts), np.concatenate([scores([text]) for text in texts]))


@pytest.mark.parametrize("model", [["model=scd01"], ["model=wordcnn", "model.epochs=2", "model.filters=4"]])
def test_records_hold_together(small, model):
    config = small(*model)
    record = go(config)
    folder = attack_folder(config, record)
    examples, summary = pd.read_csv(folder / "examples.csv"), pd.read_csv(folder / "summary.csv").iloc[0]
    texts = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    assert list(examples.columns) == [
        "index", "label", "success", "reason", "queries", "seconds", "similarity", "words_changed", "words",
        "score_before", "score_after",
    ]  # fmt: skip
    wrong, found = examples["reason"] == "already misclassified", examples["success"] == 1
    assert len(examples) == len(texts) == summary["points"] == 12
    assert summary["adversarial_accuracy"] == pytest.approx((12 - wrong.sum() - found.sum()) / 12)
    assert summary["success_rate"] == pytest.approx(found.sum() / (~wrong).sum())
    assert summary["queries_mean"] == pytest.approx(examples["queries"][~wrong].mean())
    assert (summary["already_wrong"], summary["succeeded"]) == (wrong.sum(), found.sum())
    assert examples["seconds"].sum() == pytest.approx(summary["attack_seconds"])
    assert found.any()
    fitted, dataset = fitted_on_texts(config)
    from pipeline.stages.inputs import label_function

    for row, text in zip(examples.to_dict("records"), texts, strict=True):
        assert text["index"] == row["index"]
        assert text["original"] == dataset.documents("test", [row["index"]])[0]
        if row["success"]:
            assert len(text["changed"]) == row["words_changed"] > 0
            assert label_function(fitted.model, dataset)([text["adversarial"]])[0] != row["label"]
        else:
            assert text["adversarial"] is None
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["attack_notes"]
    assert any("glove" in note for note in facts["data"]["notes"])


def test_the_key_knows_the_score_and_the_synonyms(small, tmp_path):
    first = go(small())["attack"]
    assert go(small()) == {"attack": first, "fit": go(small("attack=none"))["fit"]}
    assert go(small("attack.score=label"))["attack"] != first
    write_neighbours = tmp_path / "text" / "counterfitted_neighbors.json.gz"
    import gzip

    write_neighbours.write_bytes(gzip.compress(json.dumps(dict.fromkeys(GOOD, BAD)).encode()))
    assert go(small())["attack"] != first


def test_an_interrupted_attack_goes_on_to_the_same_numbers(small, tmp_path, monkeypatch):
    from scd import SCDClassifier

    whole = small(f"paths.outputs={tmp_path / 'whole'}")
    expected = pd.read_csv(attack_folder(whole, go(whole)) / "examples.csv").drop(columns="seconds")
    config, proba, calls = small(), SCDClassifier.predict_proba, []

    def interrupted(self, X):
        calls.append(len(X))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return proba(self, X)

    monkeypatch.setattr(SCDClassifier, "predict_proba", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(config)
    got = pd.read_csv(attack_folder(config, go(config)) / "examples.csv").drop(columns="seconds")
    pd.testing.assert_frame_equal(got, expected)


def test_unconfirmed_adversarials_count_as_failed():
    from attacks.text.result import TextResult
    from pipeline.stages.verify import verified_texts

    result = TextResult(
        index=np.arange(3), label=np.array([0, 0, 1]), success=np.array([True, True, False]),
        queries=np.full(3, 5), reason=np.array(["", "", "still classified correctly"]),
        similarity=np.array([0.9, 0.8, np.nan]), words=np.full(3, 2), words_changed=np.array([1, 1, 0]),
        score_before=np.array([0.1, 0.2, 0.9]), score_after=np.array([0.9, 0.8, np.nan]),
        original=[["a", "b"], ["c", "d"], ["e", "f"]], adversarial=[["x", "b"], ["y", "d"], None],
    )  # fmt: skip
    with pytest.warns(UserWarning, match="1 adversarials were not confirmed"):
        checked = verified_texts(result, lambda documents: np.array([text[0] == "x" for text in documents]).astype(int))
    assert checked.success.tolist() == [True, False, False]
    assert checked.reason.tolist() == ["", "not confirmed by a fresh prediction", "still classified correctly"]
    assert checked.adversarial == [["x", "b"], None, None]
    assert checked.words_changed.tolist() == [1, 0, 0]
    assert np.isnan(checked.similarity[1])
    assert np.isnan(checked.score_after[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset=mr", "attack=hsj"], "attack=hsj changes numbers, but dataset=mr holds documents"),
        (
            ["dataset=digits", "attack=textfooler"],
            "attack=textfooler changes words, but dataset=digits holds no documents",
        ),
        (
            ["dataset=digits", "model=wordcnn"],
            "model=wordcnn takes the words of documents, but dataset=digits holds none",
        ),
        (["dataset=mr", "model=lenet", "attack=none"], "model=lenet takes images, but dataset=mr holds documents"),
        (
            ["dataset=imdb", "model=resnet50", "attack=none"],
            "model=resnet50 takes images, but dataset=imdb holds documents",
        ),
        (["dataset=ag", "model=cnn1d", "attack=none"], "model=cnn1d takes signals, but dataset=ag holds documents"),
        (["dataset=mr", "attack=none", "dataset.holds=words"], r"dataset\.holds must be rows or documents"),
    ],
)
def test_what_cannot_go_together_is_refused_before_any_file_is_read(compose_config, words, said):
    from pipeline.errors import UserError

    with pytest.raises(UserError, match=said):  # there are no files
        go(compose_config(*words))


def test_missing_synonyms_are_named_before_any_work(small, tmp_path):
    from pipeline.errors import UserError

    (tmp_path / "text" / "counterfitted_neighbors.json.gz").unlink()
    with pytest.raises(UserError, match=r"attack=textfooler: .*counter-fitted-vectors"):
        go(small())
    assert not (tmp_path / "outputs" / "fits").exists()


def test_text_sets_have_eight_votes_by_default(compose_config):
    for model in ("scd01", "scdce", "scdcebnn", "mlp", "bnn", "rf", "wordcnn"):
        config = compose_config("dataset=mr", f"model={model}", "attack=none")
        assert config["model"]["n_votes"] == 8
    assert compose_config("dataset=imdb", "model=mlp", "attack=none")["model"]["learning_rate"] == 0.1
    assert compose_config("dataset=cifar10", "model=scd01")["model"]["n_votes"] == 100
