#!/usr/bin/env python
"""Set OMERO properties: from files, then from CONFIG_* variables, in which _ stands for a dot and __ for _."""

import os
import re
import subprocess

OMERO = "/opt/omero/server/venv3/bin/omero"

subprocess.run([OMERO, "load", "--glob", "/opt/omero/server/config/*.omero"], check=True)
for variable, value in sorted(os.environ.items()):
    if variable.startswith("CONFIG_"):
        name = re.sub(r"(?<!_)_(?!_)", ".", variable.removeprefix("CONFIG_")).replace("__", "_")
        subprocess.run([OMERO, "config", "set", "--", name, value], check=True)
