"""The builder, registered with TFDS by its import."""

from tutorials.digits.digits_dataset_builder import Digits

__all__ = ["Digits"]
