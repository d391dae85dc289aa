"""What can be run: descriptors of several schemas, read into one model of parameters."""
