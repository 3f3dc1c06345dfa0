"""Random cases of every layer: `python -m benchmarks.fuzz --help`."""

import argparse
import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def outcomes(seeds, jobs):
    """Yields cases and their outcomes, by this process or by a pool."""
    from benchmarks.fuzz.check import outcome_of

    if jobs == 1:
        yield from map(outcome_of, seeds)
        return
    with concurrent.futures.ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn")
    ) as pool:
        for first in range(0, len(seeds), 200):
            chunk = seeds[first : first + 200]
            yield from pool.map(outcome_of, chunk, chunksize=10)


class Summary:
    """Counts of outcomes, and the worst ratio of each layer."""

    def __init__(self):
        self.kinds = collections.Counter()
        self.refusals = collections.Counter()
        self.skipped = collections.Counter()
        self.worst = {}
        self.ratios = []
        self.explained = self.unexplained = self.weak = 0

    def add(self, case, outcome):
        self.kinds[outcome.kind] += 1
        if outcome.kind == "refused":
            self.refusals[outcome.message] += 1
        if outcome.kind == "crashed":
            print(f"crash {case}\n{outcome.message}", flush=True)
        self.skipped.update(set(outcome.skipped.values()))
        for difference in outcome.differences:
            key = case.layer
            if difference.ratio > self.worst.get(key, (0.0,))[0]:
                self.worst[key] = difference.ratio, case.seed, difference
        if outcome.differences:
            self.ratios.append(max(d.ratio for d in outcome.differences))
        self.weak += bool(outcome.weak)
        unexplained = outcome.unexplained
        self.unexplained += bool(unexplained)
        self.explained += bool(outcome.differences) and not unexplained
        for difference in unexplained:
            print(f"difference {difference}", flush=True)
        if unexplained:
            print(f"  of {case}", flush=True)

    def show(self, seconds):
        print(f"{sum(self.kinds.values())} cases in {seconds:.0f} s")
        for kind in ("passed", "refused", "crashed"):
            print(f"{kind}: {self.kinds[kind]}")
        print(f"with differences explained by rounding: {self.explained}")
        print(f"with unexplained differences: {self.unexplained}")
        print(f"where an error of a tenth would be explained: {self.weak}")
        ratios = sorted(self.ratios)
        for share in (0.5, 0.99) if ratios else ():
            ratio = ratios[int(share * (len(ratios) - 1))]
            print(f"error / rounding sensitivity, {share:.0%}: {ratio:.2g}")
        for message, count in self.refusals.most_common():
            print(f"refused {count}: {message}")
        for reason, count in self.skipped.most_common():
            print(f"not compared in {count}: {reason}")
        print("worst error / rounding sensitivity by layer:")
        for layer, (ratio, seed, worst) in sorted(self.worst.items()):
            print(
                f"  {layer} {ratio:.3g}: {worst.output}, seed {seed}, "
                f"condition {worst.condition:.2g}"
            )


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one case, by its seed")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    first = options.seed * 1_000_000
    seeds = range(first, first + options.cases)
    if options.only is not None:
        seeds = [options.only]
    summary, start = Summary(), time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):
        for case, outcome in outcomes(seeds, options.jobs):
            summary.add(case, outcome)
    summary.show(time.monotonic() - start)
    if summary.kinds["crashed"] or summary.unexplained:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
