"""The machine-learning system: data set, pipeline, registry, deployment, tracking, and the programs SageMaker runs.

Knows no Slack and no bot.
"""
