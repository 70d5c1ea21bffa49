"""Noise processes as arithmetic: how much noise at which time, and the exact step back."""
