"""All that is Slack's: its looks and limits (`render`, `limits`), sending and fetching (`sender`, `pace`, `files`)."""
