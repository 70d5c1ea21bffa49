"""Our lm-eval tasks: flat YAML files, and the helpers they name with `!function`."""
