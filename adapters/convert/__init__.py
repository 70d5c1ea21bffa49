"""Turns published pickles into folders that load; run once by hand, never by an evaluation."""
