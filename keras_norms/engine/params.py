"""The tensors that an algebra reads besides the moments."""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from keras_norms.types import Tensor


class Params:
    """The parameters of a normalization, read as attributes or by name.

    A parameter that the layer was built without, such as `beta` where
    `center=False`, is `None`. Any other name raises an error, so a misspelt
    name never counts as an absent parameter.

    Args:
        tensors: A dictionary of tensors, or `None`, by name.

    Raises:
        AttributeError: If a name is read that `tensors` does not have.

    Example:

    >>> from keras_norms import ops
    >>> params = ops.Params({"gamma": 2.0, "beta": None})
    >>> params.gamma, params["beta"]
    (2.0, None)
    """

    def __init__(self, tensors: Mapping[str, Tensor | None]) -> None:
        self._tensors = dict(tensors)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        self._check(name)
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def replace(self, **tensors: Tensor | None) -> "Params":
        """A copy with other tensors under names that exist."""
        for name in tensors:
            self._check(name)
        return Params({**self._tensors, **tensors})

    def present(self) -> dict[str, Tensor]:
        """The parameters that are not `None`, by name."""
        return {n: t for n, t in self._tensors.items() if t is not None}

    def _check(self, name: str) -> None:
        if name not in self._tensors:
            raise AttributeError(
                "An algebra reads only the parameters of its layer, "
                f"{sorted(self._tensors)}. Received: {name!r}. Correct the "
                "name, or add the tensor to the property `parameters`."
            )
