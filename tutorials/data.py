"""Any TFDS data set of labeled images, as batches or as arrays."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

# Registers the data sets with TFDS by name.
from tutorials import digits  # noqa: F401
from tutorials import digits_on_photographs  # noqa: F401
from tutorials import photographs  # noqa: F401

SIZE = 32  # for data sets with images of many sizes

TEST_BATCH = 250

# The splits of a data set that has no validation split.
CARVED = {"train": "train[:75%]", "validation": "train[75%:]", "test": "test"}


def standardized(info):
    """A function that gives each image zero mean and unit deviation."""
    resized = None in info.features["image"].shape

    def standardize(image, label):
        image = tf.cast(image, tf.float32)
        if resized:
            image = tf.image.resize(image, (SIZE, SIZE))
        return tf.image.per_image_standardization(image), label

    return standardize


def load(name, data_dir, examples=None):
    """Training images, test batches, the shape of an image and the classes."""
    (train, test), info = tfds.load(
        name,
        split=["train", "test"],
        as_supervised=True,
        with_info=True,
        data_dir=data_dir,
    )

    def prepared(split):
        if examples is not None:
            split = split.take(examples)
        return split.map(standardized(info), tf.data.AUTOTUNE).cache()

    train, test = prepared(train), prepared(test)
    shape = train.element_spec[0].shape
    classes = info.features["label"].num_classes
    # Keras cannot build a model from a first batch of unequal shares, so two
    # replicas need an even batch size.
    size = min(TEST_BATCH, int(test.cardinality()) // 2 * 2)
    return train, test.batch(size), shape, classes


def arrays(name, data_dir, examples=None):
    """The images and labels of each split, and the number of classes.

    The splits are "train", "validation" and "test". If the data set has no
    validation split, it is the last quarter of the training images.
    """
    builder = tfds.builder(name, data_dir=data_dir)
    builder.download_and_prepare()
    names = {split: split for split in CARVED}
    splits = names if "validation" in builder.info.splits else CARVED
    loaded = {}
    for split, selection in splits.items():
        images = builder.as_dataset(split=selection, as_supervised=True)
        if examples is not None:
            images = images.take(examples)
        images = images.map(standardized(builder.info), tf.data.AUTOTUNE)
        batches_of_images = list(images.batch(1000).as_numpy_iterator())
        loaded[split] = tuple(
            np.concatenate(each)
            for each in zip(*batches_of_images, strict=True)
        )
    return loaded, builder.info.features["label"].num_classes


def batches(images, size, seed):
    """Full batches without end, shuffled again in every epoch."""
    # `drop_remainder` would make the batch size static, and the training
    # function would be traced again for each size.
    images = images.shuffle(10_000, seed=seed).repeat()
    return images.batch(size).prefetch(tf.data.AUTOTUNE)
