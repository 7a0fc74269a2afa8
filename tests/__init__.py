"""Proofs. unit: pure rules; scenario: front door to front door on one running sandbox; sandbox: the stand-ins themselves; browser: what is on the screen."""
