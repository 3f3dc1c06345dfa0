"""Importing the builder registers it with TFDS."""

from tutorials.digits.digits_dataset_builder import Digits

__all__ = ["Digits"]
