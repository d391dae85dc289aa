#!/usr/bin/env python
"""Set OMERO properties from CONFIG_* variables, in which _ stands for a dot and __ for an underscore."""

import os
import re
import subprocess

OMERO = "/opt/omero/server/venv3/bin/omero"

for variable, value in sorted(os.environ.items()):
    if variable.startswith("CONFIG_"):
        name = re.sub(r"(?<!_)_(?!_)", ".", variable.removeprefix("CONFIG_")).replace("__", "_")
        subprocess.run([OMERO, "config", "set", "--", name, value], check=True)
