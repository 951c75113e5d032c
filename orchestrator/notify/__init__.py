"""Tells people and programs what happens to features."""
