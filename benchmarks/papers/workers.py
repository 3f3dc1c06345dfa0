"""The functions that run in each process."""


def prepare():
    """Gives each process one core, because images are small."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def train(task):
    from benchmarks import timing
    from benchmarks.papers import training

    environment = timing.layer_environment()
    return [{**row, **environment} for row in training.run(*task)]
