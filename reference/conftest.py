"""The extension of the site is no test: it needs griffe, which the lowest versions are run without."""

collect_ignore = ["docstrings.py"]
