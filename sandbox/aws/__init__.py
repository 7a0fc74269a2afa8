"""A local AWS: moto's state behind the project's own door (signature, policies, record of calls).

`core.Cloud` is what the parts share; `sagemaker/` runs jobs and endpoints, `stacks/` runs CloudFormation templates.
Nothing in here imports the product packages.
"""
