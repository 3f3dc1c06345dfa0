"""Names of types for annotations.

Keras states no types, so its tensors and objects are `Any`.
"""

from collections.abc import Sequence
from typing import Any

Tensor = Any
# `None` is a size that is unknown when a model is built.
Shape = Sequence[int | None]
Config = dict[str, Any]
# What `keras.initializers.get` and its siblings accept: a name, a
# configuration, a class or an object.
Identifier = Any
