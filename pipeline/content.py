"""The content types that the server takes, also told by the registry (`pipeline.serving.bodies` reads them)."""

RAW = ("image/jpeg", "image/png")
BASE64 = "application/base64"
JSON = "application/json"
TYPES = (*RAW, BASE64, JSON)
