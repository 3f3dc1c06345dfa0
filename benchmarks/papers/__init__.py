"""Tests the claims of the four papers on data that needs no download."""
