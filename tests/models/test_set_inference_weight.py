"""Setting the inference weight of a model's layers."""

import numpy as np
import pytest

from keras_norms import models
from tests.models.networks import classifier
from tests.models.networks import data
from tests.models.networks import many_norms
from tests.models.networks import running_layers
from tests.support.refusals import refusal
from tests.validation.messages import FRACTION


def test_new_weight_reaches_traced_functions():
    model = classifier(nested=True)
    x, _ = data(20, model.input_shape[1:], seed=2)
    model.predict(x, verbose=0)
    changed = models.set_inference_weight(model, 0.5)
    assert changed == running_layers(model)
    logits = model(x, training=False)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), logits, rtol=1e-5, atol=1e-5
    )
    message = FRACTION.format(name="weight", value=2)
    assert refusal(models.set_inference_weight, model, 2) == message


def test_warning_about_batch_norms_of_keras():
    model = many_norms()
    with pytest.warns(
        UserWarning, match="batch normalization layers of"
    ) as warned:
        models.set_inference_weight(model, 0.5)
    assert str(warned[0].message) == (
        f"1 of the 4 batch normalization layers of {model.name!r} are layers "
        "of Keras, which have no `inference_weight`, and do not change. "
        "Replace them by those of keras_norms, with "
        "`keras.models.clone_model` and its `clone_function`, which must "
        "clone nested models itself."
    )
    assert warned[0].filename == __file__
