"""How bad a finding is; apart from the findings, so that whoever shows them needs no imaging libraries."""

from __future__ import annotations

from typing import Literal

Level = Literal["stop", "look", "note"]
LEVELS: tuple[Level, ...] = ("stop", "look", "note")
"""`stop`: a training will refuse or cannot learn; `look`: it will learn something wrong; `note`: good to know."""
