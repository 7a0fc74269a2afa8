"""Slack's Web API: one module a family of methods, `server` speaks HTTP. Only methods listed there exist."""
