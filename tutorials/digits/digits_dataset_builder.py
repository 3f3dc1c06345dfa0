"""scikit-learn's handwritten digits, which come with it, as a TFDS set."""

import numpy as np
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

TRAIN = 797


class Digits(tfds.core.GeneratorBasedBuilder):
    """797 and 1000 grey images of 8 by 8 pixels from 0 to 16, ten classes.

    The split is a permutation of fixed seed: the file's own order goes from
    one group of writers to the next.
    """

    VERSION = tfds.core.Version("1.0.0")
    # There is nothing to download. TFDS would look for addresses with
    # importlib_resources, which it does not declare.
    url_infos = None

    def _info(self):
        # The newer way, a metadata folder beside this file, needs
        # importlib_resources, which TFDS does not declare.
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
