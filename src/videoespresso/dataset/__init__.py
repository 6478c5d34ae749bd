"""Datasets of questions with core frames and evidence: records, formats, statistics."""
