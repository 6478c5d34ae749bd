"""The tools that come with the package; `registry.py` names them."""
