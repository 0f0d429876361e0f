"""切开模型、只算一次、训练后一半：与完整地训练是同一回事。"""

import dataclasses
import importlib

import keras
import numpy as np
import pytest

from conftest import save_jpeg
from prefix_models import images_of, new_base, photos_in, unfreeze_from, with_head
from toolbox import frozen_prefix
from toolbox.frozen_prefix import engine
from toolbox.photos.views import CLEAN, View
from toolbox.terminal.errors import UserError

SIZE = (96, 96)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for i in range(36):
        save_jpeg(root / ("daisy", "roses", "tulips")[i % 3] / f"{i:02}.jpg", seed=i)
    return photos_in(root)


@pytest.fixture(scope="module")
def labels(photos):
    return np.array([("daisy", "roses", "tulips").index(photo.class_name) for photo in photos])


@pytest.fixture(scope="module")
def images(photos):
    return images_of(photos, SIZE)


@pytest.fixture(scope="module")
def new_weights(images):
    base = new_base(images)
    return base, base.get_weights()


@pytest.fixture
def base(new_weights):
    base, weights = new_weights
    base.trainable = True  # 已是 False 时再设 False，Keras 什么也不做，内层的 True 会留下来
    base.trainable = False
    base.set_weights(weights)
    return base


def assert_same_function(model, prefix, suffix, images):
    np.testing.assert_allclose(suffix(prefix(images[:2])), model(images[:2]), atol=1e-6)


class TestSplitModel:
    def test_frozen_base_is_cut_after_pooling(self, base, images):
        model = with_head(base)
        prefix, suffix = frozen_prefix.split_model(model)
        assert prefix.output_shape == (None, 1280)
        assert [layer.name for layer in suffix.layers[1:]] == [layer.name for layer in model.layers[2:]]
        assert_same_function(model, prefix, suffix, images)

    @pytest.mark.parametrize("nested", [True, False])
    @pytest.mark.parametrize(
        "first, cut",
        [
            ("block_13_expand", "block_12_add"),
            ("block_13_depthwise", "block_13_pad"),  # 这一块没有残差，可以切在里面
            ("block_15_depthwise", "block_14_add"),  # 残差跨过 block_15，只能切在它前面
            ("block_16_project", "block_16_depthwise_relu"),
            ("Conv_1", "block_16_project_BN"),
        ],
    )
    def test_cut_is_the_last_single_tensor_before_the_first_trained_layer(self, base, images, nested, first, cut):
        unfreeze_from(base, first)
        model = with_head(base)
        if not nested:
            pooled = keras.layers.GlobalAveragePooling2D()(base.output)
            model = keras.Model(base.input, keras.layers.Dense(3, activation="softmax")(pooled))
        prefix, suffix = frozen_prefix.split_model(model)
        assert prefix.layers[-1] is base.get_layer(cut)
        assert not prefix.trainable_variables
        assert {id(v) for v in suffix.trainable_variables} == {id(v) for v in model.trainable_variables}
        assert_same_function(model, prefix, suffix, images)

    def test_random_layers_are_never_computed_once(self, base):
        pool, dropout = keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.5)
        model = keras.Sequential([keras.Input((*SIZE, 3)), base, pool, dropout, keras.layers.Dense(3)])
        prefix, suffix = frozen_prefix.split_model(model)
        assert prefix.layers[-1] is pool
        assert dropout in suffix.layers
        flip = keras.layers.RandomFlip()
        with pytest.raises(UserError):  # 随机增强在最前面：每次的像素都不同
            frozen_prefix.split_model(keras.Sequential([keras.Input((*SIZE, 3)), flip, base, keras.layers.Dense(3)]))

    def test_moving_batch_normalization_is_not_frozen(self, base):
        base.trainable = True
        for layer in base.layers:
            layer.trainable = layer.name == "block_15_expand_BN"
        prefix, _ = frozen_prefix.split_model(with_head(base))
        assert prefix.layers[-1] is base.get_layer("block_14_add")

    def test_layers_opened_inside_a_frozen_base_are_trained_exactly_when_keras_trains_them(self, base):
        for layer in base.layers[-5:]:
            layer.trainable = True
        model = with_head(base)
        prefix, suffix = frozen_prefix.split_model(model)
        assert prefix.layers[-1] is base.get_layer("block_16_depthwise_relu")
        assert {id(v) for v in suffix.trainable_variables} == {id(v) for v in model.trainable_variables}

    def test_nothing_to_train_or_nothing_frozen(self, base):
        model = with_head(base)
        model.trainable = False
        with pytest.raises(UserError, match="没有要训练的层"):
            frozen_prefix.split_model(model)
        model.trainable = True
        with pytest.raises(UserError, match="--end-to-end"):
            frozen_prefix.split_model(model)


