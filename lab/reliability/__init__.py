"""How hard the toolkit is to break, measured: damaged videos, kills, dialects, faults, strangers.

    python -m lab.reliability --out runs/reliability --videos 20000 --kills 200

Each part appends a JSON line a trial, so a run that is ended goes on where it was. What came out is
in docs/results/reliability.md.
"""
