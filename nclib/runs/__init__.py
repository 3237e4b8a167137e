"""Runs: how they are defined, stored, done and described by a manifest."""
