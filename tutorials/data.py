"""Any TFDS data set of labeled images as batches for `model.fit`."""

import tensorflow as tf
import tensorflow_datasets as tfds

# Registers the data sets with TFDS by name.
from tutorials import digits  # noqa: F401
from tutorials import photographs  # noqa: F401

SIZE = 32  # for data sets with images of many sizes

TEST_BATCH = 250


def load(name, data_dir, examples=None):
    """Training images, test batches, the shape of an image and the classes."""
    (train, test), info = tfds.load(
        name,
        split=["train", "test"],
        as_supervised=True,
        with_info=True,
        data_dir=data_dir,
    )
    resized = None in info.features["image"].shape

    def standardize(image, label):
        """Gives each image zero mean and unit deviation."""
        image = tf.cast(image, tf.float32)
        if resized:
            image = tf.image.resize(image, (SIZE, SIZE))
        return tf.image.per_image_standardization(image), label

    def prepared(split):
        if examples is not None:
            split = split.take(examples)
        return split.map(standardize, tf.data.AUTOTUNE).cache()

    train, test = prepared(train), prepared(test)
    shape = train.element_spec[0].shape
    classes = info.features["label"].num_classes
    # Keras cannot build a model from a first batch of unequal shares, so two
    # replicas need an even batch size.
    size = min(TEST_BATCH, int(test.cardinality()) // 2 * 2)
    return train, test.batch(size), shape, classes


def batches(images, size, seed):
    """Full batches without end, shuffled again in every epoch."""
    # `drop_remainder` would make the batch size static, and the training
    # function would be traced again for each size.
    images = images.shuffle(10_000, seed=seed).repeat()
    return images.batch(size).prefetch(tf.data.AUTOTUNE)
