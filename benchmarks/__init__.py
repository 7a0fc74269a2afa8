"""Figures. Each module measures both sides of a comparison in one run and prints one JSON object with --json."""
