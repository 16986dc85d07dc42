"""The command line without configurations: attack a model from a file at samples from a file."""
