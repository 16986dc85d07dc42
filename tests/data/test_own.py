"""A user's own files become a data set: arrays, tables, folders of images; what is wrong is one sentence."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from data import arrays, images, table

RNG = np.random.default_rng(0)
X = RNG.random((40, 3)) * [1, 10, 100]
Y = np.arange(40) % 2
NAMES = np.array(["cat", "dog"])[Y]


def saved(folder, **files):
    """The paths of arrays, saved as .npy."""
    for name, array in files.items():
        np.save(folder / f"{name}.npy", array)
    return [str(folder / f"{name}.npy") for name in files]


def test_arrays_are_split_by_class_and_seed_and_keep_their_values(tmp_path):
    path, labels = saved(tmp_path, X=X, y=NAMES)
    made = arrays.load(path, labels, test_size=0.3)
    assert made.class_names == ("cat", "dog")
    assert made.provenance["counts"] == {"train": [14, 14], "test": [6, 6]}
    assert made.x_train.dtype == np.float32
    both = np.concatenate([made.x_train, made.x_test])
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, X.astype(np.float32).tolist()))
    assert made.clip == (both.min(), both.max())
    assert made.checksum == arrays.load(path, labels, test_size=0.3).checksum
    assert made.checksum != arrays.load(path, labels, test_size=0.3, split_seed=1).checksum


def test_changed_values_are_another_data_set(tmp_path):
    path, labels = saved(tmp_path, X=X, y=Y)
    before = arrays.load(path, labels)
    saved(tmp_path, X=X * 1.001)
    assert arrays.load(path, labels).checksum != before.checksum


def test_a_given_split_is_kept(tmp_path):
    np.savez(tmp_path / "all.npz", X_train=X[:30], y_train=Y[:30], X_test=X[30:], y_test=Y[30:])
    made = arrays.load(str(tmp_path / "all.npz"))
    np.testing.assert_array_equal(made.x_test, X[30:].astype(np.float32))
    np.testing.assert_array_equal(made.y_train, Y[:30])
    assert made.provenance["split"] == "given"
    path, labels, test, test_labels = saved(tmp_path, X=X[:30], y=Y[:30], Xt=X[30:], yt=Y[30:])
    assert arrays.load(path, labels, test_path=test, test_labels=test_labels).checksum == made.checksum


def test_all_classes_are_taken_unless_some_are_named(tmp_path):
    many = np.arange(40) % 4
    path, labels = saved(tmp_path, X=X, y=np.array(["d", "b", "a", "c"])[many])
    made = arrays.load(path, labels, test_size=0.5)
    assert made.class_names == ("a", "b", "c", "d")
    assert made.provenance["counts"] == {"train": [5] * 4, "test": [5] * 4}
    some = arrays.load(path, labels, classes=["c", "a", "d"])
    assert some.class_names == ("c", "a", "d")
    own = {tuple(row) for row in X[many == 2].astype(np.float32).tolist()}
    assert {tuple(row) for row in some.x_train[some.y_train == 1].tolist()} <= own
    assert some.provenance["notes"] == ["only the classes c, a and d; left out: b"]


def test_a_pair_of_many_classes_is_named(tmp_path):
    many = np.arange(40) % 4
    np.savez(tmp_path / "all.npz", x=X, y=many.astype(np.float64)[:, None])
    made = arrays.load(str(tmp_path / "all.npz"), classes=[3, 1])
    assert made.class_names == ("3", "1")
    ones = {tuple(row) for row in X[many == 1].astype(np.float32).tolist()}
    assert {tuple(row) for row in made.x_train[made.y_train == 1].tolist()} <= ones
    assert made.provenance["notes"] == ["only the classes 3 and 1; left out: 0, 2"]


def test_bounds_are_those_of_the_data_of_each_feature_or_given(tmp_path):
    path, labels = saved(tmp_path, X=X, y=Y)
    low, high = arrays.load(path, labels, clip="features").clip
    np.testing.assert_array_equal(low, X.astype(np.float32).min(axis=0))
    np.testing.assert_array_equal(high, X.astype(np.float32).max(axis=0))
    assert arrays.load(path, labels, clip=[0, 200]).clip == (0.0, 200.0)
    assert arrays.load(path, labels, clip=[[0, 1], [0, 20], [-1, 200]]).clip == ((0, 0, -1), (1, 20, 200))
    for clip, sentence in (
        ([0, 5], r"within clip \(0\.0, 5\.0\)"),
        ([[0, 1], [0, 20], [0, 2]], r"feature 2 must be within clip \[0, 2\]"),
        ([[0, 1]], "two bounds for each of 3 features"),
        ("box", "data, features, "),
    ):
        with pytest.raises(ValueError, match=sentence):
            arrays.load(path, labels, clip=clip)


def test_scaling_is_fitted_on_the_training_samples_and_recorded(tmp_path):
    path, labels = saved(tmp_path, X=X, y=Y)
    made = arrays.load(path, labels, scaling="minmax")
    np.testing.assert_allclose([made.x_train.min(axis=0), made.x_train.max(axis=0)], [[0] * 3, [1] * 3], atol=1e-6)
    made = arrays.load(path, labels, scaling="standard")
    np.testing.assert_allclose(made.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(made.x_train.std(axis=0), 1, atol=1e-5)
    assert made.provenance["scaling"] == "standard"
    pixels, labels = saved(tmp_path, P=RNG.integers(0, 256, (40, 4, 5, 3)), y=Y)
    made = arrays.load(pixels, labels, scaling="pixels", channels_last=True)
    assert (made.x_train.dtype, made.feature_shape, made.clip) == (np.uint8, (3, 4, 5), (0.0, 1.0))
    with pytest.raises(ValueError, match=r"whole numbers in 0\.\.255"):
        arrays.load(*saved(tmp_path, X=X, y=Y), scaling="pixels")


def test_whole_numbers_keep_their_values(tmp_path):
    path, labels = saved(tmp_path, X=np.arange(80, dtype=np.uint8).reshape(40, 2), y=Y)
    made = arrays.load(path, labels)
    assert (made.x_train.dtype, made.clip) == (np.float32, (0.0, 79.0))


@pytest.mark.parametrize(
    ("x", "y", "more", "sentence"),
    [
        (
            X,
            NAMES,
            {"classes": ["cat", "cow"]},
            r"of the classes cat, dog, or null for all; there is no class 'cow'",
        ),
        (X, np.zeros(40, int), {}, r"one class only \(0\)"),
        (X, Y[:-1], {}, "a label a sample, got 40 and 39"),
        (X[:, 0], Y, {}, r"got shape \(40,\)"),
        (X.astype(complex), Y, {}, "must be numbers, got an array of complex128"),
        (np.where(X[3, 1] == X, np.nan, X), Y, {}, "NaN or infinity in 1 of them, the first is sample 3"),
        (X, Y + 0.5, {}, "names or whole numbers, got 0.5"),
        (X, Y, {"test_size": 1.0}, r"test_size of arrays must be a fraction between 0 and 1, got 1\.0"),
        (X, Y, {"scaling": "log"}, "dataset.scaling of arrays must be none, pixels, minmax or standard, got 'log'"),
        (X, Y, {"channels_last": True}, "channels_last needs samples of shape"),
        (X, Y, {"test_labels": "y.npy"}, "test_labels needs dataset.test_path"),
    ],
)
def test_bad_arrays_are_one_sentence(tmp_path, x, y, more, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        arrays.load(*saved(tmp_path, X=x, y=y), **more)
    assert "\n" not in str(caught.value)


def test_bad_files_are_one_sentence(tmp_path):
    path, _ = saved(tmp_path, X=X, y=Y)
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "other.npz", a=X)
    (tmp_path / "text.npy").write_text("no array")
    for given, sentence in (
        ((None, None), r"dataset\.path of arrays must be the path of a file, got None"),
        ((path, None), r"dataset\.labels of arrays must be the path of the labels"),
        ((str(tmp_path / "objects.npy"), path), "it holds Python objects; save it again as .astype"),
        ((str(tmp_path / "text.npy"), path), "cannot be read"),
        ((str(tmp_path / "other.npz"), None), "must hold the arrays x and y, or .* got a"),
    ):
        with pytest.raises(ValueError, match=sentence):
            arrays.load(*given)
    with pytest.raises(FileNotFoundError, match=r"dataset\.path=.*nothing\.npy does not exist"):
        arrays.load(str(tmp_path / "nothing.npy"), path)


@pytest.fixture
def wine(tmp_path):
    """A table with two numeric columns, a text and a label."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": (X[:, 2] * 10).astype(int), "label": NAMES})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return frame


