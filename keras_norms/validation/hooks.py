"""Checks of the hooks that a layer overrides."""

import inspect

# The arguments of each hook after `self`.
_HOOKS = {
    "coefficients": ("moments", "params"),
    "algebra": ("moments", "instance", "params"),
    "training_coefficients": ("moments", "instance", "params"),
    "training_moments": ("moments", "params"),
    "batch_moments": ("moments", "params"),
    "rows_of_examples": ("moments", "params"),
    "running_target": ("batch", "rows", "params"),
    "updated_state": ("mean", "variance", "params"),
    "step_state": ("params",),
    "uses_batch": ("params",),
    "example_statistics": ("instance", "params"),
    "channel_groups": ("moments",),
    "extra_inputs": ("inputs", "mask"),
    "transform_output": ("y", "outputs", "mask"),
}


def hooks(layer_class):
    """Checks that every hook of a layer has the documented arguments.

    An additional argument such as `gama=None` would never receive a value, and
    arguments in another order would receive each other's.
    """
    for name, expected in _HOOKS.items():
        function = getattr(layer_class, name, None)
        if not inspect.isfunction(function):
            continue
        signature = inspect.signature(function)
        _, *received = signature.parameters.values()
        positional = [
            p
            for p in received
            if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty
        ]
        if len(positional) == len(received) == len(expected) and all(
            p.name == wanted or p.name.startswith("_")
            for p, wanted in zip(positional, expected, strict=True)
        ):
            continue
        raise ValueError(
            f"The hook `{name}` must have the arguments "
            f"`(self, {', '.join(expected)})`, in this order. Received: "
            f"`{function.__qualname__}{signature}`. Correct the names; one "
            "that the hook does not use may begin with an underscore. Read a "
            "parameter of the layer as an attribute, such as `params.gamma`."
        )


class UnavailableMoments:
    """Raises an error when the moments of each example are not computed."""

    def __getattr__(self, name):
        raise ValueError(
            "A layer that reads the moments of each example must set "
            f"`per_example = True`. Received: `instance.{name}` without it. "
            "Set it in the class."
        )
