"""``make demo``: one analysis from selection to result, on real parts, looked at from outside."""
