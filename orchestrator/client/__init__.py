"""The Python interface: enqueue a feature, follow it, decide about it."""
