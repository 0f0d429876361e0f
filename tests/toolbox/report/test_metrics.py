"""报告里的各个数：与 scikit-learn、cleanlab、手算的比。"""

import re

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as reference

from toolbox.none_of_these import calibration_error
from toolbox.report import figures, metrics


@pytest.fixture(scope="module")
def answers():
    """(真实的编号, 认成的编号)，四类，张数不同，第四类从没有被认成过。"""
    random = np.random.default_rng(0)
    true = random.choice(4, 200, p=[0.5, 0.3, 0.15, 0.05])
    predicted = np.where(random.random(200) < 0.7, true, random.choice(3, 200))
    return true, np.where(predicted == 3, 0, predicted)


def test_matrix_and_scores_equal_those_of_scikit_learn(answers):
    true, predicted = answers
    matrix = metrics.confusion_matrix(true, predicted, 4)
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(true, predicted, labels=range(4)))
    precision, recall, f1, photos = reference.precision_recall_fscore_support(
        true, predicted, labels=range(4), zero_division=0
    )
    rows = metrics.per_class(matrix)
    assert [row["photos"] for row in rows] == photos.tolist()
    assert [row["precision"][0] or 0 for row in rows] == pytest.approx(precision.tolist())
    assert [row["recall"][0] for row in rows] == pytest.approx(recall.tolist())
    assert [row["f1"][0] for row in rows] == pytest.approx(f1.tolist())
    assert rows[3]["precision"] == (None, 0.0, 1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605))],
)
def test_wilson_interval(successes, trials, expected):
    """后两行是 Newcombe（Statistics in Medicine 17:857, 1998）表 I 的例子。"""
    assert metrics.wilson(successes, trials) == pytest.approx(expected, abs=6e-5)


def test_nothing_tried_means_nothing_known():
    assert metrics.wilson(0, 0) == (0.0, 1.0)


def test_intervals_contain_their_value_and_f1_covers_the_truth():
    """模拟 2,000 次：真的 F1 落在区间里的次数约 95%。"""
    shares = np.array([0.2, 0.05, 0.03, 0.72])  # TP、FN、FP、TN
    truth = 2 * shares[0] / (2 * shares[0] + shares[1] + shares[2])
    covered = 0
    for both, missed, wrong, _ in np.random.default_rng(0).multinomial(150, shares, 2000).tolist():
        low, high = metrics.f1_interval(both, both + missed + wrong)
        assert 0 <= low <= 2 * both / (2 * both + missed + wrong) <= high <= 1
        covered += low <= truth <= high
    assert 0.93 <= covered / 2000 <= 0.97
    assert metrics.f1_interval(20, 20)[0] == pytest.approx(2 * 0.83887 / 1.83887, abs=1e-4)  # 一张没错，也不退化


@pytest.mark.parametrize("count", [1, 10, 11, 102, 200])
def test_no_two_classes_have_one_colour(count):
    colours = figures.colours(count)
    assert len(set(colours)) == count and all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_reliability_by_hand_and_as_in_the_calibration_error():
    confidence = np.array([0.95, 0.94, 1.0, 0.55, 0.54])
    right = np.array([True, True, False, True, False])
    rows = metrics.reliability(confidence, right)
    assert [row["photos"] for row in rows] == [2, 3]
    assert [row["accuracy"] for row in rows] == pytest.approx([0.5, 2 / 3])
    assert [row["confidence"] for row in rows] == pytest.approx([0.545, 2.89 / 3])
    assert (rows[0]["low"], rows[0]["high"]) == metrics.wilson(1, 2)
    error = sum(row["photos"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / 5
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert error == pytest.approx(calibration_error(probabilities, np.where(right, 0, 1)))


def test_doubtful_labels_are_those_of_cleanlab():
    cleanlab_filter = pytest.importorskip("cleanlab.filter")
    random = np.random.default_rng(2)
    true = random.integers(0, 4, 400)
    probabilities = softmax(random.normal(0, 1, (400, 4)) + 3 * np.eye(4)[true], axis=1)
    labels = np.where(random.random(400) < 0.1, (true + 1) % 4, true)
    expected = cleanlab_filter.find_label_issues(
        labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="self_confidence", n_jobs=1
    )
    found = metrics.doubtful_labels(probabilities, labels)
    assert len(found) > 20
    np.testing.assert_array_equal(found, expected)


def test_confused_pairs_count_both_directions():
    matrix = np.array([[9, 2, 0], [1, 9, 4], [0, 0, 9]])
    assert metrics.confused_pairs(matrix) == [(1, 2, 4), (0, 1, 3)]
