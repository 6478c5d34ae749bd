"""Detectors of objects, and what checks their boxes; `tools/grounding.py` is the door."""
