"""Measuring: how replies are scored, and what is reported beside a number."""
