"""Arguments of Keras 2, TensorFlow Addons and keras-contrib.

Arguments that mean the same here are accepted, so that configurations of those
libraries load, and are not stored. All others are refused with the name of
their replacement.
"""

from keras_norms.validation.kinds import is_sequence
from keras_norms.validation.settings import boolean


def remove_keras_2_arguments(arguments):
    """Removes the arguments that only Keras 2 has from a dictionary."""
    fused = arguments.pop("fused", None)
    if fused is not None:
        # It selected an implementation, and did not change the result.
        boolean("fused", fused)
    size = arguments.pop("virtual_batch_size", None)
    if size is not None:
        raise ValueError(
            "`virtual_batch_size` is called `ghost_batch_size` here, and "
            "need not divide the batch. Received: virtual_batch_size="
            f"{size!r}. Rename the argument."
        )
    adjustment = arguments.pop("adjustment", None)
    if adjustment is not None:
        raise ValueError(
            "`adjustment` of Keras 2 does not exist here. Received: "
            f"adjustment={adjustment!r}. Remove the argument, and apply the "
            "scale and the bias in a layer after this one."
        )


def remove_disabled_renorm(arguments):
    """Removes the arguments of batch renormalization where it is disabled.

    Configurations of Keras's layer have them.
    """
    if not arguments.get("renorm"):
        for name in ("renorm", "renorm_clipping", "renorm_momentum"):
            arguments.pop(name, None)


def remove_disabled_rms_scaling(arguments):
    """Removes `rms_scaling` of Keras's layer normalization if it is `False`.

    Configurations of Keras's layer have it.
    """
    if arguments.pop("rms_scaling", False):
        raise ValueError(
            "`rms_scaling` divides by the standard deviation without "
            "subtracting the mean, and Keras has deprecated it. Received: "
            "rms_scaling=True. Use `keras.layers.RMSNormalization`."
        )


def addons_filter_response(axis, learnable_epsilon, arguments):
    """Converts the arguments of TensorFlow Addons to those of this package.

    `axis` of Addons names the axes that are reduced: the positions of an input
    of rank 4 with the channels last.

    Args:
        axis, learnable_epsilon: the arguments of our layer.
        arguments: the other arguments, from which those of Addons are removed.

    Returns: `axis` and `learnable_epsilon`.
    """
    if is_sequence(axis) and list(axis) in ([1, 2], [-3, -2]):
        axis = -1
    constraint = arguments.pop("learned_epsilon_constraint", None)
    if constraint is not None:
        raise ValueError(
            "`learned_epsilon_constraint` of TensorFlow Addons does not exist "
            "here: the absolute value of `epsilon_weight` is added to "
            "`epsilon`. Received: learned_epsilon_constraint="
            f"{constraint!r}. Remove the argument, and set "
            "`layer.epsilon_weight.constraint` after the layer is built."
        )
    learned = arguments.pop("learned_epsilon", learnable_epsilon)
    if learnable_epsilon not in (False, learned):
        raise ValueError(
            "`learned_epsilon` of TensorFlow Addons is called "
            "`learnable_epsilon` here, and the two differ. Received: "
            f"learned_epsilon={learned!r}, learnable_epsilon="
            f"{learnable_epsilon!r}. Use only `learnable_epsilon`."
        )
    return axis, learned


UNIFIED_OF_VERSION_0_1 = (
    "condensation_threshold",
    "warmup_steps",
    "when_condensed",
    "similarity",
    "scale_calibration",
)


def unified_of_version_0_1(arguments):
    """Refuses the arguments of unified batch normalization of version 0.1."""
    received = [n for n in UNIFIED_OF_VERSION_0_1 if n in arguments]
    if received:
        raise ValueError(
            "UnifiedBatchNormalization is the method that its authors "
            "published, whose threshold is `bound`. Received arguments of "
            f"version 0.1: {received}. Remove them, or add "
            '`reading="0.1"` for the deprecated layer of that version.'
        )


def contrib_instance(axis):
    """Refuses `axis=None`, which pools the channels in keras-contrib."""
    if axis is None:
        raise ValueError(
            "`axis` must be one integer, the channel axis. Received: "
            "axis=None, which normalizes each example as one group in "
            "keras-contrib. Use `GroupNormalization(groups=1)`, whose gamma "
            "and beta have one value per channel instead of one for all "
            "channels."
        )


def addons_instance(groups, channels):
    """Checks `groups`, which configurations of TensorFlow Addons contain."""
    if groups not in (None, -1, channels):
        raise ValueError(
            "`groups` of an instance normalization must be -1 or the number "
            f"of channels ({channels}). Received: groups={groups!r}. Use "
            f"`GroupNormalization(groups={groups!r})`."
        )
