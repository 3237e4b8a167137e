"""Figures as they are published: drawn from rows that were written as CSV and read back."""

from nclib.plotting import publish as provenance


def drawn(draw, rows, **options):
    """The Figure of `draw` of what the CSV of the rows gives back."""
    provenance.refuse_tables("fig", options)
    return draw(provenance.read(*provenance.written("fig", rows)), **options)
