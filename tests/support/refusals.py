"""The message with which a bad argument is refused."""

import pytest


def refusal(function, *args, **kwargs):
    """The message of the ValueError that a call must raise."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  compared in full
        function(*args, **kwargs)
    return str(error.value)
