"""Importing the builder registers it with TFDS."""

from tutorials.digits_on_photographs.digits_on_photographs_dataset_builder import (  # noqa: E501
    DigitsOnPhotographs,
)

__all__ = ["DigitsOnPhotographs"]
