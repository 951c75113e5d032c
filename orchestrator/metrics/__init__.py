"""The metrics for Prometheus: counts of the events of features, and the figures of this moment."""
