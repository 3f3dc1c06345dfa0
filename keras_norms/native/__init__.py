"""The native library: how it is selected, loaded, built and cached."""
