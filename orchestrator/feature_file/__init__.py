"""Feature files: YAML or JSON in, a feature or every mistake out."""
