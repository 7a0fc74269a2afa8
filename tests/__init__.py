"""Proofs: unit (pure rules), sandbox (the stand-ins), scenario (the front door), browser (the page)."""
