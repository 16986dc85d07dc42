"""Transfer within an ensemble: known geometries give known probabilities, and the counts are those of brute force."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attacks import HopSkipJump
from attacks.oracle import rows_within
from attacks.result import AttackResult
from attacks.transfer import Transfer, mean_interval
from tests.attacks.half_space import same_result

QUICK = {"max_iter": 4, "init_eval": 20}
D = 8


class Planes:
    """Member j says 1 beyond a hyperplane of normal `normals[j]`, `distances[j]` from the middle of the box.

    A member of negative distance misclassifies the middle; one of infinite distance classifies everything correctly.
    """

    def __init__(self, normals, distances):
        self.normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        self.distances = np.array(distances)
        self.calls, self.most, self.rows = 0, 0, 0

    def __call__(self, rows, members):
        assert len(rows) == len(members)
        assert 0 <= rows.min() <= rows.max() <= 1
        self.calls, self.most, self.rows = self.calls + 1, max(self.most, len(rows)), self.rows + len(rows)
        depth = ((rows.astype(np.float64) - 0.5) * self.normals[members]).sum(axis=1)
        return (depth > self.distances[members]).astype(np.int64)


def parallel(*distances):
    return Planes(np.tile(np.linspace(1, 2, D), (len(distances), 1)), distances)


def skewed(*distances):
    """Members in random directions that have much in common."""
    return Planes(np.random.default_rng(0).standard_normal((len(distances), D)) + 2.0, distances)


def middle(n=1, spread=0.0, seed=0):
    return (0.5 + np.random.default_rng(seed).uniform(-spread, spread, (n, D))).astype(np.float32)


def run(model, x, y=None, **options):
    y = np.zeros(len(x), int) if y is None else y
    call = {k: options.pop(k) for k in ("index", "state") if k in options}
    return Transfer(**{**QUICK, **options})(model, x, y, n_members=len(model.distances), **call)


def figure(result, name="p_main"):
    table = result.tables["transfer"]
    return dict(zip(table["overshoot"].tolist(), table[name].tolist(), strict=True))


def test_identical_members_are_all_fooled():
    result = run(parallel(0.1, 0.1, 0.1, 0.1), middle(3, spread=0.02))
    assert figure(result) == {0.0: 1.0, 0.05: 1.0, 0.2: 1.0}
    assert figure(result, "p_paper_literal") == {0.0: 1.0, 0.05: 1.0, 0.2: 1.0}
    assert figure(result, "p_main_low") == figure(result, "p_main_high") == figure(result)


def test_members_of_different_features_fool_no_other():
    result = run(Planes(np.eye(D)[:4], [0.1] * 4), middle(2, spread=0.02), max_iter=12, init_eval=50)
    assert figure(result) == {0.0: 0.0, 0.05: 0.0, 0.2: 0.0}


def test_parallel_boundaries_give_the_fraction_of_pairs_that_the_overshoot_reaches():
    """Scaled by 1 + s, the adversarial at depth t_i lies beyond exactly the boundaries t_j < (1 + s) t_i."""
    distances = np.array([0.10, 0.11, 0.13])
    result = run(parallel(*distances), middle(), overshoots=[0.0, 0.05, 0.2, 0.35])
    reached = {
        s: np.mean([t < (1 + s) * u for i, u in enumerate(distances) for j, t in enumerate(distances) if i != j])
        for s in (0.0, 0.05, 0.2, 0.35)
    }
    assert reached == {0.0: 3 / 6, 0.05: 3 / 6, 0.2: 5 / 6, 0.35: 1.0}
    assert figure(result) == pytest.approx(reached)
    assert figure(result, "p_paper_literal") == pytest.approx(reached)
    assert (result.tables["pairs"]["self_fooled_0.2"] == 1).all()


def test_members_that_misclassify_the_point_count_in_the_literal_figure_only():
    right, wrong = parallel(0.10, 0.11, 0.13), parallel(0.10, 0.11, 0.13, -0.3, -0.3)
    alone, both = run(right, middle()), run(wrong, middle())
    assert figure(both) == figure(alone)
    # k_i: what the three fool of each other (3 pairs) and the two wrong ones (3 x 2); each wrong one the other (2)
    assert figure(both, "p_paper_literal")[0.0] == pytest.approx((3 + 6 + 2) / (5 * 4))
    pairs = both.tables["pairs"]
    assert pairs["reason"].tolist() == ["", "", "", "already misclassified", "already misclassified"]
    assert pairs["queries"][3:].tolist() == [1, 1]
    assert np.isnan(pairs["others_fooled_0.0"][3:]).all()
    assert both.extra["members_right"].tolist() == [3]


def test_counts_and_adversarials_are_those_of_one_attack_after_the_other():
    """Brute force: HopSkipJump alone on each member, then every member is queried at every adversarial."""
    model, x, index = skewed(0.08, 0.1, -0.1, 0.12, np.inf), middle(3, spread=0.05), [7, 3, 11]
    m, overshoots = len(model.distances), (0.0, 0.2)
    result = run(model, x, index=index, overshoots=overshoots, init_size=20)
    pairs = pd.DataFrame(result.tables["pairs"]).set_index(["index", "member"])
    main, literal = [], []
    for point, number in zip(x, index, strict=True):
        clean = np.array([model(point[None], np.array([j]))[0] for j in range(m)])
        hits, most, k = np.zeros(2), 0, np.zeros(2)
        for i in range(m):

            def alone(rows, i=i):
                return model(rows, np.full(len(rows), i))

            hsj = HopSkipJump(restarts=1, init_size=20, **QUICK)(alone, point[None], [0], index=[number * 2**20 + i])
            assert pairs.loc[(number, i), "reason"] == hsj.reason[0]
            assert pairs.loc[(number, i), "queries"] == hsj.queries[0]
            np.testing.assert_equal(pairs.loc[(number, i), "l2"], hsj.l2[0])
            if hsj.reason[0] == "no adversarial start":
                continue
            for s, overshoot in enumerate(overshoots):
                end = point if clean[i] else hsj.adversarials[0]
                moved = np.clip(end + np.float32(overshoot) * (end - point), 0, 1)[None]
                for j in set(range(m)) - {i}:
                    wrong = model(moved, np.array([j]))[0] == 1
                    k[s] += wrong
                    hits[s] += wrong and not clean[j] and not clean[i]
            most += 0 if clean[i] else (clean == 0).sum() - 1
        main.append(hits / most)
        literal.append(k / (m * (m - 1)))
    assert np.mean(main) > 0
    for s, overshoot in enumerate(overshoots):
        np.testing.assert_allclose(result.extra[f"transfer_{overshoot}"], np.array(main)[:, s])
        np.testing.assert_allclose(result.extra[f"literal_{overshoot}"], np.array(literal)[:, s])
        assert figure(result)[overshoot] == pytest.approx(np.mean(main, axis=0)[s])
        assert figure(result, "p_paper_literal")[overshoot] == pytest.approx(np.mean(literal, axis=0)[s])


def test_a_point_is_a_success_by_the_member_that_is_fooled_nearest_to_it():
    model, x = skewed(0.12, -0.1, 0.08, np.inf), middle(2, spread=0.02)
    result = run(model, x, init_size=20)
    pairs = pd.DataFrame(result.tables["pairs"])
    for i in range(2):
        of_run = pairs[pairs["index"] == i]
        assert result.l2[i] == of_run["l2"].min()
        assert result.restart[i] == of_run.set_index("member")["l2"].idxmin()
        assert result.extra["l2_mean"][i] == pytest.approx(of_run["l2"].mean())
        assert result.extra["members_fooled"][i] == of_run["success"].sum() == 2
        assert result.queries[i] == of_run["queries"].sum()
    assert (model(result.adversarials, result.restart) == 1).all()
    np.testing.assert_allclose(np.linalg.norm(result.adversarials - x, axis=1), result.l2, rtol=1e-5)
    assert set(result.trace["restart"]) == {0, 2}
    assert set(result.trace["index"]) == {0, 1}


def test_points_without_a_correct_member_or_a_start_have_no_probability():
    model = parallel(0.1, np.inf)
    result = run(model, middle(2), y=np.array([0, 1]), init_size=20)
    assert result.reason.tolist() == ["", "already misclassified"]
    assert result.extra["transfer_0.0"].tolist()[0] == 0  # of the one other member that is right, none is fooled
    assert np.isnan(result.extra["transfer_0.0"][1])
    assert result.tables["transfer"]["points"].tolist() == [1, 1, 1]
    none = run(parallel(np.inf, np.inf), middle(), init_size=20)
    assert none.reason.tolist() == ["no adversarial start"]
    assert np.isnan(none.tables["transfer"]["p_main"]).all()
    assert none.tables["transfer"]["p_paper_literal"].tolist() == [0, 0, 0]


def test_a_pair_does_not_depend_on_the_others_or_on_the_memory():
    x = middle(3, spread=0.05)
    whole = pd.DataFrame(run(skewed(0.08, 0.1, 0.12, 0.09), x).tables["pairs"])
    model, budget = skewed(0.08, 0.1, 0.12, 0.09), 16 * D * 7
    part = run(model, x[[2, 0]], index=[2, 0], members=2, memory_budget=budget)
    both = pd.DataFrame(part.tables["pairs"]).merge(whole)  # on all columns
    assert len(both) == len(part.tables["pairs"]["index"]) == 4
    assert model.most <= rows_within(budget, D) == 7


@pytest.mark.parametrize("after", [0, 2, 30, 80, -20, -1])
def test_resumed_after_an_interrupt_equals_uninterrupted(tmp_path, after):
    x, members = middle(2, spread=0.05), (0.08, 0.1, -0.1)
    model = skewed(*members)
    whole = run(model, x)
    after, queried = after % model.calls, []

    class Interrupting(Planes):
        def __call__(self, rows, members):
            if self.calls == after:
                raise KeyboardInterrupt
            queried.append(len(rows))
            return super().__call__(rows, members)

    first = Interrupting(model.normals, model.distances)
    with pytest.raises(KeyboardInterrupt):
        run(first, x, state=tmp_path / "state.npz")
    rest = skewed(*members)
    assert same_result(whole, run(rest, x, state=tmp_path / "state.npz"))
    measured = 3 * 2 + 3 * 3 * 6  # all members at the points, and at every overshoot of 6 pairs: not kept
    looks = 2 * 8 * 6  # both calls look whether it is the model of the state
    assert model.rows <= sum(queried) + rest.rows <= model.rows + measured + looks
    never = Planes(model.normals, model.distances)
    assert same_result(whole, run(never, x, state=tmp_path / "state.npz"))
    assert never.rows == 8 * 6


def test_a_state_of_another_ensemble_is_refused(tmp_path):
    run(parallel(0.1, 0.1), middle(), state=tmp_path / "state.npz")
    with pytest.raises(ValueError, match="belongs to an attack with other parameters"):
        run(parallel(0.1, 0.1, 0.1), middle(), members=2, state=tmp_path / "state.npz")


def test_the_record_with_its_tables_goes_through_a_file(tmp_path):
    result = run(parallel(0.1, 0.12), middle(2))
    np.savez(tmp_path / "result.npz", **result.to_arrays())
    with np.load(tmp_path / "result.npz", allow_pickle=False) as file:
        again = AttackResult.from_arrays(dict(file))
    assert same_result(result, again)
    assert {name: list(columns) for name, columns in again.tables.items()} == {
        name: list(columns) for name, columns in result.tables.items()
    }


def test_the_interval_covers_the_mean_and_leaves_out_what_is_missing():
    values = np.random.default_rng(0).uniform(0, 1, 50)
    mean, low, high = mean_interval(np.append(values, np.nan))
    assert mean == pytest.approx(values.mean())
    # the bootstrap's standard error of a mean is that of the sample; 1.96 of them each side
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 50**0.5, rel=0.05)
    np.testing.assert_equal(mean_interval(np.array([0.3, np.nan])), (0.3, np.nan, np.nan))
    np.testing.assert_equal(mean_interval(np.array([np.nan])), (np.nan, np.nan, np.nan))


def test_in_the_pipeline_members_are_queried_and_the_tables_are_stored(compose_config):
    from pipeline.errors import UserError
    from pipeline.experiment import run as run_experiment

    words = ("model.n_votes=3", "model.n_iter=5", "points.count=2", "attack=transfer", "attack.max_iter=1")
    config = compose_config(*words)
    folder = Path(config["paths"]["outputs"]) / "attacks" / run_experiment(config)["attack"]
    pairs, examples = pd.read_csv(folder / "pairs.csv"), pd.read_csv(folder / "examples.csv")
    assert len(pairs) == 6
    assert examples["queries"].tolist() == pairs.groupby("index")["queries"].sum().tolist()
    assert examples["l2"].tolist() == pytest.approx(pairs.groupby("index")["l2"].min().tolist())
    assert pd.read_csv(folder / "transfer.csv")["p_main"].between(0, 1).all()
    assert {"transfer.csv", "pairs.csv"} <= set(pd.read_json(folder / "done.json").index)
    with pytest.raises(UserError, match=r"needs an ensemble of two votes or more: .* Got 1\."):
        run_experiment(compose_config("model.use_votes=1", *words))


@pytest.mark.parametrize("search", ["hsj", "smoothed_boundary"])
def test_no_pair_has_more_queries_than_its_budget(search):
    model, n = skewed(0.1, 0.12, 0.14), 3
    result = run(model, middle(n, spread=0.02), max_iter=30, search=search, query_budget=300)
    queries = result.tables["pairs"]["queries"]
    assert queries.shape == (3 * n,)
    assert 250 < queries.min() <= queries.max() <= 300


def test_the_smoothed_boundary_attack_comes_as_close_to_a_member_as_when_it_attacks_the_member_alone():
    x, distances = middle(4, spread=0.02), (0.1, 0.2)
    model = skewed(*distances)
    result = run(model, x, max_iter=140, search="smoothed_boundary", query_budget=3000)
    pairs = result.tables["pairs"]
    depth = ((x.astype(np.float64) - 0.5)[:, None] * model.normals).sum(axis=2)
    exact = (model.distances - depth).ravel()  # (point, member), as the pairs
    assert pairs["success"].all()
    np.testing.assert_allclose(pairs["l2"], exact, rtol=0.02)
    assert (pairs["l2"] > exact * (1 - 1e-6)).all()


def test_an_interrupted_search_of_members_continues_to_the_same_result(tmp_path):
    x, options = middle(2, spread=0.02), {"max_iter": 20, "search": "smoothed_boundary", "query_budget": 600}
    whole = run(skewed(0.1, 0.2), x, **options)

    class Interrupted(Planes):
        def __call__(self, rows, members):
            if self.rows > 1200:
                raise KeyboardInterrupt
            return super().__call__(rows, members)

    model = skewed(0.1, 0.2)
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(model.normals, model.distances), x, state=tmp_path / "s", **options)
    assert (tmp_path / "s").exists()
    same_result(run(model, x, state=tmp_path / "s", **options), whole)
    assert model.rows < sum(whole.tables["pairs"]["queries"])


def test_another_search_does_not_continue_a_state(tmp_path):
    x = middle(2, spread=0.02)
    run(skewed(0.1, 0.2), x, state=tmp_path / "s", search="smoothed_boundary", query_budget=600)
    with pytest.raises(ValueError, match="state"):
        run(skewed(0.1, 0.2), x, state=tmp_path / "s", query_budget=600)


def test_an_unknown_search_is_refused():
    with pytest.raises(ValueError, match=r"search.*hsj.*smoothed_boundary"):
        Transfer(search="boundary")
