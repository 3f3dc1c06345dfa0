"""A registry names the functions that damage an installation."""


class Damages(dict):
    """Maps names to functions, each with the reason that is then reported."""

    def register(self, words, name=None):
        """Registers a function that damages a place, and what is reported."""

        def add(function):
            self[name or function.__name__] = function, words
            return function

        return add
