"""都不像与校准：门槛与温度只由验证照片定，写下读回相同，损坏的说清楚。"""

import dataclasses
import json

import numpy as np
import pytest

from toolbox import none_of_these
from toolbox.none_of_these import FEATURES_FILE, THRESHOLDS_FILE, best_temperature, calibrated, calibration_error
from toolbox.terminal.errors import UserError

CLASSES, WIDTH = 3, 16
CENTERS = np.eye(CLASSES, WIDTH)


def features_near(labels, seed, spread=0.05):
    random = np.random.default_rng(seed)
    return CENTERS[labels] + spread * random.normal(size=(len(labels), WIDTH))


def labels_of(per_class):
    return np.repeat(np.arange(CLASSES), per_class)


def probabilities_of(labels, wrong, confidence):
    """每张照片以 confidence 的概率答一个类别；前 wrong 张答错。"""
    answers = np.where(np.arange(len(labels)) < wrong, (labels + 1) % CLASSES, labels)
    probabilities = np.full((len(labels), CLASSES), (1 - confidence) / (CLASSES - 1))
    probabilities[np.arange(len(labels)), answers] = confidence
    return probabilities


def fitted(train=40, validation=40, per_class_train=None):
    train_labels = labels_of(train) if per_class_train is None else np.repeat(np.arange(CLASSES), per_class_train)
    labels = labels_of(validation)
    known = features_near(train_labels, 0), train_labels, features_near(labels, 1), probabilities_of(labels, 12, 0.99)
    return none_of_these.fit(*known, labels)


def doubtful(count):
    """每个类别一样的概率。"""
    return np.full((count, CLASSES), 1 / CLASSES)


def test_strangers_are_refused_and_at_most_five_percent_of_the_validation_photos():
    knowledge = fitted()
    labels = labels_of(40)
    refused = ~knowledge.is_known(features_near(labels, 1), probabilities_of(labels, 12, 0.99))
    assert refused.sum() == 6 and knowledge.refused_validation == 0.05  # 120 张的 5%
    strangers = np.abs(np.random.default_rng(2).normal(size=(50, WIDTH)))
    assert not knowledge.is_known(strangers, probabilities_of(np.zeros(50, int), 0, 0.99)).any()
    centers = knowledge.similarity_of(CENTERS)
    assert centers.min() > knowledge.similarity_of(strangers).max()
    np.testing.assert_allclose(knowledge.similarity_of(7 * CENTERS), centers, rtol=1e-6)  # 只看方向，不看长短


@pytest.mark.parametrize(("validation", "allowed"), [(1, 0), (6, 0), (7, 1), (13, 1), (14, 2)])
def test_of_few_validation_photos_never_more_than_five_percent(validation, allowed):
    knowledge = fitted(validation=validation)
    labels = labels_of(validation)
    refused = ~knowledge.is_known(features_near(labels, 1), probabilities_of(labels, 12, 0.99))
    assert refused.sum() == allowed <= 0.05 * CLASSES * validation
    assert knowledge.refused_validation == allowed / (CLASSES * validation)


def test_probabilities_count_too_and_again_at_most_five_percent():
    labels = labels_of(40)
    photos = features_near(labels, 1)
    random = np.random.default_rng(5)
    sure = 0.5 + 0.5 * random.random(120)
    probabilities = np.stack([sure, 1 - sure, np.zeros(120)], axis=1)
    knowledge = none_of_these.fit(photos, labels, photos, probabilities, labels)
    similarities = knowledge.similarity_of(photos)
    assert knowledge.weight == pytest.approx(0.5 * similarities.std() / sure.std(), rel=1e-4)
    expected = similarities + knowledge.weight * sure >= knowledge.familiarity
    np.testing.assert_array_equal(knowledge.is_known(photos, probabilities), expected)
    assert (~expected).sum() == 6 and knowledge.refused_validation == 0.05
    unsure = np.full((120, 3), 1 / 3)
    assert knowledge.is_known(photos, unsure).sum() < expected.sum()  # 同样的照片，模型更没把握


def test_equal_validation_photos_are_not_refused():
    labels = labels_of(40)
    probabilities = probabilities_of(labels, 0, 0.9)
    knowledge = none_of_these.fit(CENTERS[labels], labels, CENTERS[labels], probabilities, labels)
    assert knowledge.refused_validation == 0 and knowledge.is_known(CENTERS[labels], probabilities).all()


def test_similarity_is_the_cosine_to_the_kth_nearest():
    training, photos = features_near(labels_of(30), 0), features_near(labels_of(2), 3)
    knowledge = fitted(train=30)
    assert knowledge.neighbours == 5 and knowledge.power == 0.5

    def direction(features):
        roots = np.sign(features) * np.sqrt(np.abs(features))
        return roots / np.linalg.norm(roots, axis=1, keepdims=True)

    np.testing.assert_allclose(knowledge.features, direction(training), atol=1e-3)
    cosines = np.sort(direction(photos) @ direction(training).T, axis=1)
    np.testing.assert_allclose(knowledge.similarity_of(photos), cosines[:, -5], atol=2e-3)


