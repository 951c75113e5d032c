"""What Prometheus reads: the events of features counted, and the figures of this moment."""
