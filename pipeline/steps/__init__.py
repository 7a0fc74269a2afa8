"""The programs that SageMaker runs: one module a step, plain processes under the container contract.

`container` is the contract, `runlog` what a step tells MLflow; neither a step nor these know Slack or the bot.
"""
