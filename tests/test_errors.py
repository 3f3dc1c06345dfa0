"""Each bad input is refused with the rule, what came, and what to do."""

import inspect
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms.layers import BaseBatchNormalization
from keras_norms.layers import BaseNormalization

ALL = [
    getattr(layers, name)
    for name in layers.__all__
    if name not in ("ThresholdedLinearUnit", "WeightStandardization")
]
PLAIN_BATCH = [k for k in ALL if issubclass(k, layers.BatchNormalization)]
DYNAMIC = [layers.DynamicNormalization]
UNIFIED = [layers.UnifiedBatchNormalization]
FILTER = [layers.FilterResponseNormalization]
BATCH = [
    layers.BatchGroupNormalization,
    layers.BatchInstanceNormalization,
    layers.InstanceEnhancementBatchNormalization,
    layers.RepresentativeBatchNormalization,
    layers.SwitchableNormalization,
    *DYNAMIC,
    *UNIFIED,
    *PLAIN_BATCH,
]
INSTANCE = [layers.InstanceNormalization]
NOT_SPECIAL = [kind for kind in ALL if kind not in FILTER + INSTANCE]
GROUPED = [layers.BatchGroupNormalization, layers.GroupNormalization]
CROSS = [layers.CrossReplicaBatchNormalization]
UNDECIDED = [kind for kind in BATCH if kind not in CROSS]
SHAPE = (2, 3, 4)

AXIS = (
    "`axis` must be one integer, the channel axis. Received: axis={value}. "
    "Name one axis; to normalize over several, reshape the inputs so that one "
    "axis holds the channels."
)
BATCH_AXIS = (
    "`axis` must not be the batch axis. Received: axis=0. Use -1 for channels "
    "last, 1 for channels first."
)
RANK = (
    "Inputs must have a batch axis and a channel axis, rank 2 or more. "
    "Received: an input of shape {}, rank {}. Add the missing axis, for "
    "example with `keras.ops.expand_dims`."
)
BOUNDS = (
    "Axis {} is out of bounds for input shape (2, 3, 4): the channel axis "
    "lies between 1 and 2, or between -2 and -1. Received: axis={}. Use "
    "-1 for channels last, 1 for channels first."
)
UNDEFINED = (
    "Axis {} of input tensor should have a defined dimension but the "
    "layer received an input with shape {}. State the number of channels "
    "in `keras.Input`, or name another axis."
)
GROUPS = (
    "Received an invalid value for argument `groups`, expected a positive "
    "integer (or -1 for a group a channel, instance normalization). Received: "
    "groups={value}. Use a divisor of the number of channels."
)
MORE_GROUPS = (
    "Number of groups (5) cannot be more than the number of channels (4). "
    "Received: groups=5. Use a divisor of 4, or -1 for a group a channel."
)
NO_DIVISOR = (
    "The number of channels (4) must be a multiple of the number of groups "
    '(3); Keras words the rule as "must be a multiple of the number of '
    'channels". Received: groups=3. Use a divisor of 4, or -1 for a group a '
    "channel."
)
NOT_NEGATIVE = (
    "`{name}` must be a finite number, 0 or more. Received: {name}={value}. "
    "Use a small number such as 1e-3."
)
FRACTION = (
    "`{name}` must be a number between 0 and 1. Received: {name}={value}. Use "
    "a value in that range."
)
EXAMPLES = (
    "`{name}` must be a positive integer, or None for the whole batch. "
    "Received: {name}={value}. Use 1 or more examples."
)
EXCLUSIVE = (
    "`{name}` makes statistics of less than a replica's batch, `synchronized` "
    "of more: they exclude each other. Received: {name}=2, synchronized=True. "
    "Leave one of them out."
)
REPLICAS = (
    "`replicas_per_group` must be a positive integer, or None for all "
    "replicas. Received: replicas_per_group={value}. Use a divisor of the "
    "number of replicas."
)
SYNCHRONIZED = (
    "CrossReplicaBatchNormalization must be synchronized. Received: "
    "synchronized=False. Use BatchNormalization for separate statistics on "
    "each replica."
)
VIRTUAL = (
    "`virtual_batch_size` is called `ghost_batch_size` here, and need not "
    "divide the batch. Received: virtual_batch_size=4. Rename the argument."
)
KEYS = (
    "Received invalid keys for `renorm_clipping` argument: {value}. "
    "Supported keys: ['rmax', 'rmin', 'dmax']. Remove the "
    "others."
)
SWAPPED = (
    "rmax should be greater than rmin in the `renorm_clipping` argument. "
    "Received: rmax=1.0, rmin=2.0. Swap them?"
)
NEGATIVE = (
    "dmax should be non-negative in the `renorm_clipping` argument. Received: "
    "dmax=-1.0. Use 0 for no shift at all."
)
CLIPPING = (
    "`renorm_clipping` must be a dictionary of numbers. Received: "
    "renorm_clipping={value}. Supported keys: ['rmax', 'rmin', 'dmax']."
)
BOOLEAN = (
    "`{name}` must be True or False. Received: {name}={value}. Use one of "
    "them."
)
REAL = (
    "Inputs must be real numbers. Received: an input of dtype {}. Normalize "
    "real and imaginary parts by themselves; turn text into numbers first."
)
WEIGHT = (
    "`weight` must be a number, or a table that broadcasts to [rows, "
    "channels]. Received: a weight of shape (4,). Use `weight[None]` for one "
    "a channel, `weight[:, None]` for one a row."
)
ALGEBRA = (
    "The algebra must return `Coefficients(center, scale, shift)`. Received: "
    "{}. `keras_norms.ops.affine(moments, ...)` makes the usual ones."
)
STRAY = (
    "Gradients reach the input and the parameters of the two passes only, "
    "and other variables were read there. Received: ['stray:0']. Pass them "
    "as parameters, which a subclass adds to the property `parameters`, and "
    "apply an activation that has weights after the layer."
)
WHOLE = (
    "Moments of the whole batch cannot be split into blocks. Received: "
    "examples=2. Pool moments of examples, those of `instance_moments`."
)
MASK = (
    "The mask must cover the leading axes of the inputs without their channel "
    "axis, {sizes}, at least the batch. Received: mask.shape={mask}, "
    "inputs.shape={inputs}, axis={axis}. A mask says which positions count, "
    "for all channels of each."
)
INSTALL = (
    "keras_norms needs TensorFlow 2.20 or later, which is not installed. "
    "Install it with `pip install keras-norms[cpu]`, or with `pip install "
    "keras-norms[gpu]` for NVIDIA GPUs on Linux; or set KERAS_BACKEND to a "
    "backend of Keras that is installed."
)

