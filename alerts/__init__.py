"""What events of the account mean: documented shapes read into one kind of value, and where it should be said.

Pure: bytes and a configuration file in, values out. Nothing here knows Slack, the database or a client of AWS.
"""
