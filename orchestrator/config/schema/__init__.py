"""The sections of the settings, with their defaults and descriptions."""
