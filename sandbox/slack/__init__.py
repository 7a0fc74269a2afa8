"""A stand-in for Slack: the Web API, signed delivery to one app, and a page on which people use it.

Lives here: everything a workspace does that the app can see over the wire (`webapi`, `delivery`, `hooks`), the rules
Slack enforces (`blocks`, `rates`, `triggers`), the page people sit at (`page`, `render`, `templates`, `static`) and a
control API for tests (`control`, `faults`). Nothing here knows the app: it sees requests and answers.
"""
