"""What talks to people: surfaces in, the runner in the middle, the sender out.

Lives here: settings, the web process, the worker with its leader, Slack's looks and limits, the terminal.
Lives elsewhere: what a command does (`commands`), who may (`iam`), what is remembered (`state`). Knows no SageMaker.
"""
