"""This machine: the processes of `up` and `run`, and the checks of the doctor."""
