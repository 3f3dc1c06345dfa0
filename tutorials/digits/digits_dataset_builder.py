"""The handwritten digits of scikit-learn as a TFDS data set."""

import numpy as np
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

TRAIN = 797


class Digits(tfds.core.GeneratorBasedBuilder):
    """797 and 1000 gray images of 8 by 8 pixels from 0 to 16, ten classes.

    The split is a random permutation with a fixed seed, because the file is
    sorted by groups of writers.
    """

    VERSION = tfds.core.Version("1.0.0")
    # There is nothing to download. TFDS would search for addresses with
    # importlib_resources, which it does not declare as a dependency.
    url_infos = None

    def _info(self):
        # The newer format, a metadata folder next to this file, needs
        # importlib_resources, which TFDS does not declare as a dependency.
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten digits of the UCI repository.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(8, 8, 1), dtype=np.uint8
                    ),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://doi.org/10.24432/C50P49",
        )

    def _split_generators(self, dl_manager):
        order = np.random.default_rng(0).permutation(1797)
        return {
            "train": self._generate_examples(order[:TRAIN]),
            "test": self._generate_examples(order[TRAIN:]),
        }

    def _generate_examples(self, rows):
        digits = load_digits()
        for row in rows:
            yield (
                int(row),
                {
                    "image": digits.images[row].astype(np.uint8)[..., None],
                    "label": digits.target[row],
                },
            )
