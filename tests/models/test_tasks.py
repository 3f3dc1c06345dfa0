"""Models whose constructor receives a backbone, as those of KerasHub."""

import warnings

import keras
import numpy as np
import pytest

from keras_norms import layers
from keras_norms import models

X = np.random.default_rng(0).normal(3, 2, (4, 8, 8, 3)).astype("float32")
serialize = keras.saving.serialize_keras_object
deserialize = keras.saving.deserialize_keras_object


@keras.saving.register_keras_serializable(package="tests")
class Backbone(keras.Model):
    """A functional model whose configuration has other arguments."""

    def __init__(self, filters, **kwargs):
        image = keras.Input((8, 8, 3))
        h = keras.layers.Conv2D(filters, 3)(image)
        h = keras.layers.BatchNormalization(name="norm")(h)
        super().__init__(image, keras.layers.ReLU()(h), **kwargs)
        self.filters = filters

    def get_config(self):
        return {"filters": self.filters, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="tests")
class Task(keras.Model):
    """A classifier that preprocesses its inputs."""

    def __init__(self, backbone, classes, **kwargs):
        pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
        outputs = keras.layers.Dense(classes)(pooled)
        super().__init__(backbone.input, outputs, **kwargs)
        self.backbone, self.classes = backbone, classes

    def predict_images(self, images):
        return self.predict(images / 255, verbose=0)

    def get_config(self):
        return {
            "backbone": serialize(self.backbone),
            "classes": self.classes,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        if isinstance(config["backbone"], dict):
            config = {**config, "backbone": deserialize(config["backbone"])}
        return cls(**config)


def task():
    """A task with running statistics that are not those of a new layer."""
    keras.utils.set_random_seed(0)
    backbone = Backbone(8, name="backbone")
    result = Task(backbone, 3, name="task")
    result.backbone.get_layer("norm").moving_mean.assign(np.arange(8.0))
    return result


@pytest.mark.parametrize(
    "function",
    [
        lambda model: models.convert_normalization(model, "keras_norms"),
        models.fold_batch_normalization,
    ],
)
def test_copies_keep_their_class(function, tmp_path):
    model = task()
    model.compile("sgd", "mse")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        copy = function(model)
    texts = [str(w.message) for w in caught if w.category is UserWarning]
    # The backbone's constructor receives no layers.
    assert [text.split("'")[1] for text in texts] == ["backbone"]
    assert type(copy) is Task
    want = model.predict_images(X)
    np.testing.assert_allclose(copy.predict_images(X), want, atol=1e-5)
    copy.save(tmp_path / "task.keras")
    loaded = keras.saving.load_model(tmp_path / "task.keras")
    assert type(loaded) is Task
    np.testing.assert_allclose(loaded.predict_images(X), want, atol=1e-5)
    # The copy shares no weight and no optimizer with the original.
    assert copy.compiled
    assert copy.optimizer is not model.optimizer
    copy.fit(X, want, verbose=0)
    np.testing.assert_array_equal(model.predict_images(X), want)


def test_backbone_is_that_of_the_copy():
    model = task()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = models.convert_normalization(model, "GroupNormalization")
    assert type(copy.backbone.get_layer("norm")) is layers.GroupNormalization
    assert copy.backbone.get_layer("norm") in copy.layers


def test_other_constructors_lose_the_class():
    class Strict(Task):
        def __init__(self, backbone, classes, **kwargs):
            if type(backbone) is not Backbone:
                raise TypeError("The backbone must be a Backbone.")
            super().__init__(backbone, classes, **kwargs)

    model = Strict(Backbone(8, name="backbone"), 3, name="task")
    with pytest.warns(UserWarning, match="'task' is of the class Strict"):
        copy = models.convert_normalization(model, "keras_norms")
    want = model.predict(X, verbose=0)
    np.testing.assert_allclose(copy.predict(X, verbose=0), want, atol=1e-5)
