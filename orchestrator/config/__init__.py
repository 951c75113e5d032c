"""The configuration: what can be set, and where it is read."""
