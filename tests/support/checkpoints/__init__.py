"""Writers of tiny random checkpoints, each in its family's published layout."""