# 两种做法每一步只差浮点舍入：批的大小与图的融合不同，求和的次序就不同，每步相对误差约 1e-7。几步带动量的
# SGD 之后，权重与自身的最大值相比至多差 1e-5；权重本身在这几步里动了至少 1e-3，所以这个界限有意义。
WEIGHT_TOLERANCE = 1e-5
SMALLEST_MOVE = 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("first", [None, "block_13_expand"])
def test_training_on_kept_outputs_gives_the_same_model(base, photos, images, labels, tmp_path, first):
    if first:
        unfreeze_from(base, first)
    model = with_head(base, dropout=0.3)
    start = model.get_weights()
    dropout = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dropout))
    mask_seed = keras.ops.convert_to_numpy(dropout.seed_generator.state)
    prefix, suffix = frozen_prefix.split_model(model)
    batches = frozen_prefix.compute(prefix, photos, cache_dir=tmp_path, engine="keras").batches(
        np.arange(len(photos)), 8, shuffle=True, seed=3
    )
    outputs, order = (np.concatenate(arrays) for arrays in zip(*batches.as_numpy_iterator(), strict=True))

    def train(trained, inputs):
        model.set_weights(start)
        dropout.seed_generator.state.assign(mask_seed)
        trained.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        trained.fit(inputs, labels[order], batch_size=8, shuffle=False, epochs=1, verbose=0)
        return model.get_weights()

    end_to_end = train(model, images[order])
    kept = train(suffix, outputs)
    moved = [np.abs(a - b).max() for a, b in zip(end_to_end, start, strict=True)]
    assert sum(move > SMALLEST_MOVE for move in moved) == len(model.trainable_weights)
    for expected, actual in zip(end_to_end, kept, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=WEIGHT_TOLERANCE * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("first, shape", [(None, (1280,)), ("Conv_1", (7, 7, 320)), ("block_13_expand", (14, 14, 96))])
def test_fast_engine_agrees_with_keras(photos, tmp_path, first, shape):
    """标准大小（224、alpha 1.0）的三种切分点：输出相对误差 1e-4 以内；差距大于 0.01 时最可能的类别相同。"""
    images = images_of(photos[:12], (224, 224))
    base = new_base(images, alpha=1.0)
    if first:
        unfreeze_from(base, first)
    model = with_head(base)
    prefix, suffix = frozen_prefix.split_model(model)
    outputs = frozen_prefix.compute(prefix, photos[:12], cache_dir=tmp_path, engine="litert")
    fast, exact = outputs[np.arange(12)], prefix.predict(images, verbose=0)
    assert outputs.shape == (12, *shape)
    np.testing.assert_allclose(fast, exact, rtol=0, atol=1e-4 * np.abs(exact).max())
    expected, actual = model.predict(images, verbose=0), suffix.predict(fast, verbose=0)
    second, best = np.sort(expected)[:, -2:].T
    clear = best - second > 0.01
    assert clear.any()
    assert (expected.argmax(1) == actual.argmax(1))[clear].all()


def flipped(image, size, seed):
    return np.ascontiguousarray(np.fliplr(CLEAN.render(image, size, seed)))


def noisy(image, size, seed):
    pixels = CLEAN.render(image, size, seed)
    return pixels ^ np.random.default_rng(seed).integers(0, 32, pixels.shape, np.uint8)


class TestOutputs:
    @pytest.fixture
    def prefix(self, base):
        return frozen_prefix.split_model(with_head(base))[0]

    def test_rows_are_photo_major(self, prefix, photos, images, tmp_path):
        views = (CLEAN, View("flipped", flipped))
        outputs = frozen_prefix.compute(prefix, photos[:5], views=views, cache_dir=tmp_path, engine="keras")
        assert outputs.shape == (10, 1280) and outputs.computed == 10
        expected = prefix(np.stack([images[:5], images[:5, :, ::-1]], axis=1).reshape(10, *images.shape[1:]))
        np.testing.assert_allclose(outputs[np.arange(10)], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(outputs[[7, 0]], outputs[np.arange(10)][[7, 0]])

    def test_random_view_of_a_photo_never_changes(self, prefix, photos, tmp_path):
        views = (View("noisy", noisy),)
        first = frozen_prefix.compute(prefix, photos, views=views, cache_dir=tmp_path / "1", engine="keras")
        backwards = frozen_prefix.compute(prefix, photos[::-1], views=views, cache_dir=tmp_path / "2", engine="keras")
        every = np.arange(len(photos))
        np.testing.assert_array_equal(first[every], backwards[every][::-1])

    def test_only_new_photos_are_computed(self, prefix, photos, tmp_path):
        def computed(some, prefix=prefix, **kwargs):
            return frozen_prefix.compute(prefix, some, cache_dir=tmp_path / "cache", engine="litert", **kwargs).computed

        assert computed(photos[:20]) == 20
        assert computed(photos[:20]) == 0
        assert computed(photos[3:20]) == 0  # 少了三张
        assert computed(photos[5:23]) == 3  # 多了三张
        save_jpeg(tmp_path / "changed.jpg", seed=999)
        assert computed([*photos[:5], *photos_in(tmp_path)]) == 1  # 改了一张
        assert computed(photos[:6], views=(CLEAN, View("flipped", flipped))) == 6
        changed = View("flipped", lambda *given: noisy(*given), "flipped 改成了 noisy")
        assert computed(photos[:6], views=(CLEAN, changed)) == 6  # 名字没有改，代码改了
        prefix.get_layer("Conv1").kernel.assign(prefix.get_layer("Conv1").kernel * 1.01)
        assert computed(photos[:20], prefix) == 20  # 权重变了，什么都不能再用

    def test_layer_names_do_not_matter_but_structure_does(self, base, photos, tmp_path):
        def computed(pooling):
            model = keras.Sequential([keras.Input((*SIZE, 3)), base, pooling, keras.layers.Dense(3)])
            prefix = frozen_prefix.split_model(model)[0]
            return frozen_prefix.compute(prefix, photos[:4], cache_dir=tmp_path, engine="keras").computed

        assert computed(keras.layers.GlobalAveragePooling2D(name="one")) == 4
        assert computed(keras.layers.GlobalAveragePooling2D(name="two")) == 0
        assert computed(keras.layers.GlobalMaxPooling2D(name="one")) == 4

    def test_batches_are_shuffled_by_seed_and_epoch_only(self, prefix, photos, tmp_path):
        outputs = frozen_prefix.compute(prefix, photos, cache_dir=tmp_path, engine="keras")
        ids = np.arange(len(photos))

        def epochs(seed):
            batches = outputs.batches(ids, 10, shuffle=True, seed=seed)
            assert len(batches) == 4
            for _ in range(2):
                seen = list(batches.as_numpy_iterator())
                assert [len(labels) for _, labels in seen] == [10, 10, 10, 6]
                for rows, labels in seen:
                    np.testing.assert_array_equal(rows, outputs[labels])
                yield np.concatenate([labels for _, labels in seen]).tolist()

        first, second = epochs(seed=1)
        assert sorted(first) == sorted(second) == ids.tolist()
        assert first != second
        assert [first, second] == list(epochs(seed=1))
        assert first != next(epochs(seed=2))

    def test_fit_goes_through_the_epochs_in_their_order(self, prefix, photos, tmp_path):
        """Keras 会在一轮结束时多建一个迭代器；没有从它读，就不该算一轮。"""
        outputs = frozen_prefix.compute(prefix, photos, cache_dir=tmp_path, engine="keras")
        ids = np.arange(len(photos))
        head = keras.Sequential([keras.Input(outputs.shape[1:]), keras.layers.Dense(len(photos))])
        start = head.get_weights()

        def trained(fit):
            head.set_weights(start)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            head.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
            fit(outputs.batches(ids, 10, shuffle=True, seed=1))
            return head.get_weights()

        def by_hand(batches):
            for _ in range(3):
                for rows, labels in batches:
                    head.train_on_batch(rows, labels)

        def by_fit(batches):
            head.fit(batches, validation_data=outputs.batches(ids, 10), epochs=3, shuffle=False, verbose=0)

        for expected, actual in zip(trained(by_hand), trained(by_fit), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * np.abs(expected).max())

    def test_batches_can_draw_one_view_per_photo(self, prefix, photos, tmp_path):
        views = (CLEAN, View("flipped", flipped))
        outputs = frozen_prefix.compute(prefix, photos, views=views, cache_dir=tmp_path, engine="keras")
        rows = np.arange(len(outputs)).reshape(-1, 2)
        ids = np.arange(len(photos))
        ((values, labels),) = outputs.batches(ids, len(ids)).as_numpy_iterator()
        np.testing.assert_array_equal(values, outputs[rows[labels, 0]])  # 不说 augmented，就总是第一个视图
        batches = outputs.batches(ids, len(ids), augmented=True)
        drawn = set()
        for _ in range(4):
            ((values, labels),) = batches.as_numpy_iterator()
            np.testing.assert_array_equal(labels, ids)
            is_clean = (values == outputs[rows[:, 0]]).all(axis=1)
            is_flipped = (values == outputs[rows[:, 1]]).all(axis=1)
            assert (is_clean | is_flipped).all() and is_clean.any() and is_flipped.any()
            drawn.add(is_clean.tobytes())
        assert len(drawn) > 1
        with pytest.raises(ValueError, match="标签"):
            outputs.batches(ids[:-1])

    def test_tf_keras_model(self, base, photos, tmp_path):
        """第 2 课的 Estimator 用 Keras 2；冻结部分同样只算一次，输出相同。"""
        import tf_keras

        old = tf_keras.applications.MobileNetV2(weights=None, include_top=False, alpha=0.35, input_shape=(*SIZE, 3))
        old.set_weights(base.get_weights())
        rows = np.arange(len(photos))
        outputs = frozen_prefix.compute(old, photos, cache_dir=tmp_path, engine="litert")[rows]
        np.testing.assert_allclose(outputs, base.predict(images_of(photos, SIZE), verbose=0), rtol=1e-3, atol=1e-4)

    def test_conversion_that_differs_from_keras_is_refused(self, prefix, photos, tmp_path, monkeypatch):
        monkeypatch.setattr(engine, "RELATIVE_TOLERANCE", 0.0)
        with pytest.raises(UserError, match="--engine keras"):
            frozen_prefix.compute(prefix, photos[:1], cache_dir=tmp_path, engine="litert")
        assert not list(tmp_path.rglob("*.tflite"))

    def test_size_limit_is_refused_before_starting(self, prefix, photos, tmp_path):
        with pytest.raises(UserError, match=r"0\.00 GB，超过上限 0\.0001 GB.*--cache-limit"):
            frozen_prefix.compute(prefix, photos, cache_dir=tmp_path, engine="keras", limit_gb=0.0001)
        assert not list(tmp_path.rglob("*.rows"))

    def test_without_cache_nothing_is_left(self, prefix, photos, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        outputs = frozen_prefix.compute(prefix, photos[:3], keep=False, engine="keras")
        assert outputs[[2]].shape == (1, 1280)
        assert list(tmp_path.rglob("*.rows"))
        del outputs
        assert not [path for path in tmp_path.iterdir() if "autograph" not in path.name]  # 那是 TensorFlow 自己的

    def test_an_activation_is_not_taken_for_a_name(self):
        """层的名字恰是它的激活函数：名字不算在内，激活函数算。"""

        def fingerprint_of(activation, name):
            image = keras.Input((4, 4, 3))
            return engine.fingerprint(keras.Model(image, keras.layers.Activation(activation, name=name)(image)))

        assert fingerprint_of("relu", "relu") == fingerprint_of("relu", "another")
        assert fingerprint_of("relu", "relu") != fingerprint_of("gelu", "gelu")

    @pytest.mark.parametrize("keep", [True, False])
    def test_several_parts_share_one_fingerprint_and_one_conversion(self, prefix, photos, tmp_path, monkeypatch, keep):
        """训练、验证、测试各算各的：内容的哈希与转换都只做一次，与分别从头算逐位相同。"""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        made, compute_module = [], importlib.import_module("toolbox.frozen_prefix.compute")  # 同名的函数挡着模块
        for name in ("fingerprint", "new_engine"):
            real = getattr(compute_module, name)
            monkeypatch.setattr(compute_module, name, lambda *args, n=name, f=real: made.append(n) or f(*args))
        extractor = frozen_prefix.FeatureExtractor(prefix, cache_dir=tmp_path / "1", keep=keep, engine="litert")
        views = [CLEAN, View("flipped", flipped)]
        parts = [extractor.compute(photos[:4], views), extractor.compute(photos[4:6]), extractor.compute(photos[:2])]
        assert made == ["fingerprint", "new_engine"] and [part.computed for part in parts] == [8, 2, 0]
        whole = frozen_prefix.compute(prefix, photos[:6], views=views, cache_dir=tmp_path / "2", engine="litert")
        rows = whole[np.arange(12)]
        assert parts[0][np.arange(8)].tobytes() == rows[:8].tobytes()
        assert parts[1][np.arange(2)].tobytes() == rows[[8, 10]].tobytes()
        assert parts[2][np.arange(2)].tobytes() == rows[[0, 2]].tobytes()
        del extractor, parts
        assert (tmp_path / "1").exists() is keep and not list(tmp_path.glob("study_keras-*"))

    def test_photo_that_has_gone_is_named(self, prefix, photos, tmp_path):
        gone = dataclasses.replace(photos[0], file=str(tmp_path / "gone.jpg"))
        with pytest.raises(UserError, match="gone.jpg"):
            frozen_prefix.compute(prefix, [gone], cache_dir=tmp_path / "cache", engine="keras")
