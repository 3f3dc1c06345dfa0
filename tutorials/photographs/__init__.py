"""The builder, registered with TFDS by its import."""

from tutorials.photographs.photographs_dataset_builder import Photographs

__all__ = ["Photographs"]
