"""Checks of arguments that exclude each other."""


def refuse_synchronized_blocks(name, value, synchronized):
    """Refuses blocks of a replica's batch in a synchronized layer."""
    if value is not None and synchronized:
        raise ValueError(
            f"`{name}` and `synchronized` cannot be combined: the first "
            "computes statistics of a part of a replica's batch, and the "
            "second those of the batches of all replicas. Received: "
            f"{name}={value}, synchronized=True. Remove one of them."
        )


def refuse_sequential_renorm(renorm, ghost_statistics):
    """Refuses renorm with one update per ghost batch."""
    if renorm and ghost_statistics == "sequential":
        raise ValueError(
            "`renorm` updates its moving averages once per batch, and "
            '`ghost_statistics="sequential"` makes one update per ghost '
            'batch. Received both. Use `ghost_statistics="batch"` or '
            '"average" with renorm.'
        )


def refuse_renorm_of_total(renorm, running_variance):
    """Refuses renorm with a running variance of second moments."""
    if renorm and running_variance == "total":
        raise ValueError(
            "`renorm` averages standard deviations of batches, and "
            '`running_variance="total"` averages second moments. Received '
            'both. Use `running_variance="within"` with renorm.'
        )
