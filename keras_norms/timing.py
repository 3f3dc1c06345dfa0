"""Times functions in turns: the measuring loop of every benchmark.

It imports the standard library alone, so that `benchmarks/timing.py` can run
this file where neither Keras nor the package is installed.
"""

import statistics
import time


class HostClock:
    """Measures one call by the clock of the host.

    Another clock may return marks from `measure` that `seconds` reads after
    the last call.
    """

    def measure(self, function, turn):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    def seconds(self, mark):
        return mark


def medians(candidates, rounds, warmup=2, clock=None):
    """Median seconds of one call of each candidate.

    The rounds are interleaved, so that other load on the machine affects all
    candidates alike. Only ratios within one call of `medians` mean anything.

    Args:
        candidates: functions by name, without arguments for a `HostClock`.
        rounds: the number of measured calls of each candidate.
        warmup: the number of calls before them, in which functions are traced.
        clock: what measures a call; by default a `HostClock`.
    """
    clock = clock or HostClock()
    marks = {name: [] for name in candidates}
    for turn in range(warmup + rounds):
        for name, function in candidates.items():
            marks[name].append(clock.measure(function, turn))
    return {
        name: statistics.median(map(clock.seconds, measured[warmup:]))
        for name, measured in marks.items()
    }


def ratios(times, baseline):
    """Every time as a multiple of the time of a named baseline."""
    return {name: value / times[baseline] for name, value in times.items()}
