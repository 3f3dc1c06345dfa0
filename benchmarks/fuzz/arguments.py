"""This module lists the fuzzed layers and draws random arguments for them."""

ACTIVATIONS = ("relu", "silu", "gelu", "leaky_relu", "sigmoid", "tanh", "elu")
STATELESS = (
    "GroupNormalization",
    "InstanceNormalization",
    "FilterResponseNormalization",
)
BATCH_NORMS = (
    "BatchNormalization",
    "GhostBatchNormalization",
    "CrossReplicaBatchNormalization",
)
LAYERS = (
    *STATELESS,
    *BATCH_NORMS,
    "BatchGroupNormalization",
    "BatchInstanceNormalization",
    "DynamicNormalization",
    "InstanceEnhancementBatchNormalization",
    "RepresentativeBatchNormalization",
    "SwitchableNormalization",
    "UnifiedBatchNormalization",
)
COMPANIONS = ("ThresholdedLinearUnit", "WeightStandardization")


def draw_arguments(d, layer, channels):
    """Returns random arguments of a layer for this number of channels."""
    if layer == "ThresholdedLinearUnit":
        return {}
    if layer == "WeightStandardization":
        return {"epsilon": d.choice((1e-5, 0.0, 1e-3, 0.1))}
    arguments = _common(d)
    if layer not in STATELESS:
        arguments["momentum"] = d.choice((0.99, 0.9, 0.0, 1.0, 0.5))
        if d.chance(0.4):
            weight = d.choice((0.0, 1.0, 0.2, d.between(0, 1)))
            arguments["inference_weight"] = weight
        if d.chance(0.15) and layer not in BATCH_NORMS:
            arguments["synchronized"] = True
        if d.chance(0.3):
            arguments["running_variance"] = d.choice(("within", "total"))
    divisors = [n for n in range(1, channels + 1) if channels % n == 0]
    if layer in ("GroupNormalization", "BatchGroupNormalization"):
        arguments["groups"] = d.choice([*divisors, -1])
        if d.chance(0.02):
            arguments["groups"] = d.integer(1, channels + 2)
    if layer == "BatchGroupNormalization" and d.chance(0.6):
        arguments["examples_per_group"] = d.integer(1, 6)
    if layer in BATCH_NORMS:
        arguments.update(_batch_norm(d, layer))
        if arguments.get("renorm"):
            arguments.pop("running_variance", None)
    if layer == "DynamicNormalization":
        arguments.update(_dynamic(d))
    if layer == "UnifiedBatchNormalization":
        arguments.update(_unified(d))
    if layer == "FilterResponseNormalization":
        arguments["learnable_epsilon"] = d.chance(0.5)
    return arguments


def _common(d):
    arguments = {"epsilon": d.choice((1e-3, 1e-5, 0.0, 1.0, 1e-8))}
    if d.chance(0.15):
        arguments["center"] = False
    if d.chance(0.15):
        arguments["scale"] = False
    if d.chance(0.3):
        arguments["activation"] = d.choice(ACTIVATIONS)
    if d.chance(0.005):
        arguments["epsilon"] = -1.0
    return arguments


def _batch_norm(d, layer):
    arguments = {}
    if layer == "BatchNormalization" and d.chance(0.15):
        arguments["synchronized"] = True
    ghosts = layer == "GhostBatchNormalization"
    if ghosts or (layer == "BatchNormalization" and d.chance(0.3)):
        arguments["ghost_batch_size"] = d.integer(1, 6)
        statistics = ("batch", "sequential", "average")
        arguments["ghost_statistics"] = d.choice(statistics)
    if d.chance(0.35):
        arguments["renorm"] = True
        arguments["renorm_momentum"] = d.choice((0.99, 0.5, 0.0, 1.0))
        clipping = {}
        if d.chance(0.5):
            clipping["rmax"] = d.between(1, 3)
        if d.chance(0.5):
            clipping["rmin"] = d.between(0, 1)
        if d.chance(0.5):
            clipping["dmax"] = d.between(0, 5)
        arguments["renorm_clipping"] = clipping
    return arguments


def _dynamic(d):
    return {
        "scope": d.choice(("example", "batch")),
        "reduction": d.choice((1, 1.5, 2, 24)),
        "hidden_activation": d.choice(("relu", "tanh", None)),
        "output_activation": d.choice((None, "tanh", "sigmoid")),
        "use_bias": d.chance(0.7),
        "separate": d.chance(0.5),
        "inference_statistics": d.choice(("running", "batch"), [3, 1]),
    }


def _unified(d):
    return {
        "bound": d.choice((0.15, -1, d.between(-1, 1)), [1, 1, 3]),
        "similarity_momentum": d.choice((0.9, 0.0, 0.5)),
        "similarity_examples": d.choice((16, 2, 3, None)),
        "calibrate_center": d.chance(0.6),
        "calibrate_scale": d.chance(0.6),
        "affine": d.choice(("depthwise", "channel")),
        "kernel_size": d.choice((1, 3, 5)),
    }
