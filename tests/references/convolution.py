"""The depthwise convolution as a sum of shifted products."""

import itertools


def convolution(xp, z, kernel):
    """Zeros lie outside of z, `[N, ..., C]`; `xp` is numpy or its namesake."""
    sizes = kernel.shape[:-2]
    margins = [(s // 2, s // 2) for s in sizes]
    padded = xp.pad(z, [(0, 0), *margins, (0, 0)], "constant")
    total = 0.0
    for shift in itertools.product(*map(range, sizes)):
        window = tuple(
            slice(s, s + n) for s, n in zip(shift, z.shape[1:-1], strict=True)
        )
        part = padded[(slice(None), *window, slice(None))]
        total = total + part * kernel[shift][:, 0]
    return total
