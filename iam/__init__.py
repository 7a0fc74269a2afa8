"""Who may do what: roles, the access file, sessions and session policies."""
