"""Other task queues, each with the code that its user would write for ten layers of no-op tasks."""
