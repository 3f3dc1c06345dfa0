"""The papers' test bed: its data sets, whose splits share nothing."""

import numpy as np
import pytest

from tutorials.digits_on_photographs import (
    digits_on_photographs_dataset_builder as on_photographs,
)
from tutorials.photographs import crops
from tutorials.photographs import photographs_dataset_builder as photographs

SPLITS = ("train", "validation", "test")


@pytest.fixture
def numbered(monkeypatch):
    """A photograph in which every pixel has a different number."""
    side = 6 * crops.SQUARE
    numbers = np.arange(side * side, dtype=np.int64).reshape(side, side)
    monkeypatch.setattr(crops, "PHOTOGRAPHS", {"patches": lambda: numbers})


def assert_disjoint(found):
    train, validation, test = (np.unique(found[split]) for split in SPLITS)
    assert min(len(train), len(validation), len(test)) > 10_000
    for one, other in ((train, validation), (train, test), (validation, test)):
        assert not np.intersect1d(one, other).size


@pytest.mark.usefixtures("numbered")
def test_photographs_share_no_pixel_between_splits():
    generate = photographs.Photographs._generate_examples
    found = {
        split: [example["image"] for _, example in generate(None, split)]
        for split in SPLITS
    }
    assert found["train"][0].shape == (32, 32, 3)
    assert_disjoint(found)


def test_backgrounds_share_no_photograph_and_no_digit(monkeypatch):
    photographs = [set(on_photographs.PHOTOGRAPHS[split]) for split in SPLITS]
    assert set.union(*photographs) == set(crops.PHOTOGRAPHS)
    assert sum(map(len, photographs)) == len(crops.PHOTOGRAPHS)
    numbers = {
        name: np.full((40, 40), number)
        for number, name in enumerate(crops.PHOTOGRAPHS)
    }
    monkeypatch.setattr(
        crops,
        "PHOTOGRAPHS",
        {name: lambda image=image: image for name, image in numbers.items()},
    )
    blended = {split: set() for split in SPLITS}
    digits = {split: set() for split in SPLITS}
    for split in SPLITS:

        def blend(random, background, digit, split=split):
            blended[split].update(np.unique(background).astype(int))
            digits[split].add(digit.tobytes())

        monkeypatch.setattr(on_photographs, "blend", blend)
        list(
            on_photographs.DigitsOnPhotographs._generate_examples(None, split)
        )
    for split, found in blended.items():
        names = on_photographs.PHOTOGRAPHS[split]
        assert found == {int(numbers[name][0, 0]) for name in names}
    # No two of the 5,000 digits are equal, either.
    assert [len(digits[split]) for split in SPLITS] == [2500, 500, 2000]
    assert len(set.union(*digits.values())) == 5000


def test_digits_are_split_with_equal_classes():
    images, labels = on_photographs.read_digits()
    assert images.shape == (5000, 28, 28)
    indices = on_photographs.split_digits(labels)
    every_index = np.concatenate(list(indices.values()))
    np.testing.assert_array_equal(np.sort(every_index), np.arange(5000))
    for split, count in on_photographs.DIGITS.items():
        counts = np.bincount(labels[indices[split]])
        np.testing.assert_array_equal(counts, np.full(10, count))


def test_blended_digits_are_visible_without_overflow():
    random = np.random.default_rng(0)
    digit = np.zeros((28, 28), np.uint8)
    digit[10:20] = 255
    background = np.full((28, 28), 255.0)
    for _ in range(100):
        image = on_photographs.blend(random, background, digit)[..., 0]
        contrast = abs(image[15].astype(int) - image[5]).mean()
        low, high = on_photographs.CONTRASTS
        assert low - 1 <= contrast <= high + 1
        assert image[0, 0] == 192


def test_data_sets_load_by_name(tmp_path):
    from tutorials import data

    for name, sizes, shape, classes in (
        ("digits_on_photographs", (2500, 1000, 2000), (28, 28, 1), 10),
        ("photographs", (1300, 520, 1040), (32, 32, 3), 13),
        # A quarter of the 797 images for training is for validation.
        ("digits", (598, 199, 1000), (8, 8, 1), 10),
    ):
        loaded, found = data.arrays(name, tmp_path)
        assert found == classes
        assert tuple(len(loaded[split][1]) for split in SPLITS) == sizes
        for images, labels in loaded.values():
            assert images.shape == (len(labels), *shape)
            np.testing.assert_allclose(images.mean((1, 2, 3)), 0, atol=1e-4)


def test_examples_are_the_same_in_every_run():
    def first_images():
        generate = on_photographs.DigitsOnPhotographs._generate_examples
        examples = generate(None, "validation")
        return [next(examples) for _ in range(5)]

    for (key, one), (other_key, other) in zip(
        first_images(), first_images(), strict=True
    ):
        assert key == other_key
        assert one["label"] == other["label"]
        np.testing.assert_array_equal(one["image"], other["image"])
