"""The parts of an import, in the order in which they are written; each takes the attempt that it is a part of."""
