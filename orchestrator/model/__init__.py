"""What everything else speaks of: features, tasks, plans, outcomes, events, their statuses, and errors."""
