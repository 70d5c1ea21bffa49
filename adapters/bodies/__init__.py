"""Networks, wrapped for our attention or written out here; family loaders fill them."""
