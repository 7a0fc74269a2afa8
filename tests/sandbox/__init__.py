"""The stand-ins behave as the worlds they stand for."""
