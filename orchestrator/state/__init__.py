"""The state in Redis, the scripts that change it, and the connections to it."""
