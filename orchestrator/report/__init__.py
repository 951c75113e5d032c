"""What people read about a plan, and about a feature that runs: values → plain text."""
