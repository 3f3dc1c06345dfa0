"""What must hold of dynamic and unified batch norm and of their relatives."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_norms import layers
from keras_norms import ops
from keras_norms import regularizers
from tests.samples import BATCH
from tests.samples import CHANNELS
from tests.samples import EXACT
from tests.samples import SIZE
from tests.samples import close
from tests.samples import gradient
from tests.samples import inputs
from tests.samples import running
from tests.samples import trained
from tests.samples import with_averages

FLOAT64 = {"dtype": "float64"}
AXES = (0, 1, 2)
BARE = {"calibrate_center": False, "calibrate_scale": False}
ALWAYS = {"condensation_threshold": -1.0, "warmup_steps": 0}
READINGS = ["keep_statistics", "use_running"]
CALIBRATIONS = ["representative", "instance_enhancement"]


def batch_norm_like(layer):
    return layers.BatchNormalization(
        epsilon=layer.epsilon,
        momentum=layer.momentum,
        dtype=layer.dtype_policy,
    )


def randomized(layer, seed=3, low=0.2, high=0.8):
    layer.build((None, 5, 4, CHANNELS))
    random = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(random.uniform(low, high, variable.shape))
    return layer


# Unified batch norm: the condensation threshold


def step(layer, x, dy):
    """y, gradients and running statistics of a training step in a graph."""

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        sources = [x, layer.gamma.value, layer.beta.value]
        return y, *tape.gradient(y, sources, tf.constant(dy))

    results = run(tf.constant(x))
    return *results, layer.moving_mean, layer.moving_variance


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threshold", [1, 1.0])
def test_threshold_1_is_batch_norm_bit_for_bit(reading, dtype, threshold):
    """Also where all examples are equal, and S would round to above 1."""
    layer = layers.UnifiedBatchNormalization(
        condensation_threshold=threshold,
        warmup_steps=0,
        when_condensed=reading,
        dtype=dtype,
        **BARE,
    )
    plain = batch_norm_like(layer)
    for x in (inputs(), np.broadcast_to(inputs()[:1], inputs().shape)):
        x, dy = x.astype(dtype), inputs(1).astype(dtype)
        steps = (step(each, x, dy) for each in (layer, plain))
        for have, want in zip(*steps, strict=True):
            np.testing.assert_array_equal(have, want)
        np.testing.assert_array_equal(layer(x), plain(x))


def test_always_condensed_keeping_statistics_is_batch_norm_that_never_moves():
    x = inputs()
    layer = layers.UnifiedBatchNormalization(**ALWAYS, **BARE, **FLOAT64)
    plain = batch_norm_like(layer)
    for seed in range(3):
        x = inputs(seed)
        np.testing.assert_array_equal(trained(layer, x), trained(plain, x))
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(CHANNELS))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(CHANNELS))
    assert layer.updates == 0
    assert layer.steps == 3


@pytest.mark.parametrize("more", [BARE, {}, {"inference_weight": 0.3}])
def test_always_condensed_using_running_trains_as_it_infers(more):
    layer = layers.UnifiedBatchNormalization(
        when_condensed="use_running", **ALWAYS, **FLOAT64, **more
    )
    randomized(layer)
    mean, variance = running()
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    x = inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        close(trained(layer, x), layer(x))
    np.testing.assert_array_equal(layer.moving_mean, mean)


@pytest.mark.parametrize("pooled", [False, True])
def test_similarity_is_the_mean_cosine_of_pairs(pooled):
    x = inputs()
    features = x.mean((1, 2)) if pooled else x.reshape(BATCH, -1)
    u = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [u[n] @ u[k] for n in range(BATCH) for k in range(BATCH) if n != k]
    have = ops.feature_similarity(x, pooled=pooled)
    close(have, np.mean(pairs))
    close(ops.feature_similarity(x[::-1], pooled=pooled), have)
    close(ops.feature_similarity(7.5 * x, pooled=pooled), have)


def test_similarity_of_equal_opposite_and_orthogonal_features():
    x = inputs()[:1]
    close(ops.feature_similarity(np.concatenate([x] * 5)), 1)
    close(ops.feature_similarity(np.concatenate([x, -x])), -1)
    close(ops.feature_similarity(np.eye(4)), 0)


def test_similarity_of_standardized_features_is_never_above_0():
    """Their mean inner product is -mean |xhat|**2 / (N - 1)."""
    x = np.random.default_rng(0).normal(3, 1, (BATCH, CHANNELS))
    y = trained(layers.BatchNormalization(**EXACT), x)
    inner = y @ y.T
    mean = inner[~np.eye(BATCH, dtype=bool)].mean()
    close(mean, -np.trace(inner) / BATCH / (BATCH - 1))
    assert ops.feature_similarity(y) < 0 < ops.feature_similarity(x)


def test_similarity_of_few_or_of_nothing_is_finite():
    x = inputs()
    assert ops.feature_similarity(x[:1]) == 0
    assert ops.feature_similarity(x[:0]) == 0
    assert ops.feature_similarity(0 * x) == 0
    assert np.isfinite(ops.feature_similarity(x[:, :0]))
    alone = layers.UnifiedBatchNormalization(**{**ALWAYS, **FLOAT64})
    assert np.isfinite(trained(alone, x[:1])).all()


def test_similarity_leaves_out_what_is_masked():
    x = inputs()
    mask = np.random.default_rng(0).random((BATCH, 5)) < 0.6
    mask[2] = False
    kept = np.delete(x * mask[:, :, None, None], 2, axis=0)
    x[~mask] = np.nan
    close(ops.feature_similarity(x, mask), ops.feature_similarity(kept))


def test_no_gradient_flows_through_similarity():
    x = tf.constant(inputs())
    with tf.GradientTape() as tape:
        tape.watch(x)
        similarity = ops.feature_similarity(x)
    assert tape.gradient(similarity, x) is None


def test_averages_follow_the_batches_that_are_not_condensed():
    condensed = np.abs(inputs()) + 20
    batches = [condensed, inputs(1), condensed, condensed, inputs(2)]
    layer = layers.UnifiedBatchNormalization(
        condensation_threshold=0.9,
        warmup_steps=0,
        momentum=0.8,
        **BARE,
        **FLOAT64,
    )
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for x in batches:
        layer(x, training=True)
        close(layer.similarity, ops.feature_similarity(x))
        if x is not condensed:
            mean = 0.8 * mean + 0.2 * x.mean(AXES)
            variance = 0.8 * variance + 0.2 * x.var(AXES)
        close(layer.moving_mean, mean)
        close(layer.moving_variance, variance)
    assert layer.steps == 5
    assert layer.updates == 2


def test_the_warm_up_follows_all_batches():
    layer = layers.UnifiedBatchNormalization(
        condensation_threshold=-1.0, warmup_steps=3, **BARE, **FLOAT64
    )
    plain = batch_norm_like(layer)
    for seed in range(3):
        trained(layer, inputs(seed))
        trained(plain, inputs(seed))
    trained(layer, inputs(9))
    np.testing.assert_array_equal(layer.moving_mean, plain.moving_mean)
    np.testing.assert_array_equal(layer.moving_variance, plain.moving_variance)


def test_inference_computes_no_similarity():
    layer = layers.UnifiedBatchNormalization(**FLOAT64)
    before = layer(inputs())
    layer.observed = None
    np.testing.assert_array_equal(layer(inputs()), before)


def condensed_all_along(**more):
    layer = layers.UnifiedBatchNormalization(
        **{**ALWAYS, "name": "norm", **more}
    )
    for _ in range(4):
        layer(np.ones((4, 3), "float32"), training=True)
    return layer


WARNING = (
    "norm: every batch since its warm-up of {} steps was condensed ({} so "
    "far, similarity above -1.0, last 1.000), so the running statistics are "
    "{}, and inference with them may be inaccurate. Raise "
    "`condensation_threshold` or `warmup_steps`."
)


@pytest.mark.parametrize(
    ("steps", "skipped", "state"),
    [(0, 4, "still the initial ones"), (2, 2, "those of the first 2 steps")],
)
def test_a_layer_condensed_all_along_warns_once(steps, skipped, state):
    layer = condensed_all_along(warmup_steps=steps)
    with pytest.warns(UserWarning, match="^norm: ") as caught:
        layer(np.ones((4, 3), "float32"))
    (warning,) = caught
    assert str(warning.message) == WARNING.format(steps, skipped, state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(np.ones((4, 3), "float32"))


def test_a_model_condensed_all_along_warns_where_it_is_used(tmp_path):
    def fitted():
        layer = layers.UnifiedBatchNormalization(**ALWAYS, name="norm")
        model = keras.Sequential([keras.Input((3,)), layer])
        model.compile("sgd", "mse")
        x = np.ones((8, 3))
        model.fit(x, x, batch_size=2, verbose=0)
        return model

    message = WARNING.format(0, 4, "still the initial ones")
    for use in (
        lambda model: model.save(tmp_path / "model.keras"),
        lambda model: model.predict(np.ones((8, 3)), verbose=0),
        lambda model: model.evaluate(np.ones((8, 3)), np.ones((8, 3))),
    ):
        with pytest.warns(UserWarning, match="^norm: ") as caught:
            use(fitted())
        ours = [str(w.message) for w in caught if "norm: " in str(w.message)]
        assert ours == [message]


def test_a_layer_with_other_batches_does_not_warn():
    layer = layers.UnifiedBatchNormalization(warmup_steps=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(inputs().astype("float32"))
        layer(inputs().astype("float32"), training=True)
        layer(np.ones((6, 5, 4, CHANNELS), "float32"), training=True)
        layer(inputs().astype("float32"))


# Calibrations


def test_calibrated_norms_start_as_a_share_of_batch_norm():
    x = inputs()
    layer = layers.RepresentativeBatchNormalization(**FLOAT64)
    want = trained(batch_norm_like(layer), x)
    close(trained(layer, x), 0.7310585786300049 * want)
    layer = layers.InstanceEnhancementBatchNormalization(**FLOAT64)
    close(trained(layer, x), 0.2689414213699951 * want)


def test_moments_of_calibrated_centers():
    x = inputs()
    layer = layers.RepresentativeBatchNormalization(momentum=0.0, **FLOAT64)
    weight = randomized(layer).center_weight.numpy()
    layer(x, training=True)
    means = x.mean((1, 2))
    close(layer.moving_mean, (1 + weight) * x.mean(AXES))
    want = x.var((1, 2)).mean(0) + (1 + weight) ** 2 * means.var(0)
    close(layer.moving_variance, want)


def test_center_weight_minus_1_takes_each_examples_mean_away():
    layer = layers.RepresentativeBatchNormalization(**EXACT)
    layer.build(inputs().shape)
    layer.center_weight.assign(-np.ones(CHANNELS))
    y = trained(layer, inputs())
    close(y.mean((1, 2)), 0)


def test_an_open_gate_leaves_batch_norm():
    layer = layers.RepresentativeBatchNormalization(**FLOAT64)
    layer.build(inputs().shape)
    layer.scale_bias.assign(np.full(CHANNELS, 50.0))
    close(
        trained(layer, inputs()),
        trained(batch_norm_like(layer), inputs()),
    )


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_calibrated_inference_does_not_see_the_other_examples(
    calibration, weight
):
    layer = layers.UnifiedBatchNormalization(
        scale_calibration=calibration, inference_weight=weight, **FLOAT64
    )
    with_averages(randomized(layer), *running())
    x = inputs()
    alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
    close(layer(x), alone)


def test_weighing_of_calibrated_centers_is_that_of_their_moments():
    layer = layers.UnifiedBatchNormalization(
        calibrate_scale=False, inference_weight=0.3, **EXACT
    )
    with_averages(randomized(layer), *running())
    x, (mean, variance) = inputs(), running()
    x = x + layer.center_weight.numpy() * x.mean((1, 2), keepdims=True)
    first = 0.3 * x.mean((1, 2)) + 0.7 * mean
    second = 0.3 * (x**2).mean((1, 2)) + 0.7 * (variance + mean**2)
    deviation = np.sqrt(second - first**2)[:, None, None]
    want = (x - first[:, None, None]) / deviation
    gamma, beta = layer.gamma.numpy(), layer.beta.numpy()
    close(layer(inputs()), want * gamma + beta)


# Dynamic norm


@pytest.mark.parametrize("scope", ["example", "batch"])
@pytest.mark.parametrize("separate", [False, True])
def test_dynamic_norm_starts_as_batch_norm(scope, separate):
    x, dy = inputs(), inputs(1)
    layer = layers.DynamicNormalization(scope, separate=separate, **FLOAT64)
    plain = layers.BatchNormalization(**FLOAT64)
    for have, want in zip(step(layer, x, dy), step(plain, x, dy), strict=True):
        close(have, want)
    close(layer(x), plain(x))


def both_scopes():
    return [
        randomized(layers.DynamicNormalization(scope, reduction=1, **FLOAT64))
        for scope in ("example", "batch")
    ]


def test_scopes_agree_on_one_example_and_on_equal_ones():
    example, batch = both_scopes()
    for x in (inputs()[:1], np.concatenate([inputs()[:1]] * 4)):
        close(trained(example, x), trained(batch, x))
    x = inputs()
    assert np.abs(trained(example, x) - trained(batch, x)).max() > 0.1


def test_dynamic_norm_can_undo_batch_norm():
    """With std - 1 added to gamma and the mean to beta, nothing happens."""
    layer = layers.DynamicNormalization(
        "batch",
        separate=True,
        reduction=1,
        hidden_activation="linear",
        **EXACT,
    )
    layer.build(inputs().shape)
    for name in ("scale_", "shift_"):
        for kernel in ("hidden_kernel", "output_kernel"):
            getattr(layer, name + kernel).assign(np.eye(CHANNELS))
    layer.scale_output_bias.assign(-np.ones(CHANNELS))
    close(trained(layer, inputs()), inputs())


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_dynamic_inference_does_not_see_the_other_examples(weight):
    for layer in both_scopes():
        layer.inference_weight = weight
        with_averages(layer, *running())
        x = inputs()
        alone = np.concatenate([layer(x[i : i + 1]) for i in range(BATCH)])
        np.testing.assert_allclose(layer(x), alone, rtol=1e-13)


def test_dynamic_norm_permutes_as_its_examples_do():
    layer, _ = both_scopes()
    order = np.random.default_rng(0).permutation(BATCH)
    y = trained(layer, inputs())
    np.testing.assert_allclose(
        trained(layer, inputs()[order]), y[order], rtol=1e-12
    )


def test_batch_scope_infers_from_running_statistics_or_from_the_batch():
    x = inputs()
    _, layer = both_scopes()
    config = {**layer.get_config(), "inference_statistics": "batch"}
    other = randomized(type(layer).from_config(config))
    for each in (layer, other):
        with_averages(each, x.mean(AXES), x.var(AXES))
    want = trained(type(layer).from_config(config), x)
    np.testing.assert_allclose(layer(x), other(x), rtol=1e-12)
    assert want.shape == x.shape
    alone = layer(x[:1])
    np.testing.assert_allclose(layer(x)[:1], alone, rtol=1e-13)
    assert np.abs(other(x)[:1] - other(x[:1])).max() > 0.1


@pytest.mark.parametrize("scope", ["example", "batch"])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("epsilon", [1e-3, 0.0])
def test_gradients_of_dynamic_norm_reach_everything(scope, constant, epsilon):
    """As finite differences say, also where an example is constant."""
    layer = layers.DynamicNormalization(
        scope, reduction=1, epsilon=epsilon, **FLOAT64
    )
    randomized(layer)
    x, dy = inputs(), inputs(1)
    if constant:
        x[0] = 2.0
    with tf.GradientTape() as tape:
        variables = [v.value for v in layer.trainable_variables]
        loss = tf.reduce_sum(layer(x, training=True) * dy)
    for g in tape.gradient(loss, variables):
        assert np.isfinite(g).all()
        assert np.any(g)
    have = gradient(layer, x, dy)
    assert np.isfinite(have).all()
    direction = inputs(2)
    if constant and epsilon == 0:
        direction[0] = 1.0  # The root is not differentiable otherwise.
    above, below = (
        (trained(layer, x + sign * 1e-6 * direction) * dy).sum()
        for sign in (1, -1)
    )
    want = (above - below) / 2e-6
    np.testing.assert_allclose((have * direction).sum(), want, rtol=1e-6)


def test_dynamic_norm_adds_the_papers_share_to_mobilenet():
    """0.6% of multiply-adds, within 0.1, with the default reduction."""
    model = keras.applications.MobileNetV2(weights=None)
    theirs = keras.layers.BatchNormalization

    def swapped(layer):
        if not isinstance(layer, theirs):
            return type(layer).from_config(layer.get_config())
        return layers.DynamicNormalization(
            momentum=layer.momentum, epsilon=layer.epsilon, name=layer.name
        )

    changed = keras.models.clone_model(model, clone_function=swapped)
    norms = [
        layer
        for layer in changed.layers
        if isinstance(layer, layers.DynamicNormalization)
    ]
    assert len(norms) == 52
    added = sum(
        int(np.prod(variable.shape))
        for layer in norms
        for variable in layer.trainable_variables
        if "kernel" in variable.name
    )
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            _, height, width, channels = layer.output.shape
            total += height * width * channels * np.prod(layer.kernel_size)
        elif isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * np.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += np.prod(layer.kernel.shape)
    assert abs(total / 300.8e6 - 1) < 0.01
    assert abs(100 * added / total - 0.6) < 0.1
    more = changed.count_params() - model.count_params()
    biases = sum(
        int(np.prod(variable.shape))
        for layer in norms
        for variable in layer.trainable_variables
        if "bias" in variable.name
    )
    assert more == added + biases


# The conventions of ghost batches' statistics


def ghosts_of(x, size):
    return [x[k : k + size] for k in range(0, len(x), size)]


@pytest.mark.parametrize("size", [1, 2, 4, BATCH, 10])
@pytest.mark.parametrize("momentum", [0.0, 0.8, 1.0])
def test_averages_take_a_step_for_each_ghost_batch(size, momentum):
    layer = layers.GhostBatchNormalization(
        size, ghost_statistics="sequential", momentum=momentum, **FLOAT64
    )
    mean, variance = np.zeros(CHANNELS), np.ones(CHANNELS)
    for seed in range(2):
        layer(inputs(seed), training=True)
        for ghost in ghosts_of(inputs(seed), size):
            mean = momentum * mean + (1 - momentum) * ghost.mean(AXES)
            variance = momentum * variance + (1 - momentum) * ghost.var(AXES)
    close(layer.moving_mean, mean)
    close(layer.moving_variance, variance)


@pytest.mark.parametrize("size", [1, 2, 4, BATCH, 10])
def test_averages_take_a_step_of_the_mean_of_ghost_batches(size):
    layer = layers.GhostBatchNormalization(
        size, ghost_statistics="average", momentum=0.8, **FLOAT64
    )
    layer(inputs(), training=True)
    ghosts = ghosts_of(inputs(), size)
    share = np.array([len(g) for g in ghosts]) / BATCH
    variance = sum(s * g.var(AXES) for s, g in zip(share, ghosts, strict=True))
    close(layer.moving_mean, 0.2 * inputs().mean(AXES))
    close(layer.moving_variance, 0.8 + 0.2 * variance)
    means = np.stack([g.mean(AXES) for g in ghosts])
    between = (share[:, None] * (means - inputs().mean(AXES)) ** 2).sum(0)
    close(variance + between, inputs().var(AXES))


@pytest.mark.parametrize("statistics", ["sequential", "average"])
@pytest.mark.parametrize("unknown", [False, True])
def test_masked_ghost_batches_are_no_step(statistics, unknown):
    """As if they were not there, of known and of unknown batches."""
    mask = np.array([True, True, False, False, True, True])
    some, all_of_it = (
        layers.GhostBatchNormalization(
            2, ghost_statistics=statistics, momentum=0.8, **FLOAT64
        )
        for _ in range(2)
    )
    x = inputs()
    shape = [None if unknown else BATCH, *x.shape[1:]]

    @tf.function(input_signature=[tf.TensorSpec(shape, "float64")])
    def run(x):
        return some(x, training=True, mask=mask)

    run(x)
    all_of_it(x[mask], training=True)
    close(some.moving_mean, all_of_it.moving_mean)
    close(some.moving_variance, all_of_it.moving_variance)


# Weight decay


def test_pull_to_one_is_weight_decay_of_gamma_minus_1():
    regularizer = regularizers.PullToOne(0.02)
    gamma = tf.Variable(np.linspace(-1, 3, 7))
    with tf.GradientTape() as tape:
        penalty = regularizer(gamma)
    close(tape.gradient(penalty, gamma), 0.02 * (gamma.numpy() - 1))
    close(penalty, 0.01 * ((gamma.numpy() - 1) ** 2).sum())
    assert regularizer(tf.ones(5)) == 0


# The relatives


def test_batch_instance_norm_has_both_ends():
    layer = layers.BatchInstanceNormalization(**EXACT)
    x = inputs()
    close(trained(layer, x), trained(layers.BatchNormalization(**EXACT), x))
    layer.rho.assign(np.zeros(CHANNELS))
    close(trained(layer, x), layers.InstanceNormalization(**EXACT)(x))


@pytest.mark.parametrize("start", [0.1, 0.9])
def test_the_share_of_batch_norm_stays_within_0_and_1(start):
    layer = layers.BatchInstanceNormalization()
    model = keras.Sequential([keras.Input((5, 4, CHANNELS)), layer])
    layer.rho.assign(np.full(CHANNELS, start))
    model.compile(keras.optimizers.SGD(10.0), "mse")
    model.fit(inputs(), inputs(1), epochs=3, verbose=0)
    rho = layer.rho.numpy()
    assert ((rho >= 0) & (rho <= 1)).all()
    assert ((rho == 0) | (rho == 1)).any()


@pytest.mark.parametrize(
    ("index", "other", "more"),
    [
        (0, layers.InstanceNormalization, {}),
        (1, layers.GroupNormalization, {"groups": 1}),
        (2, layers.BatchNormalization, {}),
    ],
)
def test_one_hot_logits_switch_to_one_norm(index, other, more):
    x = inputs()
    layer = layers.SwitchableNormalization(**EXACT)
    layer.build(x.shape)
    logits = np.full(3, -800.0)
    logits[index] = 0.0
    layer.mean_logits.assign(logits)
    layer.variance_logits.assign(logits)
    close(trained(layer, x), other(**EXACT, **more)(x, training=True))


def test_filter_response_norm_undoes_scales_but_not_shifts():
    x = inputs()
    layer = layers.FilterResponseNormalization(**EXACT)
    each = np.linspace(0.5, 3, BATCH).reshape(-1, 1, 1, 1)
    close(layer(each * x), layer(x))
    close((np.array(layer(x)) ** 2).mean((1, 2)), 1)
    assert np.abs(layer(x + 1) - layer(x)).max() > 0.1


def test_batch_group_norm_of_zhou_et_al_is_the_same_where_groups_divide():
    """They flatten (C, H, W) and split that: statistics over N and D / G."""
    x = inputs()
    flat = np.moveaxis(x, -1, 1).reshape(BATCH, 4, -1)
    mean, std = flat.mean((0, 2)), flat.std((0, 2))
    want = (flat - mean[:, None]) / std[:, None]
    want = np.moveaxis(want.reshape(BATCH, CHANNELS, 5, 4), 1, -1)
    close(trained(layers.BatchGroupNormalization(4, **EXACT), x), want)


# What other methods would take of the algebra


def test_virtual_batch_norm_is_a_blend():
    """Each example with a reference batch: batch norm of both at it."""
    x, reference = inputs(), inputs(1)
    of_reference = ops.instance_moments(reference).pool(examples=None)
    blended = ops.instance_moments(x).blend(of_reference, 1 / (BATCH + 1))
    for i in range(BATCH):
        joined = np.concatenate([reference, x[i : i + 1]])
        close(blended.mean[i], joined.mean(AXES))
        close(blended.variance[i], joined.var(AXES))


def test_kalman_norm_is_a_blend():
    """p = 0 is batch norm; the variance is that of the mixture."""
    a, b = (ops.instance_moments(inputs(s)).pool(None) for s in (0, 1))
    close(a.blend(b, 1.0).variance, a.variance)
    mixed = a.blend(b, 0.7)
    difference = np.array(a.mean) - np.array(b.mean)
    want = 0.7 * np.array(a.variance) + 0.3 * np.array(b.variance)
    close(mixed.variance, want + 0.7 * 0.3 * difference**2)


def test_precise_statistics_are_a_merge():
    """Of batches of unlike size: the moments of all of them, joined."""
    batches = [inputs(0), inputs(1)[:2], inputs(2)[:3]]
    first, *others = (ops.instance_moments(x).pool(None) for x in batches)
    for other in others:
        first = first.merge(other)
    joined = np.concatenate(batches)
    close(first.mean[0], joined.mean(AXES))
    close(first.variance[0], joined.var(AXES))
    close(first.count[0], len(joined) * SIZE)


@pytest.mark.parametrize("reading", READINGS)
def test_similarity_never_goes_through_a_condition(reading):
    """Collectives must not: every replica computes it, every step."""
    layer = layers.UnifiedBatchNormalization(
        when_condensed=reading, inference_weight=0.1
    )
    layer.build((None, 5, 4, CHANNELS))

    @tf.function
    def run(x, training):
        return layer(x, training=training)

    graph = run.get_concrete_function(
        tf.TensorSpec((None, 5, 4, CHANNELS)), tf.TensorSpec((), "bool")
    ).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert not kinds & {"If", "StatelessIf", "Case", "While", "StatelessWhile"}
    assert "MatMul" in kinds
