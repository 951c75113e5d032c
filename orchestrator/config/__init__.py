"""The configuration: its settings, and the reading of its file."""
