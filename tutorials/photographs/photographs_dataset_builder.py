"""Patches of the photographs in scikit-image and scikit-learn."""

import numpy as np
import tensorflow_datasets as tfds

from tutorials.photographs import crops

PATCH = 32
PATCHES = {"train": 100, "validation": 40, "test": 80}  # of each photograph


class Photographs(tfds.core.GeneratorBasedBuilder):
    """Color patches of 32 by 32 pixels of 13 photographs.

    There are 1300 patches for training, 520 for validation and 1040 for
    testing. The class of a patch is its photograph. The splits share no pixel.
    """

    VERSION = tfds.core.Version("2.0.0")
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
                    "label": tfds.features.ClassLabel(
                        names=list(crops.PHOTOGRAPHS)
                    ),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://scikit-image.org/docs/stable/api/skimage.data",
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in PATCHES}

    def _generate_examples(self, split):
        """Yields patches from the squares of one split."""
        random = np.random.default_rng(list(PATCHES).index(split))
        for name, read in crops.PHOTOGRAPHS.items():
            photograph = crops.colour(read())
            corners = crops.squares(photograph, split)
            for index in range(PATCHES[split]):
                top, left = corners[random.integers(len(corners))]
                square = photograph[
                    top : top + crops.SQUARE, left : left + crops.SQUARE
                ]
                patch = crops.random_crop(random, square, PATCH)
                yield f"{name}-{index}", {"image": patch, "label": name}
