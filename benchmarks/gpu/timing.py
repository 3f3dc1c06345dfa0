"""Medians by the device's events, of candidates in turns, out of the cache."""

import statistics

# Inputs of each candidate, used in rotation.
SETS = 3
COPY = 2**30  # bytes


class Bench:
    """All times are in microseconds.

    Candidates are functions of a number in range(SETS), which says what inputs
    to take; they go to the current stream.
    """

    rounds, warm = 31, 5

    def __init__(self, torch, device="cuda"):
        self.torch, self.device = torch, device
        size = max(2 * self.cache(), 2**28) // 4
        self.buffer = torch.empty(size, device=device)

    def cache(self):
        """Bytes of the last cache."""
        properties = self.torch.cuda.get_device_properties(self.device)
        return getattr(properties, "L2_cache_size", 0)

    def event(self):
        return self.torch.cuda.Event(enable_timing=True)

    def synchronize(self):
        self.torch.cuda.synchronize()

    def flush(self):
        """Leaves nothing in the cache that is of use, or yet to be written.

        It also takes the device longer than the host takes to queue what comes
        next.
        """
        self.buffer.zero_()
        self.buffer.sum()

    def medians(self, candidates, alone=False):
        """Of one call.

        Args:
            candidates: functions by name.
            alone: waits before each call, so that what the host takes to
                launch it counts; else it is queued behind other work.
        """
        times = {name: [] for name in candidates}
        for turn in range(self.warm + self.rounds):
            marks = {}
            for name, call in candidates.items():
                self.flush()
                if alone:
                    self.synchronize()
                marks[name] = self._marked(call, turn % SETS)
            self.synchronize()
            for name, (start, stop) in marks.items():
                times[name].append(1e3 * start.elapsed_time(stop))
        return {
            name: statistics.median(all_times[self.warm :])
            for name, all_times in times.items()
        }

    def _marked(self, call, *which):
        start, stop = self.event(), self.event()
        start.record()
        call(*which)
        stop.record()
        return start, stop

    def replayed(self, call, calls=8 * SETS):
        """Of one call among many in a CUDA graph, with what it reads in the
        cache: launches cost least there.
        """
        graph = self.torch.cuda.CUDAGraph()
        stream = self.torch.cuda.current_stream()
        with self.torch.cuda.graph(graph, stream=stream):
            for i in range(calls):
                call(i % SETS)
        marks = [
            self._marked(graph.replay) for _ in range(self.warm + self.rounds)
        ]
        self.synchronize()
        times = [start.elapsed_time(stop) for start, stop in marks]
        return 1e3 * statistics.median(times[self.warm :]) / calls

    def copy_bandwidth(self):
        """Bytes read and written in a second by PyTorch's copy."""
        source, target = (
            self.torch.empty(COPY // 4, device=self.device).normal_()
            for _ in range(2)
        )
        times = self.medians({"copy": lambda i: target.copy_(source)})
        return 2 * COPY / (1e-6 * times["copy"])
