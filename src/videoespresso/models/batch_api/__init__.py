"""Calls through a provider's batch API: collected, sent, received."""
