"""The table of a model's normalization layers."""

import keras

from keras_norms import layers
from keras_norms.models import describe_normalization
from keras_norms.models import freeze_normalization
from tests.support.refusals import refusal


def test_table():
    inner = keras.Sequential(
        [
            keras.Input((4, 6)),
            keras.layers.BatchNormalization(name="theirs", momentum=0.9),
            layers.CrossReplicaBatchNormalization(2, name="two"),
            layers.BatchGroupNormalization(3, name="blocks"),
        ],
        name="inner",
    )
    norm = layers.GhostBatchNormalization(8, name="ghosts")
    model = keras.Sequential(
        [
            keras.Input((4, 6)),
            inner,
            keras.layers.TimeDistributed(norm, name="each"),
            keras.layers.LayerNormalization(name="layer"),
            layers.InstanceNormalization(name="instance"),
            layers.FilterResponseNormalization(name="filters"),
        ]
    )
    freeze_normalization(inner)
    freeze_normalization(model.layers[1], affine=False)
    lines = []
    rows = describe_normalization(model, lines.append)
    assert [(row.path, row.statistics, row.frozen) for row in rows] == [
        ("inner/theirs", "the batch", "all"),
        ("inner/two", "the batch of 2 replicas", "all"),
        ("inner/blocks", "the batch, 3 groups", "all"),
        ("each/ghosts", "ghost batches of 8", "statistics"),
        ("layer", "axis [-1] of each example", "no"),
        ("instance", "each example", "no"),
        ("filters", "each example", "no"),
    ]
    assert rows[0][1:3] == ("keras.BatchNormalization", 6)
    assert rows[0][4:7] == (0.9, 1e-3, 24)
    assert lines[0].split() == list(rows[0]._fields)
    assert lines[1] == (
        "inner/theirs  keras.BatchNormalization                    6         "
        "the batch                  0.9       0.001    24       all"
    )


def test_refusal():
    unbuilt = keras.Sequential([layers.BatchNormalization()])
    assert refusal(describe_normalization, unbuilt) == (
        "`model` must be a model of Keras that is built. Received: "
        f"{unbuilt.name!r}. Add an `Input`, or call the model once."
    )