def test_a_class_of_few_photos_lowers_the_neighbour_and_is_known():
    knowledge = fitted(per_class_train=[40, 40, 3])
    assert knowledge.neighbours == 3 and knowledge.is_known(CENTERS, probabilities_of(np.arange(3), 0, 0.99)).all()
    assert fitted(per_class_train=[40, 40, 1]).neighbours == 1


def test_of_many_training_photos_a_bounded_number_is_kept(monkeypatch):
    monkeypatch.setattr(none_of_these, "PROTOTYPES", 60)
    knowledge = fitted(per_class_train=[100, 50, 15])
    assert np.bincount(knowledge.features[:, :CLASSES].argmax(axis=1)).tolist() == [20, 20, 15]
    monkeypatch.setattr(none_of_these, "PROTOTYPES", 6)
    assert np.bincount(fitted().features[:, :CLASSES].argmax(axis=1)).tolist() == [5, 5, 5]  # 不少于看第几近的
    assert (fitted().features == fitted().features).all()


def test_many_photos_at_once_give_the_same_as_one_by_one(monkeypatch):
    knowledge, photos = fitted(), features_near(labels_of(10), 4)
    together = knowledge.similarity_of(photos)
    monkeypatch.setattr(none_of_these, "ROWS", 7)
    np.testing.assert_allclose(knowledge.similarity_of(photos), together, atol=1e-6)
    assert knowledge.similarity_of(photos[:0]).shape == (0,)


def test_an_all_zero_feature_is_a_stranger():
    assert not fitted().is_known(np.zeros((1, WIDTH)), doubtful(1)).any()


def test_temperature_of_an_overconfident_model_makes_it_honest():
    labels = labels_of(100)
    probabilities = probabilities_of(labels, 60, 0.99)  # 说 0.99，其实对了 0.8
    temperature = best_temperature(probabilities, labels)
    after = calibrated(probabilities, temperature)
    assert temperature > 1.5 and abs(after.max(axis=1).mean() - 0.8) < 0.01
    assert calibration_error(probabilities, labels) == pytest.approx(0.19)
    assert calibration_error(after, labels) < 0.01
    assert (after.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_temperature_of_an_underconfident_model_sharpens_it():
    labels = labels_of(100)
    probabilities = probabilities_of(labels, 15, 0.6)
    temperature = best_temperature(probabilities, labels)
    assert temperature < 0.7 and abs(calibrated(probabilities, temperature).max(axis=1).mean() - 0.95) < 0.01


@pytest.mark.parametrize(("per_class", "least", "most"), [(1, 0.5, 0.9), (10, 0.95, 0.98), (100, 0.99, 0.999)])
def test_all_right_never_becomes_certain(per_class, least, most):
    labels = labels_of(per_class)
    after = calibrated(
        probabilities_of(labels, 0, 0.9999), best_temperature(probabilities_of(labels, 0, 0.9999), labels)
    )
    assert least < after.max(axis=1).mean() < most


def test_one_photo_and_one_class_and_zero_probabilities():
    assert np.isfinite(best_temperature(np.array([[1.0, 0.0]]), [0]))
    assert np.isfinite(best_temperature(np.array([[1.0, 0.0]]), [1]))
    assert np.isfinite(best_temperature(np.ones((4, 1)), [0, 0, 0, 0]))
    np.testing.assert_allclose(calibrated(np.array([1.0, 0.0, 0.0]), 3.0).sum(), 1, atol=1e-6)
    np.testing.assert_allclose(calibrated(np.array([[0.7, 0.2, 0.1]]), 1.0), [[0.7, 0.2, 0.1]], atol=1e-6)


def test_calibration_error_against_a_hand_computed_value():
    probabilities = np.array([[0.96, 0.04], [0.94, 0.06], [0.45, 0.55], [0.4, 0.6]])
    # 0.96 与 0.94 同在最后一格，对一半；0.55 对，0.6 错，也同格：0.6 恰是它的上边
    expected = (2 * abs(0.95 - 0.5) + 2 * abs(0.575 - 0.5)) / 4
    assert calibration_error(probabilities, [0, 1, 1, 0]) == pytest.approx(expected)


def test_saved_and_read_back_the_same(tmp_path):
    knowledge = fitted()
    knowledge.save(tmp_path)
    again = none_of_these.load(tmp_path)
    assert json.loads((tmp_path / THRESHOLDS_FILE).read_text(encoding="utf-8")) == {
        "temperature": knowledge.temperature,
        "weight": knowledge.weight,
        "familiarity": knowledge.familiarity,
        "power": 0.5,
        "neighbours": 5,
        "refused_validation": 0.05,
    }
    assert again.features.dtype == np.float16
    np.testing.assert_array_equal(again.features, knowledge.features)
    labels = labels_of(40)
    photos, probabilities = features_near(labels, 1), probabilities_of(labels, 12, 0.99)
    np.testing.assert_array_equal(again.is_known(photos, probabilities), knowledge.is_known(photos, probabilities))


def test_a_folder_of_format_2_still_compares_the_features_themselves(tmp_path):
    numbers = {"temperature": 1.5, "similarity": 0.8, "weight": 0.1, "familiarity": 0.9}
    numbers |= {"neighbours": 2, "refused_validation": 0.05}
    (tmp_path / THRESHOLDS_FILE).write_text(json.dumps(numbers), encoding="utf-8")
    np.savez(tmp_path / FEATURES_FILE, features=np.eye(2, 4, dtype=np.float16), labels=np.arange(2, dtype=np.int32))
    knowledge = none_of_these.load(tmp_path)
    np.testing.assert_allclose(knowledge.similarity_of([[3.0, 4, 0, 0], [0, 0, 1, 0]]), [0.6, 0], atol=1e-6)
    assert knowledge.is_known([[4.0, 3.9, 0, 0]], [[0.9, 0.1]]).tolist() == [False]
    assert knowledge.is_known([[4.0, 4.0, 0, 0]], [[0.1, 0.9]]).tolist() == [False]
    assert dataclasses.replace(knowledge, familiarity=0.79).is_known([[4.0, 4.0, 0, 0]], [[0.1, 0.9]]).all()


def test_a_folder_from_before_has_none(tmp_path):
    assert none_of_these.load(tmp_path) is None


class Touch:
    """unpickle 时会执行代码。"""

    def __reduce__(self):
        return print, ("代码被执行了",)


def pickled(path):
    np.savez(path, features=np.array([Touch()], dtype=object))


def rewrite(**changes):
    def damage(folder):
        path = folder / THRESHOLDS_FILE
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return damage


def without_power(folder):
    path = folder / THRESHOLDS_FILE
    read = json.loads(path.read_text(encoding="utf-8"))
    del read["power"]
    path.write_text(json.dumps(read), encoding="utf-8")


def arrays(function=np.savez, **changes):
    def damage(folder):
        function(folder / FEATURES_FILE, **({"features": np.ones((20, 4), np.float16)} | changes))

    return damage


def truncated(name, size):
    def damage(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:size])

    return damage


