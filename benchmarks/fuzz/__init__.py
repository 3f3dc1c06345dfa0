"""Random cases of every layer against formulas in float64.

`python -m benchmarks.fuzz --cases 2000 --seed 1`; see docs/fuzzing.md.
"""