COSINE = (
    "`{name}` is compared with a cosine and must be a number between -1 and "
    "1. Received: {name}={value}. Use 1 for never."
)
STEPS = (
    "`{name}` must be an integer, 0 or more, a number of training steps. "
    "Received: {name}={value}. Use 0 for none."
)
REDUCTION = (
    "`reduction` must be a finite number, 1 or more: a layer of C channels "
    "has a bottleneck of C / reduction, but at least 1. Received: "
    "reduction={value}. Use 1 for none."
)
ONE_OF = (
    "`{{name}}` must be one of {}. Received: {{name}}={{value}}. Use one of "
    "these."
)
STATISTICS = ONE_OF.format(["batch", "sequential", "average"])
SCOPES = ONE_OF.format(["example", "batch"])
RUNNING = ONE_OF.format(["running", "batch"])
READINGS = ONE_OF.format(["keep_statistics", "use_running"])
SIMILARITIES = ONE_OF.format(["features", "pooled"])
SCALES = ONE_OF.format(["representative", "instance_enhancement"])
WRAPPED = (
    "WeightStandardization wraps convolutions, including transposed and "
    "depthwise ones, and Dense layers. Received: layer={} of type {}. Wrap "
    "the layers of the model that have a kernel."
)

NOT_NUMBERS = ([3.0], 3.0, {"rmax": "3"}, {"dmax": float("nan")})
OUTSIDE = (-0.1, 1.1, float("nan"), "0.9", None, True)
NO_COUNT = (0, -1, 2.5, "2", True)

