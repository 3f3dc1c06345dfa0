"""Hooks with other arguments, and misspelt parameters, are refused."""

import inspect

import numpy as np
import pytest

from keras_norms import ops
from keras_norms.layers import BaseBatchNormalization
from keras_norms.layers import BaseNormalization
from tests.support.refusals import refusal

# Every hook, with an argument that it never receives.
HOOKED = {
    "coefficients": (
        BaseNormalization,
        lambda self, moments, params, gama=None: None,
        "moments, params",
    ),
    "algebra": (
        BaseBatchNormalization,
        lambda self, moments, instance, gama=None, **others: None,
        "moments, instance, params",
    ),
    "training_coefficients": (
        BaseBatchNormalization,
        lambda self, moments, instance, params, *, gama=None: None,
        "moments, instance, params",
    ),
    "running_target": (
        BaseBatchNormalization,
        lambda self, batch, rows, params, **others: None,
        "batch, rows, params",
    ),
    "example_statistics": (
        BaseBatchNormalization,
        lambda self, instance: None,
        "instance, params",
    ),
    # Arguments in another order, and a misspelt one.
    "channel_groups": (
        BaseBatchNormalization,
        lambda self, moment: None,
        "moments",
    ),
    "training_moments": (
        BaseBatchNormalization,
        lambda self, params, moments: None,
        "moments, params",
    ),
    "updated_state": (
        BaseBatchNormalization,
        lambda self, mean, variance, params=None: None,
        "mean, variance, params",
    ),
}


@pytest.mark.parametrize("hook", HOOKED)
def test_hooks_with_other_arguments_are_refused(hook):
    base, body, arguments = HOOKED[hook]
    body.__qualname__ = f"Own.{hook}"
    layer = type("Own", (base,), {hook: body})()
    assert refusal(layer.build, (2, 3)) == (
        f"The hook `{hook}` must have the arguments `(self, {arguments})`, in "
        f"this order. Received: `Own.{hook}{inspect.signature(body)}`. "
        "Correct the names; one that the hook does not use may begin with an "
        "underscore. Read a parameter of the layer as an attribute, such as "
        "`params.gamma`."
    )


def test_unused_arguments_may_begin_with_an_underscore():
    class Own(BaseBatchNormalization):
        def algebra(self, moments, _instance, params):
            return ops.affine(moments, params.gamma, epsilon=0.0)

    layer = Own()
    y = layer(np.array([[1.0], [3.0]]), training=True)
    np.testing.assert_allclose(y, [[-1.0], [1.0]], rtol=1e-6)


class Misspelling(BaseBatchNormalization):
    """Reads one parameter under a name that does not exist."""

    def __init__(self, hook, **kwargs):
        super().__init__(**kwargs)
        self.hook = hook

    def algebra(self, moments, instance, params):
        if self.hook == "read":
            gamma = params.gama
        elif self.hook == "read by name":
            gamma = params["gama"]
        else:
            gamma = params.replace(gama=1.0).gamma
        return ops.affine(moments, gamma)


@pytest.mark.parametrize("hook", ["read", "read by name", "replace"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_misspelled_parameters_are_refused(hook, training, scale):
    layer = Misspelling(hook, scale=scale)
    with pytest.raises(AttributeError) as refused:
        layer(np.ones((2, 3)), training=training)
    assert (
        "An algebra reads only the parameters of its layer, ['beta', "
        "'gamma', 'moving_mean', 'moving_variance']. Received: 'gama'. "
        "Correct the name, or add the tensor to the property `parameters`."
    ) in str(refused.value)
