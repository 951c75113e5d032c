"""Runs Celery's own integration suite for canvases against us, and beside it against Celery alone.

    python -m tests.celery_suite

The suite is that of the installed version. It is unpacked from Celery's source distribution into build/; none of it
lies in this repository. `expected.yaml` lists the tests that end otherwise here, and why.
"""
