"""Calls through a provider's batch API: collected, sent, and their replies taken in.

collector.py is the door. A request lies in the outbox (outbox.py) until its file is full or sent to
OpenAI (openai.py); what a batch brought goes into the reply cache (results.py). What is on its way
stands in one sqlite file (store.py), so that any later process can go on.
"""
