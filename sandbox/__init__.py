"""AWS and Slack on one machine, behind their real wire protocols.

Imports nothing of the product; starts it by its own commands.
"""
