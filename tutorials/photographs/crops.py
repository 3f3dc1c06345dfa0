"""Crops of the photographs in scikit-image and scikit-learn, by split."""

import numpy as np
from skimage import data
from sklearn.datasets import load_sample_image

PHOTOGRAPHS = {
    "astronaut": data.astronaut,
    "brick": data.brick,
    "chelsea": data.chelsea,
    "china": lambda: load_sample_image("china.jpg"),
    "coffee": data.coffee,
    "flower": lambda: load_sample_image("flower.jpg"),
    "grass": data.grass,
    "gravel": data.gravel,
    "hubble": data.hubble_deep_field,
    "ihc": data.immunohistochemistry,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "retina": data.retina,
    "rocket": data.rocket,
}
# Squares of this size share no pixel, and each one belongs to one split. In
# both directions, the splits of squares repeat in this order.
SQUARE = 64
ORDER = ("train", "validation", "train", "test")


def colour(photograph):
    """The photograph with three channels."""
    if photograph.ndim == 2:
        return np.stack([photograph] * 3, axis=-1)
    return photograph[..., :3]


def squares(photograph, split):
    """The corners of the squares of a split, of shape `[squares, 2]`."""
    rows, columns = np.array(photograph.shape[:2]) // SQUARE
    corners = [
        (row * SQUARE, column * SQUARE)
        for row in range(rows)
        for column in range(columns)
        if ORDER[(row + column) % len(ORDER)] == split
    ]
    return np.array(corners)


def random_crop(random, image, size):
    """A crop of `size` pixels squared at a random place of an image."""
    top, left = (random.integers(n - size + 1) for n in image.shape[:2])
    return image[top : top + size, left : left + size]
