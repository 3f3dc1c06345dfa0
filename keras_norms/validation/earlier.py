"""Arguments of earlier libraries: Keras 2, TensorFlow Addons, keras-contrib.

What means the same here is accepted, so that their configurations load, and
is not kept. Everything else is refused with the name of its replacement.
"""

from keras_norms.validation.kinds import is_sequence
from keras_norms.validation.settings import boolean


def keras_2_batch(given):
    """Removes what only Keras 2's batch normalization has from `given`."""
    fused = given.pop("fused", None)
    if fused is not None:
        # It chose an implementation, not a result.
        boolean("fused", fused)
    size = given.pop("virtual_batch_size", None)
    if size is not None:
        raise ValueError(
            "`virtual_batch_size` is called `ghost_batch_size` here, and "
            "need not divide the batch. Received: virtual_batch_size="
            f"{size!r}. Rename the argument."
        )
    adjustment = given.pop("adjustment", None)
    if adjustment is not None:
        raise ValueError(
            "`adjustment` of Keras 2 does not exist here. Received: "
            f"adjustment={adjustment!r}. Remove the argument, and apply the "
            "scale and the bias in a layer after this one."
        )


def addons_filter_response(axis, learnable_epsilon, given):
    """The same arguments in our terms; removes Addons' own from `given`.

    Addons names the axes that are reduced: the positions of inputs of rank 4,
    channels last.
    """
    if is_sequence(axis) and list(axis) in ([1, 2], [-3, -2]):
        axis = -1
    constraint = given.pop("learned_epsilon_constraint", None)
    if constraint is not None:
        raise ValueError(
            "`learned_epsilon_constraint` of TensorFlow Addons does not exist "
            "here: the absolute value of `epsilon_weight` is added to "
            "`epsilon`. Received: learned_epsilon_constraint="
            f"{constraint!r}. Remove the argument, and set "
            "`layer.epsilon_weight.constraint` once the layer is built."
        )
    learned = given.pop("learned_epsilon", learnable_epsilon)
    if learnable_epsilon not in (False, learned):
        raise ValueError(
            "`learned_epsilon` of TensorFlow Addons is called "
            "`learnable_epsilon` here, and the two differ. Received: "
            f"learned_epsilon={learned!r}, learnable_epsilon="
            f"{learnable_epsilon!r}. Use `learnable_epsilon` alone."
        )
    return axis, learned


def contrib_instance(axis):
    """Refuses keras-contrib's None, which pools the channels too."""
    if axis is None:
        raise ValueError(
            "`axis` must be one integer, the channel axis. Received: "
            "axis=None, which normalizes each example as one group in "
            "keras-contrib. Use `GroupNormalization(groups=1)`, whose gamma "
            "and beta have one value per channel instead of one for all "
            "channels."
        )


def addons_instance(groups, channels):
    """Refuses `groups` other than what Addons' configurations hold."""
    if groups not in (None, -1, channels):
        raise ValueError(
            "`groups` of an instance normalization must be -1 or the number "
            f"of channels ({channels}). Received: groups={groups!r}. Use "
            f"`GroupNormalization(groups={groups!r})`."
        )
