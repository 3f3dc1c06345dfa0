"""The claims of the four papers, tried on data that needs no download."""
