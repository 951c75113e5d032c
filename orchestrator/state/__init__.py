"""What is kept in Redis, the scripts that change it, and how Redis is reached."""