def test_a_table_gives_its_numeric_columns(wine, tmp_path):
    made = table.load(str(tmp_path / "t.csv"), "label")
    assert made.provenance["features"] == ["a", "b"]
    assert (made.feature_shape, made.class_names) == ((2,), ("cat", "dog"))
    np.testing.assert_array_equal(made.clip, [wine[["a", "b"]].min().astype("f4"), wine[["a", "b"]].max().astype("f4")])
    only = table.load(str(tmp_path / "t.csv"), "label", columns=["b"])
    np.testing.assert_array_equal(only.x_train[:, 0], made.x_train[:, 1])


def test_a_table_may_say_its_split(wine, tmp_path):
    wine.assign(part=np.where(np.arange(40) < 30, "train", "test")).to_csv(tmp_path / "s.tsv", index=False, sep="\t")
    made = table.load(str(tmp_path / "s.tsv"), "label", split="part")
    np.testing.assert_allclose(made.x_test[:, 0], X[30:, 0], rtol=1e-6)
    wine[:30].to_csv(tmp_path / "train.csv", index=False)
    wine[30:][["label", "b", "a"]].to_csv(tmp_path / "test.csv", index=False)
    both = table.load(str(tmp_path / "train.csv"), "label", test_path=str(tmp_path / "test.csv"))
    assert both.checksum == made.checksum


