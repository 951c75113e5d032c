"""The nouns of the program: features, tasks, plans, outcomes, events, statuses, errors."""
