"""Published tokenizer layouts other than tokenizer.json; family loaders call them."""
