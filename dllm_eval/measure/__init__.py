"""The only users of the clock: timing, memory and provenance. Callers: adapters and sweep."""
