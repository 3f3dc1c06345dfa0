"""Trains on several machines: `python -m tutorials.multi_worker`.

Every machine runs this command, with the environment variable TF_CONFIG naming
the addresses of all workers and the index of this one; `--folder` must be
on a file system that all of them share. `--local-workers 2` starts two workers
on this machine.

Keras's `fit` does not support `tf.distribute.MultiWorkerMirroredStrategy`
(github.com/keras-team/keras/issues/20585), so this is a loop around
`strategy.run`: training with a progress bar, evaluation, and a checkpoint
after each epoch, from which the same command resumes after a failure.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_norms.layers import CrossReplicaBatchNormalization
from tutorials import data
from tutorials import local_cluster
from tutorials.network import residual_network
from tutorials.start_timeout import start_timeout

SEED = 0
PADDING = -1  # The label of an image that is not counted.


class Training:
    """A model, its optimizer and the steps of all replicas.

    Args:
        strategy: the strategy.
        shape: the shape of an image.
        classes: the number of classes.
        batch: the number of images of a step, over all replicas.
        rate: the learning rate.
    """

    def __init__(self, strategy, shape, classes, batch, rate):
        self.strategy, self.batch = strategy, batch
        with strategy.scope():
            self.model = residual_network(
                shape, classes, CrossReplicaBatchNormalization
            )
            self.optimizer = keras.optimizers.SGD(rate, momentum=0.9)
            self.optimizer.build(self.model.trainable_variables)
        self.epoch = tf.Variable(0, dtype="int64")
        variables = [*self.model.variables, *self.optimizer.variables]
        self.checkpoint = tf.train.Checkpoint(
            epoch=self.epoch, variables=[each.value for each in variables]
        )

    def loss(self, labels, logits):
        """This replica's part of the loss, which is the sum of all parts."""
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        penalties = sum(self.model.losses)  # of regularizers
        penalties /= self.strategy.num_replicas_in_sync
        return tf.reduce_sum(losses) / self.batch + penalties

    @tf.function
    def train_step(self, images, labels):
        def step(images, labels):
            with tf.GradientTape() as tape:
                logits = self.model(images, training=True)
                loss = self.loss(labels, logits)
            weights = [w.value for w in self.model.trainable_variables]
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply(gradients, self.model.trainable_variables)
            return loss

        losses = self.strategy.run(step, (images, labels))
        return self.strategy.reduce("SUM", losses, axis=None)

    @tf.function
    def test_step(self, images, labels):
        def step(images, labels):
            logits = self.model(images, training=False)
            correct = tf.argmax(logits, -1, labels.dtype) == labels
            return tf.math.count_nonzero(correct), tf.math.count_nonzero(
                labels != PADDING
            )

        counts = self.strategy.run(step, (images, labels))
        return [self.strategy.reduce("SUM", c, axis=None) for c in counts]

    def batches(self, images, labels, order):
        """Distributes batches: each worker reads its share of the images.

        Args:
            images: all images, as an array.
            labels: their labels.
            order: the indices of the images, in the order of the batches.
        """

        def of_worker(context):
            workers, worker = (
                context.num_input_pipelines,
                context.input_pipeline_id,
            )
            mine = order[worker::workers]
            size = context.get_per_replica_batch_size(self.batch)
            return tf.data.Dataset.from_tensor_slices(
                (images[mine], labels[mine])
            ).batch(size)

        return self.strategy.distribute_datasets_from_function(of_worker)

    def train_epoch(self, images, labels, verbose):
        # The order follows from the epoch, so that a resumed run has the same.
        random = np.random.default_rng((SEED, int(self.epoch)))
        steps = len(images) // self.batch
        order = random.permutation(len(images))[: steps * self.batch]
        bar = keras.utils.Progbar(steps, verbose=verbose)
        for batch in self.batches(images, labels, order):
            bar.add(1, [("loss", float(self.train_step(*batch)))])
        self.epoch.assign_add(1)

    def accuracy(self, images, labels):
        correct = seen = 0
        # All batches are full, because all replicas need the same number of
        # batches, and TensorFlow fails in convolutions of empty ones.
        missing = -len(images) % self.batch
        order = np.arange(len(images) + missing)
        images = np.pad(images, [(0, missing), *[(0, 0)] * 3])
        labels = np.pad(labels, (0, missing), constant_values=PADDING)
        for batch in self.batches(images, labels, order):
            counts = self.test_step(*batch)
            correct, seen = correct + int(counts[0]), seen + int(counts[1])
        return correct / seen

    def wait_for_all(self):
        """Waits until all workers call this function."""
        ones = self.strategy.run(lambda: tf.constant(1.0))
        self.strategy.reduce("SUM", ones, axis=None)


def work(options):
    """What each worker does."""
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(SEED)
    communication = tf.distribute.experimental.CommunicationOptions(
        timeout_seconds=options.step_seconds
    )
    with start_timeout(options.start_seconds):
        strategy = tf.distribute.MultiWorkerMirroredStrategy(
            communication_options=communication
        )
    worker = strategy.cluster_resolver.task_id or 0  # None without TF_CONFIG.
    chief = worker == 0
    # Each machine has a copy, because TFDS writes it when it is first read.
    copy = options.data_dir or options.folder / f"data-{worker}"
    loaded, classes = data.arrays(options.dataset, copy, options.examples)
    shape = loaded["train"][0].shape[1:]
    training = Training(strategy, shape, classes, options.batch, options.rate)
    manager = tf.train.CheckpointManager(
        training.checkpoint, options.folder, max_to_keep=2
    )
    manager.restore_or_initialize()
    while int(training.epoch) < options.epochs:
        if chief:
            print(f"Epoch {int(training.epoch) + 1}/{options.epochs}")
        training.train_epoch(*loaded["train"], verbose=int(chief))
        accuracy = training.accuracy(*loaded["validation"])
        if chief:
            print(f"validation accuracy {accuracy:.2%}", flush=True)
            # The variables of all workers are equal.
            manager.save()
    if chief:
        training.model.save(options.folder / "model.keras")
    # If the chief fails before this point, all workers must start again.
    training.wait_for_all()


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--folder", type=pathlib.Path, default="multi_worker")
    add("--dataset", default="digits", help="any TFDS data set of images")
    add("--data-dir", type=pathlib.Path, help="of TFDS, on each machine")
    add("--examples", type=int, help="number of images of each split")
    add("--epochs", type=int, default=4)
    add("--batch", type=int, default=64, help="images over all replicas")
    add("--rate", type=float, default=0.05)
    add("--local-workers", type=int, help="start workers on this machine")
    add("--restarts", type=int, default=1, help="of local workers")
    add("--start-seconds", type=int, default=300, help="for all to start")
    add("--step-seconds", type=int, default=0, help="to wait; for debugging")
    return parser.parse_args(argv)


def main(argv=None):
    options = arguments(argv)
    if options.local_workers:
        program = [sys.executable, "-m", "tutorials.multi_worker"]
        received = sys.argv[1:] if argv is None else argv
        # The last one of two equal options counts.
        command = [*program, *received, "--local-workers", "0"]
        return local_cluster.run(
            command, options.local_workers, options.restarts
        )
    options.folder.mkdir(parents=True, exist_ok=True)
    work(options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
