"""What programs use: enqueue a feature, follow it, decide about it."""
