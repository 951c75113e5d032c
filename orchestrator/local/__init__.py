"""What this machine runs and checks: the processes of `up` and `run`, and the doctor."""