# Layers, an argument of theirs, bad values of it, the message.
ARGUMENTS = [
    (ALL, "axis", ([2, 3], (2, 3), [], True, 1.5, "1"), AXIS),
    (NOT_SPECIAL, "axis", ([1, 2], (1, 2), None), AXIS),
    (FILTER, "axis", ([1, 2, 3], None), AXIS),
    (ALL, "axis", (0, [0]), BATCH_AXIS),
    (ALL, "epsilon", (-1e-3, float("inf"), *OUTSIDE[2:], -1), NOT_NEGATIVE),
    (GROUPED, "groups", (0, -2, 1.5, "32", True, None), GROUPS),
    (BATCH, "momentum", OUTSIDE, FRACTION),
    (BATCH, "inference_weight", OUTSIDE, FRACTION),
    (PLAIN_BATCH, "renorm_momentum", OUTSIDE, FRACTION),
    (PLAIN_BATCH, "ghost_batch_size", NO_COUNT, EXAMPLES),
    (GROUPED[:1], "examples_per_group", NO_COUNT, EXAMPLES),
    (CROSS, "replicas_per_group", NO_COUNT, REPLICAS),
    (CROSS, "synchronized", (False,), SYNCHRONIZED),
    (PLAIN_BATCH, "virtual_batch_size", (4,), VIRTUAL),
    (PLAIN_BATCH, "fused", (1, "yes"), BOOLEAN),
    (PLAIN_BATCH, "renorm_clipping", ({"rmax": 3.0, "dmix": 5.0},), KEYS),
    (PLAIN_BATCH, "renorm_clipping", ({"rmax": 1.0, "rmin": 2.0},), SWAPPED),
    (PLAIN_BATCH, "renorm_clipping", ({"dmax": -1.0},), NEGATIVE),
    (PLAIN_BATCH, "renorm_clipping", NOT_NUMBERS, CLIPPING),
    (PLAIN_BATCH, "renorm", (1, None, "yes"), BOOLEAN),
    (UNDECIDED, "synchronized", (1, "no"), BOOLEAN),
    (PLAIN_BATCH, "ghost_statistics", ("all", None), STATISTICS),
    (DYNAMIC, "scope", ("channel", None, 1), SCOPES),
    (DYNAMIC, "reduction", (0, 0.5, -1, "24", None, float("nan")), REDUCTION),
    (DYNAMIC, "inference_statistics", ("moving",), RUNNING),
    (DYNAMIC, "separate", (1,), BOOLEAN),
    (DYNAMIC, "use_bias", (None,), BOOLEAN),
    (UNIFIED, "condensation_threshold", (-1.1, 1.5, "0.8", None), COSINE),
    (UNIFIED, "warmup_steps", (-1, 2.5, None, True), STEPS),
    (UNIFIED, "when_condensed", ("skip", None), READINGS),
    (UNIFIED, "similarity", ("cosine", None), SIMILARITIES),
    (UNIFIED, "calibrate_center", (1, None), BOOLEAN),
    (UNIFIED, "calibrate_scale", ("representative",), BOOLEAN),
    (UNIFIED, "scale_calibration", (True, None), SCALES),
    (FILTER, "learnable_epsilon", (1,), BOOLEAN),
]

# Layers, their arguments, a shape that does not go with them, the message.
SHAPES = [
    (ALL, {}, (4,), RANK.format((4,), 1)),
    (ALL, {}, (), RANK.format((), 0)),
    *((ALL, {"axis": k}, SHAPE, BOUNDS.format(k, k)) for k in (3, 7, -3, -4)),
    (ALL, {}, (2, 3, None), UNDEFINED.format(-1, (2, 3, None))),
    (ALL, {"axis": 1}, (2, None, 4), UNDEFINED.format(1, (2, None, 4))),
    (GROUPED, {"groups": 5}, SHAPE, MORE_GROUPS),
    (GROUPED, {"groups": 3}, SHAPE, NO_DIVISOR),
]

# The axis, the shapes of inputs and of a mask, the sizes that it may cover.
MASKS = [
    (-1, (4, 5, 6, 3), (3,), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (4, 6), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (4, 5, 3), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (), (4, 5, 6)),
    (-1, (4, 5, 6, 3), (4, 5, 6, 3), (4, 5, 6)),
    (1, (4, 3, 5, 6), (4, 3), (4, 5, 6)),
    (1, (4, 3, 5, 6), (4, 3, 5, 6), (4, 5, 6)),
    (-1, (4, 3), (4, 3), (4,)),
]


