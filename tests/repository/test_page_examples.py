"""The examples of the pages do what the pages say."""

import keras
import numpy as np

from tests.support.pages import blocks
from tests.support.pages import run


def test_readme():
    namespace = run("\n".join(blocks("README.md")), "readme")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    y = namespace["model"].predict(x, verbose=0)
    assert y.shape == (2, 10)
    have, want = namespace["converted"](x), namespace["trained"](x)
    np.testing.assert_allclose(have, want, atol=1e-6)


def test_how_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = run("\n".join(blocks("docs/how_to.md")), "how_to")
    x = namespace["images"][:4].astype("float32")
    want = namespace["model"].predict(x, verbose=0)
    back, converted = namespace["back"], namespace["converted"]
    np.testing.assert_allclose(back.predict(x, verbose=0), want, atol=1e-5)
    want = converted.predict(x, verbose=0)
    for name in ("folded", "loaded"):
        have = namespace[name].predict(x, verbose=0)
        np.testing.assert_allclose(have, want, atol=1e-5)
    np.testing.assert_allclose(namespace["outputs"], want[:1], atol=1e-5)
    (row,) = namespace["rows"]
    assert row.layer == "keras_norms.BatchNormalization"
    assert namespace["grouped"].layers[1].groups == 4
    assert namespace["recalibrated"] == [converted.layers[1]]
    assert namespace["layer"].compute_dtype == "bfloat16"


def test_a_method_of_ones_own():
    """The page's example, in under 40 lines, does what it says."""
    source = blocks("docs/architecture.md")[0]
    assert len(source.splitlines()) < 40
    layer = run(source, "method")["LayerInstanceNormalization"]
    layer = layer(epsilon=0.0, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6))
    means = [x.mean(axis, keepdims=True) for axis in (1, (1, 2))]
    squares = [(x**2).mean(axis, keepdims=True) for axis in (1, (1, 2))]
    mean, square = sum(means) / 2, sum(squares) / 2
    want = (x - mean) / np.sqrt(square - mean**2)
    np.testing.assert_allclose(layer(x), want, atol=1e-12)
    config = layer.get_config()
    np.testing.assert_allclose(type(layer).from_config(config)(x), want)


def test_a_method_with_its_own_weight(tmp_path):
    """The page's second example trains its weight and saves it."""
    source = blocks("docs/architecture.md")[1]
    assert len(source.splitlines()) < 40
    kind = run(source, "method")["MixedNormalization"]
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6)).astype("float32")
    model = keras.Sequential([keras.Input((5, 6)), kind(groups=2)])
    before = model.layers[0].share.numpy()
    model.compile("sgd", "mse")
    model.fit(x, np.ones_like(x), epochs=1, verbose=0)
    assert (model.layers[0].share.numpy() != before).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"MixedNormalization": kind}
    )
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_a_method_with_running_averages(tmp_path):
    """The page's third example, trained and at inference."""
    source = blocks("docs/architecture.md")[2]
    assert len(source.splitlines()) < 40
    kind = run(source, "method")["GatedBatchNormalization"]
    layer = kind(epsilon=0.0, momentum=0.0, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6))
    variance = x.var((0, 1))
    gate = variance / (variance + x.var(1, keepdims=True) + 1e-6)
    want = 2 * gate * (x - x.mean((0, 1))) / np.sqrt(variance)
    np.testing.assert_allclose(layer(x, training=True), want, atol=1e-12)
    np.testing.assert_allclose(layer(x), want, atol=1e-12)


def test_a_method_with_running_averages_and_a_weight():
    """The page's fourth example: the weight of a blend is that of self."""
    source = blocks("docs/architecture.md")[3]
    assert len(source.splitlines()) < 40
    kind = run(source, "method")["BlendedBatchNormalization"]
    layer = kind(epsilon=0.0, momentum=0.0, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 6))
    layer.build(x.shape)
    slope = np.linspace(-1, 1, 6)
    layer.slope.assign(slope)
    mean, own = x.mean((0, 1)), x.mean(1, keepdims=True)
    mixed = 0.1 * own + 0.9 * mean
    square = 0.1 * (x**2).mean(1, keepdims=True) + 0.9 * (x**2).mean((0, 1))
    want = (x - mixed) / np.sqrt(square - mixed**2) + slope * (own - mean)
    np.testing.assert_allclose(layer(x, training=True), want, atol=1e-12)
    np.testing.assert_allclose(layer(x), want, atol=1e-12)
    config = layer.get_config()
    assert type(layer).from_config(config).weight == 0.1
