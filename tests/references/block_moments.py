"""Moments of blocks of examples and groups of channels, in float64."""

import numpy as np


def channels_last(x, axis, mask=None):
    """x and the mask as [examples, positions, channels]."""
    x = np.moveaxis(np.asarray(x, "float64"), axis, -1)
    mask = np.ones(x.shape[:1], "bool") if mask is None else mask
    mask = mask.reshape(mask.shape + (1,) * (x.ndim - 1 - mask.ndim))
    mask = np.broadcast_to(mask, x.shape[:-1])
    size = int(np.prod(x.shape[1:-1]))
    shape = (len(x), size)
    return x.reshape(*shape, x.shape[-1]), mask.reshape(shape)


def oracle(x, axis, mask=None, examples=1, groups=None):
    """Count, mean and variance of blocks; a row is an example or the batch."""
    x, mask = channels_last(x, axis, mask)
    batch, _, channels = x.shape
    rows = 1 if examples is None else batch
    size = channels // groups if groups else 1
    moments = np.zeros((3, rows, channels))
    for row in range(rows):
        start = row - row % examples if examples else 0
        end = start + examples if examples else batch
        for channel in range(channels):
            first = channel - channel % size
            values = x[start:end, :, first : first + size]
            values = values[mask[start:end]]
            if values.size:
                moments[:, row, channel] = (
                    values.size,
                    values.mean(),
                    values.var(),
                )
    return moments


def normalized(x, axis, epsilon=1e-3, gamma=1.0, beta=0.0, **blocks):
    """Returns y by the moments of the oracle, in the shape of x."""
    x = np.moveaxis(np.asarray(x, "float64"), axis, -1)
    moments = oracle(x, -1, **blocks)
    shape = (len(moments[0]),) + (1,) * (x.ndim - 2) + x.shape[-1:]
    count, mean, variance = (each.reshape(shape) for each in moments)
    y = gamma * (x - mean) / np.sqrt(variance + epsilon) + beta
    return np.moveaxis(np.where(count > 0, y, 0.0), -1, axis)
