"""The MCP server: an AI agent plans, runs, watches and mends features through it (`orchestrator mcp`)."""
