"""Patches of the photographs in scikit-image and scikit-learn."""

import numpy as np
import tensorflow_datasets as tfds
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
PATCH = 32
# Patches lie within squares of this size. As on a chessboard, squares of one
# color are for training and the others for the test, so they share no pixel.
SQUARE = 64
TRAIN, TEST = 100, 80  # patches of each photograph


class Photographs(tfds.core.GeneratorBasedBuilder):
    """1300 and 1040 color patches of 32 by 32 pixels of 13 photographs.

    The class of a patch is its photograph.
    """

    VERSION = tfds.core.Version("1.0.0")
    # As in `tutorials.digits`.
    url_infos = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Patches of photographs that come with libraries.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(PATCH, PATCH, 3), dtype=np.uint8
                    ),
                    "label": tfds.features.ClassLabel(names=list(PHOTOGRAPHS)),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://scikit-image.org/docs/stable/api/skimage.data",
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, TRAIN),
            "test": self._generate_examples(1, TEST),
        }

    def _generate_examples(self, colour, count):
        """Yields patches from the squares of one color."""
        random = np.random.default_rng(colour)
        for name, read in PHOTOGRAPHS.items():
            photograph = read()
            if photograph.ndim == 2:
                photograph = np.stack([photograph] * 3, axis=-1)
            rows, columns = np.array(photograph.shape[:2]) // SQUARE
            squares = [
                (row, column)
                for row in range(rows)
                for column in range(columns)
                if (row + column) % 2 == colour
            ]
            for index in range(count):
                corner = np.array(squares[random.integers(len(squares))])
                corner = corner * SQUARE
                corner += random.integers(SQUARE - PATCH + 1, size=2)
                top, left = corner
                patch = photograph[top : top + PATCH, left : left + PATCH, :3]
                yield f"{name}-{index}", {"image": patch, "label": name}
