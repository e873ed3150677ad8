"""Subsets and what is trained on them: who is in which, that nothing held out leaks, and that noise is found."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from lsi_engine.errors import Cancelled, InputError
from lsi_engine.studies.learnability import FITS, learnability
from lsi_engine.studies.subset_choice import RULES, SHARES, THIRDS, drawn, kept, parts, thirds

classed = st.lists(st.integers(0, 3), min_size=8, max_size=120).map(lambda codes: np.array([0, 1, 2, 3, *codes]))


@settings(max_examples=60, deadline=None)
@given(classed, st.integers(0, 99))
def test_thirds_are_disjoint_equal_within_each_class_and_cover_all(codes: np.ndarray, seed: int) -> None:
    lsi = np.random.default_rng(seed).lognormal(size=len(codes))
    found = thirds(codes, lsi)
    assert sorted(np.concatenate([found[name] for name in THIRDS])) == list(range(len(codes)))
    for code in np.unique(codes):
        members = [rows[codes[rows] == code] for rows in found.values()]
        sizes = [len(rows) for rows in members]
        assert max(sizes) - min(sizes) <= 1
        ends = [(lsi[rows].min(), lsi[rows].max()) for rows in members if len(rows)]
        assert all(below[1] <= above[0] for below, above in pairwise(ends))


@settings(max_examples=60, deadline=None)
@given(classed, st.sampled_from(SHARES), st.booleans(), st.integers(0, 99))
def test_a_rule_keeps_its_share_of_each_class_from_one_end(
    codes: np.ndarray, share: float, highest_first: bool, seed: int
) -> None:
    ranking = np.random.default_rng(seed).normal(size=len(codes))
    rows = kept(codes, ranking, share, highest_first=highest_first)
    for code in np.unique(codes):
        inside, size = rows[codes[rows] == code], int((codes == code).sum())
        assert share * size - 1e-9 <= len(inside) < share * size + 1
        outside = np.setdiff1d(np.flatnonzero(codes == code), inside)
        if len(outside):
            low, high = (inside, outside) if highest_first else (outside, inside)
            assert ranking[low].max() <= ranking[high].min()


def test_parts_are_stratified_and_keep_groups_whole() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 120, size=600)
    codes = random.integers(0, 3, size=600)
    tested = []
    for repeat in range(5):
        train, test = parts(codes, groups, 0.2, repeat, seed=3)
        assert sorted([*train, *test]) == list(range(600))
        assert not set(groups[train]) & set(groups[test])
        assert np.abs(np.bincount(codes[test]) / np.bincount(codes) - 0.2).max() < 0.1
        tested.append(test)
    assert sorted(np.concatenate(tested)) == list(range(600)), "five fifths hold every sample out once"
    with pytest.raises(InputError, match="fewer than 5 groups"):
        parts(codes, groups % 4, 0.2, 0, seed=0)
    with pytest.raises(InputError, match=r"held_out is 0\.7"):
        parts(codes, None, 0.7, 0, seed=0)


def test_what_is_drawn_has_every_class() -> None:
    codes = np.repeat([0, 1, 2], [900, 95, 5])
    rows = drawn(codes, 100, seed=0)
    assert np.bincount(codes[rows]).tolist() == [90, 10, 3]
    np.testing.assert_array_equal(drawn(codes, 1000, seed=0), np.arange(1000))


@pytest.fixture(scope="module")
def flipped() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, truth = load_digits(return_X_y=True)
    features, truth = features[:900].astype(np.float32), truth[:900]
    random = np.random.default_rng(0)
    wrong = random.choice(900, 180, replace=False)
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, 10, size=180)) % 10
    return features, labels, truth


def test_dropping_suspected_flips_beats_dropping_at_random(flipped: tuple[np.ndarray, ...]) -> None:
    features, labels, truth = flipped
    seen: list[tuple[int, int]] = []
    found = learnability(
        features,
        labels,
        truth=truth,
        feature_scaling="standardize",
        repeats=2,
        progress=lambda stage, done, total: seen.append((done, total)),
    )
    table = found.table.groupby(["family", "rule", "share"], sort=False)[["train_accuracy", "test_accuracy"]].mean()
    assert len(found.table) == 2 * (FITS + 2)
    assert len(table) == 2 + 3 + len(RULES) * len(SHARES)
    for rule in ("highest_suspicion", "highest_lsi"):
        gain = table.loc["kept", rule, 0.75] - table.loc["kept", "random", 0.75]
        assert gain["test_accuracy"] > 0.02
    learnt = table.loc["third"].droplevel("share")["train_accuracy"]
    assert learnt["low"] > learnt["high"], "the paper: samples of low LSI are learnt, those of high LSI are not"
    assert table.loc["all", "all", 1.0]["test_accuracy"] > 0.7
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (2 * (FITS + 1), 2 * (FITS + 1))
    assert found.facts["truth"] == "true_label"
    assert sum(found.facts["test_rows"]) == pytest.approx(360, abs=2)


def test_scores_and_probes_see_nothing_of_what_is_held_out(flipped: tuple[np.ndarray, ...]) -> None:
    features, labels, _ = flipped
    settings = {"repeats": 1, "seed": 4, "feature_scaling": "standardize"}
    before = learnability(features, labels, **settings).table
    _, test = parts(labels, None, 0.2, 0, seed=4)
    spoilt = features.copy()
    spoilt[test] = 1e3
    after = learnability(spoilt, labels, **settings).table
    same = before.columns.drop("test_accuracy")
    assert before[same].equals(after[same])
    assert not before["test_accuracy"].equals(after["test_accuracy"])


def test_a_class_too_small_to_train_on_is_left_out_and_named_and_one_class_is_refused() -> None:
    random = np.random.default_rng(0)
    labels = np.array(["a"] * 40 + ["b"] * 40 + ["rare"] * 2)
    features = random.normal(size=(82, 3)) + 3 * (labels == "b")[:, None]
    found = learnability(features, labels, repeats=1)
    assert found.facts["notes"] == ["left out for want of 3 samples to train on: rare"]
    assert found.facts["train_rows"][0] + found.facts["test_rows"][0] == 80
    with pytest.raises(InputError, match="two classes"):
        learnability(features[:42], labels[[*range(40), 80, 81]], repeats=1)
    with pytest.raises(InputError, match="repeats is 0"):
        learnability(features, labels, repeats=0)


def test_it_stops_when_told_to(flipped: tuple[np.ndarray, ...]) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done >= 5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        learnability(flipped[0][:300], flipped[1][:300], feature_scaling="standardize", progress=stop)
