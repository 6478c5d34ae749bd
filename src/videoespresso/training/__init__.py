"""How the pack, the selector and the reasoner are trained; nothing a question needs."""
