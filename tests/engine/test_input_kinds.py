"""Containers and types that users bring: each is what it says it is, or refused in a sentence."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from cleanlab.filter import find_label_issues
from dense_reference import blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from lsi_engine import InputError, score, score_groups, score_objective, score_pairs
from lsi_engine.inputs import check_features, check_groups, check_samples, encode_labels, numeric_targets

PROBLEM = blobs(9, 60, 5, 3)
X, Y = PROBLEM.features, PROBLEM.labels
NAMES = [f"patient {row}" for row in range(60)][::-1]


@pytest.fixture(scope="module")
def expected():
    return score(X, Y)


def _nullable(missing: bool = False) -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=list("abcde")).astype("Float64")
    if missing:
        frame.loc[7, "c"] = pd.NA
    return frame


@pytest.mark.parametrize(
    "features",
    [
        scipy.sparse.csr_matrix(X),
        scipy.sparse.coo_array(X),
        torch.from_numpy(X).to_sparse(),
        torch.from_numpy(X).to_sparse_csr(),
        _nullable(),
        pd.DataFrame(X).astype({0: "Float64"}),
        pd.DataFrame(X).astype("float64[pyarrow]"),
        X.astype(">f8"),
        X.astype(np.longdouble),
        X.astype(object),
        np.ma.masked_array(X, mask=False),
    ],
    ids=[
        "csr", "coo", "torch sparse", "torch csr", "nullable", "partly nullable", "arrow", "big-endian", "longdouble",
        "objects", "unmasked",
    ],
)  # fmt: skip
def test_features_of_any_container_score_the_same(features, expected):
    np.testing.assert_allclose(score(features, Y).lsi, expected.lsi, rtol=1e-10)


def _masked() -> np.ma.MaskedArray:
    mask = np.zeros(X.shape, bool)
    mask[11, 2] = True
    return np.ma.masked_array(X, mask)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (_masked(), "row 11 holds a masked value"),
        (_nullable(missing=True), "row 7 holds NaN"),
        (np.where(np.arange(60)[:, None] == 9, np.longdouble("1e4000"), X), "row 9 holds NaN or infinity"),
        (pd.DataFrame(X).assign(site=["a"] * 60), "column 'site' is (str|object)"),
        (pd.DataFrame(X).assign(day=pd.Timestamp("2020-01-01")), "column 'day' is datetime"),
        (np.where(np.arange(60)[:, None] == 9, "1.5", X.astype(object)), "row 9 holds '1.5'"),
        ([[1.0, 2.0], [3.0]], "rows differ in length"),
        (torch.zeros(60, 5, dtype=torch.complex64), "must be numbers, not torch.complex64"),
    ],
    ids=["masked", "NA", "longdouble", "text column", "dates", "text", "ragged", "complex"],
)
def test_features_that_are_not_whole_are_named(features, message):
    with pytest.raises(InputError, match=message):
        score(features, Y)


def test_sparse_features_that_do_not_fit_are_refused_before_they_are_unpacked():
    with pytest.raises(InputError, match=r"sparse, 100,000,000 × 1,000,000: about .* TruncatedSVD"):
        check_features(scipy.sparse.coo_array((10**8, 10**6)))


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", ">i8", "u8"])
def test_wide_integers_keep_what_single_precision_rounds(dtype):
    values = np.array([[2**31 - 1, 2**24 + 1], [2**31 - 2, 2**24]], dtype)
    checked = check_features(values)
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, values.astype(np.float64))
    if not dtype.startswith((">", "u")):
        assert torch.equal(check_features(torch.from_numpy(values)), torch.from_numpy(checked))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (torch.from_numpy(Y).to(torch.bfloat16), [0, 1, 2]),
        (Y.astype(">i4"), [0, 1, 2]),
        (Y.astype(np.longdouble), [0, 1, 2]),
        (Y.astype(object), [0, 1, 2]),
        (pd.Series(Y, dtype="Float64"), [0, 1, 2]),
        (pd.Series(Y, dtype="int64[pyarrow]"), [0, 1, 2]),
        (pd.Series(Y).astype(object).astype("category"), [0, 1, 2]),
        ([10**18 + int(label) for label in Y], [10**18, 10**18 + 1, 10**18 + 2]),
        ([float(y) if row % 2 else int(y) for row, y in enumerate(Y)], [0, 1, 2]),
        (np.ma.masked_array(Y, mask=False), [0, 1, 2]),
        (np.array([b"ant", b"bee", b"cat"])[Y], ["ant", "bee", "cat"]),
        (pd.cut(pd.Series(Y), [-1, 0, 1, 2]), ["(-1, 0]", "(0, 1]", "(1, 2]"]),
    ],
    ids=[
        "bfloat16", "big-endian", "longdouble", "objects", "nullable", "arrow", "category of objects", "large",
        "mixed numbers", "unmasked", "bytes", "intervals",
    ],
)  # fmt: skip
def test_labels_of_any_container_keep_their_classes(labels, classes):
    codes, known = encode_labels(labels, 60)
    assert known == classes
    assert [type(each) for each in known] == [type(each) for each in classes]
    np.testing.assert_array_equal(codes, Y)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(Y == 1, 1e20, 2e20), "row 0 is [12]e.20, too large"),
        ([10**20 * (1 + int(label)) for label in Y], "row 0 is [123]0{20}, too large"),
        (np.where(Y == 1, np.uint64(2**63), np.uint64(2**63 + 1)), "too large"),
        ([1, "1"] * 30, "mix numbers and text: row 0 is 1, row 1 is '1'"),
        ([True, 1] * 30, "mix truth values and numbers"),
        (np.ma.masked_array(Y, mask=np.arange(60) == 13), "row 13 is missing"),
        (pd.Series(Y, dtype="Int64").where(np.arange(60) != 13), "row 13 is missing"),
        ([(1, 2), (3, 4)] * 30, "row 0 is of type tuple"),
        ([date(2020, 1, 1), date(2021, 1, 1)] * 30, "row 0 is of type date"),
        ([Decimal("1.5"), "a"] * 30, "row 0 is of type Decimal"),
        ([0, 0.5, 1] * 20, "row 1 is 0.5"),
        (np.array([1j, 2j] * 30), "type complex|labels are complex"),
    ],
)  # fmt: skip
def test_labels_that_would_merge_or_turn_into_text_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        encode_labels(labels, 60)


PLAIN = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=20),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6), min_size=2, max_size=20),
    st.lists(st.booleans(), min_size=2, max_size=20),
    st.lists(st.integers(-(2**53) + 1, 2**53 - 1).map(float), min_size=2, max_size=20),
)


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_whatever_is_accepted_comes_back_as_it_was(labels):
    if len(set(labels)) < 2:
        return
    for container in (list, lambda values: np.array(values, dtype=object), pd.Series):
        codes, classes = encode_labels(container(labels), len(labels))
        assert [classes[code] for code in codes] == labels
        assert classes == sorted(set(labels))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(), st.text(max_size=3), st.tuples(st.integers(0, 2), st.text(max_size=1)))))
def test_groups_are_equal_where_python_says_so(values):
    codes, names = check_groups(values, len(values))
    assert [names[code] for code in codes] == values
    assert len(names) == len(set(values))


def test_groups_of_tuples_and_of_mixed_types_are_scored():
    sites = [("rome", row % 3) for row in range(60)]
    table = score_groups(X, Y, sites)
    same = score_groups(X, Y, [f"rome {row % 3}" for row in range(60)])
    assert table.names == [("rome", 0), ("rome", 1), ("rome", 2)]
    np.testing.assert_array_equal(table.lsi_mean_shift, same.lsi_mean_shift)
    assert table.to_frame()["group"].tolist() == table.names
    assert score_groups(X, Y, [1, "1", 2] * 20).names == [1, "1", 2]
    with pytest.raises(InputError, match="group of row 4 is missing"):
        score_groups(X, Y, np.ma.masked_array(Y, mask=np.arange(60) == 4))
    with pytest.raises(InputError, match="hashable"):
        score_groups(X, Y, [["a"], ["b"]] * 30)
    with pytest.raises(InputError, match="60 samples but 59 groups"):
        score_groups(X, Y, Y[1:])
    with pytest.raises(InputError, match="one group for each"):
        score_groups(X, Y, X)


def test_a_mask_of_samples_means_its_rows(expected):
    mask = Y == 1
    for given_mask in (mask, mask.tolist(), torch.from_numpy(mask), pd.Series(mask)):
        np.testing.assert_array_equal(check_samples(given_mask, 60), np.flatnonzero(mask))
    table = score(X, Y, samples=mask)
    np.testing.assert_array_equal(table.index, np.flatnonzero(mask))
    np.testing.assert_allclose(table.lsi, expected.lsi[mask], rtol=1e-10)
    pairs = score_pairs(X[:12], X[:12, :3], samples=np.arange(12) < 2, epochs=2, start="initial")
    np.testing.assert_array_equal(pairs.index, [0, 1])
    for wrong, message in [
        (mask[:-1], "mask of 59 rows"),
        (np.zeros(60, bool), "at least one"),
        ([0.5], "row numbers"),
    ]:
        with pytest.raises(InputError, match=message):
            score(X, Y, samples=wrong)


def test_the_pandas_index_is_kept(expected):
    frame, labels = pd.DataFrame(X, index=pd.Index(NAMES, name="who")), pd.Series(Y, index=NAMES)
    for features, given_labels in [(frame, labels), (frame, Y), (X, labels), (frame, pd.Series(Y))]:
        scored = score(features, given_labels).to_frame()
        assert scored.index.tolist() == NAMES
        np.testing.assert_allclose(scored["lsi"], expected.lsi, rtol=1e-12)
    assert score(frame, Y, samples=[5, 2]).to_frame().index.tolist() == [NAMES[5], NAMES[2]]
    assert score(frame, Y).to_frame().index.name == "who"
    plain = expected.to_frame().index
    assert (plain.name, plain.tolist()) == ("sample", list(range(60)))
    for other in (labels[::-1], labels.rename(lambda name: name.upper())):
        with pytest.raises(InputError, match="different indices: row 0 is 'patient 59'"):
            score(frame, other)


@pytest.mark.parametrize("frame", [np.float64, "Float64"])
def test_targets_keep_what_is_missing(frame):
    targets = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]}).astype(frame)
    np.testing.assert_array_equal(numeric_targets(targets, 60), X[:, :2])
    targets.loc[3, "b"] = pd.NA if frame == "Float64" else np.nan
    with pytest.raises(InputError, match="target of row 3"):
        numeric_targets(targets, 60)
    with pytest.raises(InputError, match="target of row 11"):
        numeric_targets(_masked(), 60)
    bfloat = torch.from_numpy(np.round(X)).to(torch.bfloat16)
    np.testing.assert_array_equal(numeric_targets(bfloat, 60), np.round(X))
    np.testing.assert_array_equal(numeric_targets(scipy.sparse.csr_array(X), 60), X)


@pytest.mark.parametrize("tolerance", [1.0, 1e-2, 1e-5, 0.0, -1e-9, float("nan"), float("inf")])
def test_a_tolerance_that_leaves_the_fit_unfinished_is_refused(tolerance):
    with pytest.raises(InputError, match="tolerance is"):
        score(X, Y, tolerance=tolerance)
    with pytest.raises(InputError, match="tolerance is"):
        score_objective(X, X[:, 0], objective="gaussian", tolerance=tolerance)


def test_the_largest_tolerance_changes_lsi_by_less_than_a_per_mille(expected):
    np.testing.assert_allclose(score(X, Y, tolerance=1e-6).lsi, expected.lsi, rtol=1e-3)


def test_a_table_shows_a_few_rows_of_itself(expected):
    text, page = repr(expected), expected._repr_html_()
    assert text.startswith("ScoreTable: 60 samples · 3 classes · closed form · diag")
    assert len(text.splitlines()) == 8
    assert len(text) < 600
    assert f"{expected.lsi.max():.3f}"[:4] in text
    assert page.count("<tr") == 7
    named = score(X, np.array(["<b>", "c", "d"])[Y])
    assert "<b>" not in named._repr_html_()


@pytest.mark.parametrize("ranked_by", [None, "self_confidence", "normalized_margin", "confidence_weighted_entropy"])
@pytest.mark.parametrize("filter_by", ["prune_by_noise_rate", "low_normalized_margin", "predicted_neq_given"])
def test_label_issues_are_those_of_cleanlab(ranked_by, filter_by):
    noisy = Y.copy()
    noisy[:6] = (noisy[:6] + 1) % 3
    table = score(X, np.array(["a", "b", "c"])[noisy])
    asked = {"return_indices_ranked_by": ranked_by, "filter_by": filter_by}
    ours, theirs = table.find_label_issues(**asked), find_label_issues(noisy, table.probabilities, n_jobs=1, **asked)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == (bool if ranked_by is None else np.int64)
    assert len(ours) == 60 or len(ours) > 3
