"""The released VideoEspresso files and what trainers read, to and from our records."""
