"""Which model a role uses, what it costs and how it is reached. Not what it is asked: agents/."""