def test_a_parquet_table_is_the_csv_table(wine, tmp_path):
    pytest.importorskip("pyarrow", exc_type=ImportError)
    wine.to_parquet(tmp_path / "t.parquet", engine="pyarrow")
    from_csv = table.load(str(tmp_path / "t.csv"), "label")
    assert table.load(str(tmp_path / "t.parquet"), "label").checksum == from_csv.checksum
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"The table .*t\.parquet cannot be read: "):
        table.load(str(tmp_path / "t.parquet"), "label")


@pytest.mark.parametrize(("numpy", "wanted"), [("1.26.4", "'pyarrow<26'"), ("2.4.0", "pyarrow")])
def test_a_parquet_table_without_pyarrow_says_what_to_install(wine, tmp_path, monkeypatch, numpy, wanted):
    (tmp_path / "t.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(np, "__version__", numpy)
    with pytest.raises(ValueError, match=rf"t\.parquet needs pyarrow; run: pip install {wanted} \(.*pyarrow"):
        table.load(str(tmp_path / "t.parquet"), "label")


def test_bad_tables_are_one_sentence(wine, tmp_path):
    path = str(tmp_path / "t.csv")
    wine.assign(c="text").to_csv(tmp_path / "text.csv", index=False)
    wine.assign(a=wine["a"].where(wine.index != 5)).to_csv(tmp_path / "gap.csv", index=False)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "nameless.csv").write_text("1.5,-2e-3\n1,2\n")
    for given, more, sentence in (
        ((path, "lable"), {}, r"must be a column of .*: a, b, label\. Got 'lable'"),
        ((path, None), {}, "dataset.target of table must be a column"),
        ((str(tmp_path / "nameless.csv"), "label"), {}, "Its first line must have the names of the columns"),
        ((path, "label"), {"columns": ["a", "z"]}, r"columns a, b, label; there is no feature 'z'"),
        ((path, "label"), {"split": "part"}, r"dataset\.split of table must be one of the columns"),
        ((path, "label"), {"split": "b"}, "must say train or test"),
        ((str(tmp_path / "text.csv"), "label"), {}, "columns of numbers, but not numeric: c"),
        ((str(tmp_path / "gap.csv"), "label"), {}, "'a' of .* has 1 missing values, the first in row 5"),
        ((str(tmp_path / "empty.csv"), "label"), {}, "cannot be read: No columns"),
    ):
        with pytest.raises(ValueError, match=sentence) as caught:
            table.load(*given, **more)
        assert "\n" not in str(caught.value)


@pytest.fixture
def photos(tmp_path):
    """Folders of small images: 6 of each of three classes, 7×5 pixels."""
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "cow", "dog"):
        (tmp_path / name).mkdir()
        for i in range(6):
            pixels = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
            image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_folders_are_classes(photos):
    made = images.load(str(photos), classes=["dog", "cat"], test_size=0.5)
    assert (made.class_names, made.feature_shape, made.x_train.dtype) == (("dog", "cat"), (3, 7, 5), np.uint8)
    assert made.provenance["counts"] == {"train": [3, 3], "test": [3, 3]}
    assert images.load(str(photos), classes=["dog", "cat"], size=8, grey=True).feature_shape == (1, 8, 8)
    assert images.load(str(photos)).class_names == ("cat", "cow", "dog")


def test_folders_of_splits_are_kept(photos):
    for split, names in (("train", ("cat", "dog")), ("val", ("cow",))):
        (photos / split).mkdir()
        for name in names:
            (photos / name).rename(photos / split / name)
    with pytest.raises(FileNotFoundError, match="cow does not exist"):
        images.load(str(photos))
    (photos / "val" / "cow").rename(photos / "val" / "cat")
    with pytest.raises(FileNotFoundError, match="dog does not exist"):
        images.load(str(photos))
    (photos / "train" / "dog" / "0.png").rename(photos / "0.png")
    (photos / "val" / "dog").mkdir()
    (photos / "0.png").rename(photos / "val" / "dog" / "0.png")
    made = images.load(str(photos))
    assert made.provenance["counts"] == {"train": [6, 5], "test": [6, 1]}


def test_bad_folders_are_one_sentence(photos):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (4, 4)).save(photos / "cat" / "small.png")
    with pytest.raises(ValueError, match=r"must have one size, but .* 5×7 pixels and .*small\.png has 4×4"):
        images.load(str(photos), classes=["cat", "dog"])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        images.load(str(photos / "none"))
    with pytest.raises(ValueError, match="must be a folder with a folder for each class, got None"):
        images.load(None)
