"""One call of a chat model: request, attempts, retries, limits, usage."""
