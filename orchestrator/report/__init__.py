"""Reports for people and programs: plans, features and events as text, pictures and answers."""
