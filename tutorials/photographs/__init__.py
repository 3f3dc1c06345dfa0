"""Importing the builder registers it with TFDS."""

from tutorials.photographs.photographs_dataset_builder import Photographs

__all__ = ["Photographs"]
