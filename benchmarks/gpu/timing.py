"""Times kernels by the events of the device, with inputs outside its cache."""

from benchmarks import timing

# Inputs of each candidate, used in rotation.
SETS = 3
COPY = 2**30  # bytes


class EventClock:
    """Measures calls on the current stream by events, read after all calls.

    Args:
        bench: the Bench.
        flush: flushes the cache before each call.
        synchronize: waits before each call, so that the time includes the
            launch by the host. Otherwise the call is queued behind other work.
    """

    def __init__(self, bench, flush=True, synchronize=False):
        self.bench = bench
        self.flush, self.synchronize = flush, synchronize

    def measure(self, function, turn):
        if self.flush:
            self.bench.flush()
        if self.synchronize:
            self.bench.synchronize()
        start, stop = self.bench.event(), self.bench.event()
        start.record()
        function(turn % SETS)
        stop.record()
        return start, stop

    def seconds(self, mark):
        start, stop = mark
        stop.synchronize()
        return 1e-3 * start.elapsed_time(stop)


class Bench:
    """The device, its cache and its events. All times are in microseconds.

    Candidates are functions of a number in range(SETS), which selects their
    inputs. They run on the current stream.
    """

    rounds, warmup = 31, 5

    def __init__(self, torch, device="cuda"):
        self.torch, self.device = torch, device
        size = max(2 * self.cache(), 2**28) // 4
        self.buffer = torch.empty(size, device=device)

    def cache(self):
        """Bytes of the last-level cache."""
        properties = self.torch.cuda.get_device_properties(self.device)
        return getattr(properties, "L2_cache_size", 0)

    def event(self):
        return self.torch.cuda.Event(enable_timing=True)

    def synchronize(self):
        self.torch.cuda.synchronize()

    def flush(self):
        """Evicts inputs and pending writes from the cache.

        It also takes the device longer than the host takes to queue the next
        call.
        """
        self.buffer.zero_()
        self.buffer.sum()

    def medians(self, candidates, alone=False):
        """Median time of one call of each candidate.

        Args:
            candidates: functions by name.
            alone: includes the launch by the host.
        """
        return self._medians(candidates, EventClock(self, synchronize=alone))

    def _medians(self, candidates, clock):
        times = timing.medians(candidates, self.rounds, self.warmup, clock)
        return {name: 1e6 * seconds for name, seconds in times.items()}

    def replayed(self, call, calls=8 * SETS):
        """Median time of one of many calls in a CUDA graph.

        The inputs are in the cache, and launches cost least there.
        """
        graph = self.torch.cuda.CUDAGraph()
        stream = self.torch.cuda.current_stream()
        with self.torch.cuda.graph(graph, stream=stream):
            for i in range(calls):
                call(i % SETS)
        candidates = {"graph": lambda i: graph.replay()}
        clock = EventClock(self, flush=False)
        return self._medians(candidates, clock)["graph"] / calls

    def copy_bandwidth(self):
        """Bytes per second that PyTorch's copy reads and writes."""
        source, target = (
            self.torch.empty(COPY // 4, device=self.device).normal_()
            for _ in range(2)
        )
        times = self.medians({"copy": lambda i: target.copy_(source)})
        return 2 * COPY / (1e-6 * times["copy"])