DAMAGES = {
    "只有门槛": lambda folder: (folder / FEATURES_FILE).unlink(),
    "只有特征": lambda folder: (folder / THRESHOLDS_FILE).unlink(),
    "门槛空了": truncated(THRESHOLDS_FILE, 0),
    "门槛截断": truncated(THRESHOLDS_FILE, 30),
    "门槛不是文字": lambda folder: (folder / THRESHOLDS_FILE).write_bytes(b"\xff\xfe\x00"),
    "门槛是清单": lambda folder: (folder / THRESHOLDS_FILE).write_text("[]"),
    "门槛嵌套太深": lambda folder: (folder / THRESHOLDS_FILE).write_text("[" * 100_000),
    "温度是 0": rewrite(temperature=0),
    "温度是 NaN": rewrite(temperature=float("nan")),
    "门槛是文字": rewrite(familiarity="高"),
    "次幂是 0": rewrite(power=0),
    "没有次幂": without_power,
    "第 0 近": rewrite(neighbours=0),
    "近邻比照片多": rewrite(neighbours=10**6),
    "近邻无穷": rewrite(neighbours=float("inf")),
    "特征空了": truncated(FEATURES_FILE, 0),
    "特征截断": truncated(FEATURES_FILE, 3000),
    "特征是文字": lambda folder: (folder / FEATURES_FILE).write_text("不是压缩包"),
    "会执行代码": lambda folder: pickled(folder / FEATURES_FILE),
    "压缩炸弹": arrays(np.savez_compressed, features=np.zeros((20, 100_000), np.float16)),
    "少一个数组": arrays(lambda path, features: np.savez(path, others=features)),
    "特征不是二维": arrays(features=np.ones(20, np.float16)),
    "特征不是 float16": arrays(features=np.ones((20, 4))),
    "特征有 NaN": arrays(features=np.full((20, 4), np.nan, np.float16)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder_is_one_clear_line(tmp_path, damage, capsys):
    fitted().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match="缺了一个，或已损坏") as caught:
        none_of_these.load(tmp_path)
    assert "\n" not in str(caught.value) and capsys.readouterr().out == ""


def test_a_few_wrong_bytes_anywhere_never_give_another_error(tmp_path):
    fitted().save(tmp_path)
    good = (tmp_path / FEATURES_FILE).read_bytes()
    random, refused = np.random.default_rng(0), 0
    for _ in range(200):
        data = bytearray(good)
        for place in random.integers(0, 200, size=3):  # 开头：zip 与 npy 的文件头
            data[place] = random.integers(256)
        (tmp_path / FEATURES_FILE).write_bytes(data)
        try:
            none_of_these.load(tmp_path)
        except UserError:
            refused += 1
    assert refused > 150
