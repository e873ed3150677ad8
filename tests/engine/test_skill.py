"""What the probe knows, against scikit-learn's measures and a calibration error worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from lsi_engine.scores.skill import probe_skill


def test_the_measures_are_scikit_learns() -> None:
    random = np.random.default_rng(1)
    codes = random.choice(4, size=500, p=[0.6, 0.2, 0.15, 0.05])
    logits = random.normal(size=(500, 4))
    logits[np.arange(500), codes] += 1.0
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    skill = probe_skill(p, codes)
    assert skill.accuracy == pytest.approx(accuracy_score(codes, p.argmax(axis=1)), abs=1e-12)
    assert skill.balanced_accuracy == pytest.approx(balanced_accuracy_score(codes, p.argmax(axis=1)), abs=1e-12)
    assert skill.log_loss == pytest.approx(log_loss(codes, p), abs=1e-12)
    frequencies = np.tile(np.bincount(codes) / 500, (500, 1))
    assert skill.frequency_log_loss == pytest.approx(log_loss(codes, frequencies), abs=1e-12)
    assert skill.commonest_accuracy == np.bincount(codes).max() / 500


def test_the_calibration_error_by_hand() -> None:
    # Four samples at confidence .9, three of them right, and one right at .55: (4 · .15 + 1 · .45) / 5.
    p = np.array([[0.9, 0.1]] * 4 + [[0.45, 0.55]])
    skill = probe_skill(p, [0, 0, 0, 1, 1])
    assert skill.calibration_error == pytest.approx((4 * 0.15 + 0.45) / 5, abs=1e-12)
    np.testing.assert_allclose(skill.reliability, [[0.55, 1, 1], [0.9, 0.75, 4]], atol=1e-12)


def test_a_probe_that_guesses_is_said_to() -> None:
    codes = np.arange(100) % 10 < 6  # 60 : 40
    assert probe_skill(np.tile([0.5, 0.5], (100, 1)), codes).caveat is not None  # names the rarer class
    sure = np.where(np.arange(100) % 3 == 0, 0.001, 0.999)  # right two times in three, and certain each time
    p = np.where(codes[:, None], np.column_stack([1 - sure, sure]), np.column_stack([sure, 1 - sure]))
    wrong = probe_skill(p, codes)
    assert wrong.accuracy > wrong.commonest_accuracy
    assert wrong.caveat is not None
    assert "log loss" in wrong.caveat
    good = np.where(codes[:, None], [[0.2, 0.8]], [[0.8, 0.2]])
    assert probe_skill(good, codes).caveat is None
