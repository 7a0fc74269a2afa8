"""Everything else in the account, as CloudFormation."""
