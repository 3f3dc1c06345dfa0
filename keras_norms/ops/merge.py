"""Chan's merge of moments, and the blocks of tables that it is taken over."""

from keras import ops

from keras_norms.ops import tracing
from keras_norms.ops.layout import inverse
from keras_norms.ops.tables import column
from keras_norms.ops.tables import is_exactly
from keras_norms.ops.tables import is_number
from keras_norms.ops.tables import like
from keras_norms.ops.tables import pinned


class Blocks:
    """Tables [rows, channels] as [blocks, size, groups, width], and back."""

    def __init__(self, moments, examples, groups):
        self.like = moments.mean
        self.channels = self.like.shape[1]
        self.width = self.channels // groups
        self.whole = examples is None
        self.padding = 0
        if examples == 1 or (self.whole and moments.examples is None):
            self.size = 1
        elif moments.examples is None:
            raise ValueError(
                "Moments of the whole batch cannot be split into blocks. "
                f"Received: examples={examples}. Pool moments of examples, "
                "those of `instance_moments`."
            )
        elif self.whole:
            self.size = ops.shape(self.like)[0]
        else:
            self.size = examples // moments.examples
            self.rows = ops.shape(self.like)[0]
            self.padding = -self.rows % self.size

    @property
    def are_entries(self):
        return self.width == 1 and is_exactly(self.size, 1)

    def split(self, table):
        if not is_exactly(self.padding, 0):
            table = ops.pad(table, ((0, self.padding), (0, 0)))
        shape = (1, -1) if self.whole else (-1, self.size)
        shape += (self.channels // self.width, self.width)
        return ops.reshape(table, shape)

    def join(self, table):
        """Each entry as often as it has members, but one row for a batch."""
        size = 1 if self.whole else self.size
        if not (is_exactly(size, 1) and self.width == 1):
            table = table + ops.zeros((1, size, 1, self.width), table.dtype)
        table = ops.reshape(table, (-1, self.channels))
        return table if is_exactly(self.padding, 0) else table[: self.rows]

    def weigh(self, count):
        """The blocks' counts, and the weights of their members."""
        if is_number(count) and is_exactly(self.padding, 0):
            members = self.size * self.width
            return count * members, inverse(members, self.like.dtype)
        table = self.split(like(column(count), self.like))
        total = ops.sum(table, axis=(1, 3), keepdims=True)
        weight = table * inverse(total, total.dtype)
        total = self.join(total)
        # Without counts of channels, those of any channel are the row's.
        by_channel = len(getattr(count, "shape", ())) == 2
        return total if by_channel else total[:, 0], weight


def _itself(table):
    return table


def combine(
    weight, mean, variance, residual, axes, split=_itself, join=_itself
):
    """Chan's merge over axes of split tables, about one of the means.

    Its gradient is written out: one derived from these steps has many times
    as many. With W and V the sums of d mean and d variance over a block, each
    member's are weight (W + 2 V (its mean - the block's)) and weight V.
    """

    def total(table):
        return ops.sum(table, axis=axes, keepdims=True)

    @tracing.custom_gradient
    def merged(mean, variance):
        mean, variance = split(mean), split(variance)
        one = [slice(None)] * len(mean.shape)
        for axis in axes:
            one[axis] = slice(0, 1)
        # The total of one: 0 where there is none.
        some = total(mean[tuple(one)])
        pooled = pinned(some + total(weight * (mean - some)))
        difference = (mean - pooled) + split(residual)
        left = total(weight * difference)
        square = total(weight * (variance + ops.square(difference)))
        square = ops.maximum(square - ops.square(left), 0.0)

        def gradient(d_mean, d_variance, _):
            d_variance = total(split(d_variance))
            away = 2.0 * (difference - left)
            d_member = total(split(d_mean)) + away * d_variance
            d_variance = weight * d_variance + ops.zeros_like(mean)
            return join(weight * d_member), join(d_variance)

        return tuple(map(join, (pooled, square, left))), gradient

    mean, variance, residual = merged(mean, variance)
    return mean, variance, ops.stop_gradient(residual)
