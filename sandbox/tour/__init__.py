"""The whole story without a person: a fresh sandbox, played through Slack, stopped.

Everybody in it types and presses through Slack's control API; nothing reaches into the bot. Each step is checked
against something else than the words of the answer where there is something else: AWS's own record of calls, MLflow,
the labels of a photo. A chapter is a module with its `STEPS`, named in `play`; `story` is what they share.
"""
