"""Runs: what one is, where it is kept, how many are done, and what is published of them."""
