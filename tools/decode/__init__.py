"""Decoders, and the process of its own in which they run; `tools/video.py` is the door."""
