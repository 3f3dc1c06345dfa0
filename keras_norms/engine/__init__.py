"""The engine: runs the two passes that a `NormSpec` describes."""
