"""From a feature to a plan: its graph, its batches, who does what."""
