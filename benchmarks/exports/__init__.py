"""Exports of every layer, run in the runtimes of other formats."""
