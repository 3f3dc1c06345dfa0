"""Layers as they were in earlier versions, for saved configurations."""
