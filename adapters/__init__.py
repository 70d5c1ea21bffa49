"""lm-eval model classes, one file per model family, and the cards; reached through the registry."""
