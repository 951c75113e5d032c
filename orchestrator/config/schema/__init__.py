"""What can be set: each section of the settings, with its defaults and what they are for."""
