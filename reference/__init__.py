"""Writes docs/reference from the code: `python -m reference`. A test and `make docs` say when a page is old."""
