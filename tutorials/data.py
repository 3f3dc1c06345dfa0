"""Any TFDS set of labelled images as batches for `model.fit`."""

import tensorflow as tf
import tensorflow_datasets as tfds

# Registers the sets with TFDS by name.
from tutorials import digits  # noqa: F401
from tutorials import photographs  # noqa: F401

SIZE = 32  # of images that come in many sizes

TEST_BATCH = 250


def load(name, data_dir, examples=None):
    """Training images, batches of the test, an image's shape, the classes."""
    (train, test), info = tfds.load(
        name,
        split=["train", "test"],
        as_supervised=True,
        with_info=True,
        data_dir=data_dir,
    )
    resized = None in info.features["image"].shape

    def standardize(image, label):
        """Zero mean and unit deviation by image: any range of pixels does."""
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
    # Keras cannot build a model from a first batch that replicas share
    # unevenly: two of them need an even one.
    size = min(TEST_BATCH, int(test.cardinality()) // 2 * 2)
    return train, test.batch(size), shape, classes


def batches(images, size, seed):
    """Without end, shuffled anew each time round; all of them full."""
    # Not `drop_remainder`: it would put the size into the type, and one
    # training function would not do for all sizes.
    images = images.shuffle(10_000, seed=seed).repeat()
    return images.batch(size).prefetch(tf.data.AUTOTUNE)
