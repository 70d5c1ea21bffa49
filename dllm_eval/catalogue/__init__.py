"""Families and checkpoints as published: capabilities, cards, scores, and pages of them."""