def refusal(function, *args, **kwargs):
    """The message of the ValueError that a call must raise."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  compared whole
        function(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (kind, name, value, message)
        for kinds, name, values, message in ARGUMENTS
        for value in values
        for kind in kinds
    ],
)
def test_argument(kind, name, value, message):
    message = message.format(name=name, value=repr(value))
    assert refusal(kind, **{name: value}) == message


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, "ghost_batch_size") for kind in PLAIN_BATCH]
    + [(layers.BatchGroupNormalization, "examples_per_group")],
)
def test_blocks_and_replicas_exclude_each_other(kind, name):
    arguments = {name: 2, "synchronized": True}
    assert refusal(kind, **arguments) == EXCLUSIVE.format(name=name)


@pytest.mark.parametrize(
    ("kind", "arguments", "shape", "message"),
    [(kind, *case) for kinds, *case in SHAPES for kind in kinds],
)
def test_shape(kind, arguments, shape, message):
    layer = kind(**arguments)
    assert refusal(layer, keras.KerasTensor(shape)) == message
    assert refusal(layer.build, shape) == message
    assert not layer.weights


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("axis", "inputs", "mask", "sizes"), MASKS)
def test_mask(kind, axis, inputs, mask, sizes):
    layer = kind(axis=axis, **({"groups": 1} if kind in GROUPED else {}))
    message = MASK.format(sizes=sizes, mask=mask, inputs=inputs, axis=axis)
    x, mask = np.zeros(inputs, "float32"), np.ones(mask, "bool")
    # Keras wraps what `call` raises; by itself, it raises our message.
    assert f"\x1b[1m{message}\x1b[0m" in refusal(layer, x, mask=mask)
    assert refusal(layer.call, x, mask=mask) == message


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", ["complex64", "str"])
def test_what_is_not_a_number(kind, dtype):
    layer = kind(**({"groups": 1} if kind in GROUPED else {}))
    layer.build((2, 3))
    received = "string" if dtype == "str" else dtype
    x = np.ones((2, 3), dtype)
    assert refusal(layer.call, x) == REAL.format(received)


@pytest.mark.parametrize("mask", [[True, False], [1, 0]])
def test_a_list_is_a_mask(mask):
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    y = layers.InstanceNormalization()(x, mask=mask)
    assert not np.any(y[1])
    assert np.any(y[0])


FUNCTIONS = [
    lambda x, **kwargs: ops.instance_moments(x, **kwargs),
    lambda x, **kwargs: ops.normalize(x, ops.affine, **kwargs),
    lambda x, **kwargs: ops.group_normalization(x, groups=1, **kwargs),
    lambda x, **kwargs: ops.feature_similarity(x, **kwargs),
    lambda x, **kwargs: ops.feature_similarity(x, pooled=True, **kwargs),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_refuse_what_layers_do(function):
    x = np.ones(SHAPE, "float32")
    assert refusal(function, x[0, 0]) == RANK.format((4,), 1)
    assert refusal(function, x, axis=3) == BOUNDS.format(3, 3)
    assert refusal(function, x, axis=-3) == BOUNDS.format(-3, -3)
    assert refusal(function, x + 0j) == REAL.format("complex64")
    message = MASK.format(sizes=(2, 3), mask=(3,), inputs=SHAPE, axis=-1)
    assert refusal(function, x, mask=np.ones(3, "bool")) == message


def test_the_function_refuses_groups_that_do_not_divide():
    x = np.ones(SHAPE, "float32")
    function = ops.group_normalization
    assert refusal(function, x, groups=5) == MORE_GROUPS
    assert refusal(function, x, groups=3) == NO_DIVISOR
    assert refusal(function, x, groups=0) == GROUPS.format(value=0)


def test_moments_refuse_blocks_and_weights():
    moments = ops.instance_moments(np.ones(SHAPE, "float32"))
    assert refusal(moments.pool, groups=5) == MORE_GROUPS
    assert refusal(moments.pool, groups=3) == NO_DIVISOR
    assert refusal(moments.pool, groups=0) == GROUPS.format(value=0)
    message = EXAMPLES.format(name="examples", value=0)
    assert refusal(moments.pool, examples=0) == message
    weight = np.ones(4, "float32")
    assert refusal(moments.blend, moments, weight) == WEIGHT


@pytest.mark.parametrize("result", [(1, 2), [], None], ids=str)
def test_the_algebra_returns_coefficients(result):
    x = np.ones(SHAPE, "float32")
    message = ALGEBRA.format(type(result).__name__)
    assert refusal(ops.normalize, x, lambda moments: result) == message


def test_gradients_reach_parameters_only():
    stray = keras.Variable(np.ones(4, "float32"), name="stray")
    x = tf.ones(SHAPE)
    with tf.GradientTape() as tape:
        y, _ = ops.normalize(x, lambda moments: ops.affine(moments, stray))
    assert refusal(tape.gradient, y, stray.value) == STRAY


def test_moments_of_the_batch_are_not_split():
    whole = ops.instance_moments(np.ones(SHAPE, "float32")).pool(examples=None)
    assert refusal(whole.pool, examples=2) == WHOLE


@pytest.mark.parametrize("name", ["axis", "groups"])
def test_an_integer_of_numpy_is_one(name):
    layer = layers.GroupNormalization(**{name: np.int64(4)})
    assert getattr(layer, name) == 4


@pytest.mark.parametrize("axis", [[3], (3,)])
def test_a_list_of_one_axis_is_that_axis(axis):
    assert all(kind(axis=axis).axis == 3 for kind in ALL)


def test_without_tensorflow_the_import_says_what_to_install():
    script = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Blocker())
try:
    import keras_norms
except ModuleNotFoundError as error:
    print(error, end="")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.stdout == INSTALL, ran.stderr


def test_renorm_takes_one_step_a_batch():
    message = refusal(
        layers.BatchNormalization, renorm=True, ghost_statistics="sequential"
    )
    assert message == (
        "`renorm` moves averages of its own, one step a batch, and "
        '`ghost_statistics="sequential"` takes one a ghost batch. Received '
        'both. Use "batch" or "average" with renorm.'
    )


@pytest.mark.parametrize("bad", [None, 3, keras.layers.ReLU(name="relu")])
def test_weight_standardization_wraps_what_has_a_kernel(bad):
    message = WRAPPED.format(repr(bad), type(bad).__name__)
    assert refusal(layers.WeightStandardization, bad) == message


def test_weight_standardization_refuses_an_epsilon():
    dense = keras.layers.Dense(2)
    message = refusal(layers.WeightStandardization, dense, epsilon=-1)
    assert message == NOT_NEGATIVE.format(name="epsilon", value=-1)


def test_a_threshold_has_one_channel_axis():
    kind = layers.ThresholdedLinearUnit
    assert refusal(kind, axis=0) == BATCH_AXIS
    assert refusal(kind().build, (4,)) == RANK.format((4,), 1)
    assert refusal(kind(axis=3).build, SHAPE) == BOUNDS.format(3, 3)


def test_no_channels():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        layers.GroupNormalization(groups=1).build((4, 3, 0))
    assert str(error.value) == (
        "Axis -1 of the inputs must hold one channel or more. Received: an "
        "input of shape (4, 3, 0). Name the channel axis."
    )


# Each hook, with an argument that it would never receive.
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
        f"The hook `{hook}` must have the arguments `(self, {arguments})`. "
        f"Received: `Own.{hook}{inspect.signature(body)}`. Read a parameter "
        "of the layer as an attribute, such as `params.gamma`."
    )


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
def test_misspelt_names_of_parameters_are_refused(hook, training, scale):
    layer = Misspelling(hook, scale=scale)
    with pytest.raises(AttributeError) as refused:
        layer(np.ones((2, 3)), training=training)
    assert (
        "An algebra reads only the parameters of its layer, ['beta', "
        "'gamma', 'moving_mean', 'moving_variance']. Received: 'gama'. "
        "Correct the name, or add the tensor to the property `parameters`."
    ) in str(refused.value)
